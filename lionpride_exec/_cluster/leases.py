"""Keeps the events that a worker holds from being taken over by other workers."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING

import anyio
import attrs
from anyio import current_time

from lionpride_exec.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .queue_types import StreamEntry
    from .server_queue import ServerQueue
    from .worker_host import WorkerHost

logger = logging.getLogger("lionpride_exec")


@attrs.define(eq=False)
class Held:
    """
    An event that a worker holds: the server has handed its entry to this worker and to no other one.

    Attributes:
        entry: The entry of the event.
        token: Stands for the run of the event. "" until the event begins.
        has_place: Whether the run has a place under a limit, which the server takes from a dead worker.
        is_leaving: Whether a step was sent by which the worker lets go of the event. The server may have recorded it.
        is_new: Whether the host still has an earlier run of the event, which is not the run of this entry.
    """

    entry: StreamEntry
    token: str = ""
    has_place: bool = False
    is_leaving: bool = False
    is_new: bool = False


class Leases:
    """
    Renews what a worker holds, each third of a lease.

    Args:
        queue: The queue.
        worker: The name of the worker.
        host: Is told of the events that the worker has lost.
        held: The events that the worker holds, by id.
        let_go: Makes the worker forget an event.
        lease: Seconds after which other workers take over events that were not renewed.
        description: The worker for people, for example host and process.
    """

    def __init__(
        self,
        queue: ServerQueue,
        worker: str,
        host: WorkerHost,
        held: Mapping[str, Held],
        let_go: Callable[[str, Held], None],
        *,
        lease: float,
        description: str,
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._host = host
        self._held = held
        self._let_go = let_go
        self._lease = lease
        self._description = description
        self._has_begun = anyio.Event()  # set once the server knows of the lease
        self._alive_since = inf  # loop time of the first renewal since which no lease has run out
        self._renewed_at = -inf  # loop time of the last renewal

    async def wait_for_first(self) -> None:
        """Wait until the server knows of the lease. Cancellation: changes nothing."""
        await self._has_begun.wait()

    def may_judge(self) -> bool:
        """
        Return whether this worker may treat other workers as dead when their leases have run out.

        After an outage of the server, all leases have run out, though no worker is dead. So a worker that has just
        begun its own lease anew gives the others the time of a lease to do the same.
        """
        now = current_time()
        return now - self._alive_since >= self._lease and now - self._renewed_at < self._lease

    async def run(self) -> None:
        """
        Renew until cancelled.

        Raises:
            ClusterError: The server refuses, or has lost its data.
        """
        while True:
            began = current_time()
            held = dict(self._held)
            try:
                was_alive, lost = await self._queue.renew(
                    self._worker, round(self._lease * 1000), [one.entry for one in held.values()], self._description
                )
            except ClusterError as error:
                if not error.retryable:
                    raise
                logger.warning("leases were not renewed: %s", error)
            else:
                self._has_begun.set()
                self._renewed_at = current_time()
                if not was_alive:
                    self._alive_since = current_time()
                self._note_lost({event_id: held[event_id] for event_id in lost})
                if not was_alive:
                    await self._note_lapsed()
            await anyio.sleep(max(0.0, began + self._lease / 3 - current_time()))

    def _note_lost(self, lost: Mapping[str, Held]) -> None:
        """Let go of events that other workers hold now."""
        for event_id, held in lost.items():
            # The worker may have given the event back meanwhile, and even have taken it again.
            if self._held.get(event_id) is held and not held.is_leaving:
                self._let_go(event_id, held)
                self._host.lose(event_id)

    async def _note_lapsed(self) -> None:
        """Have the host stop the runs whose places the server has given to others."""
        runs = {event_id: one.token for event_id, one in self._held.items() if one.token and one.has_place}
        for event_id in await self._queue.lost_places(list(runs)):
            held = self._held.get(event_id)
            if held is not None and held.token == runs[event_id] and not held.is_leaving:
                self._host.lapse(event_id)
