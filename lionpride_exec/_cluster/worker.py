"""
A worker of a queue: it takes events, keeps them while they are worked on, and tells the server what became of them.

A worker holds each event that it takes. It renews all that it holds each third of its lease. If it dies or stalls for
longer than the lease, another worker takes its events over. Each run has a token. The server records the end of a run
only under the token of the last run that began, so a worker that wakes up late changes nothing.
"""

from __future__ import annotations

import logging
import secrets
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import TYPE_CHECKING, Protocol

import anyio
import attrs
from anyio import CancelScope, current_time, move_on_after

from .cluster_error import ClusterError
from .steps import Steps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .server_queue import Entry, Limit, Message, ServerQueue, Taken
    from .wire import Client

logger = logging.getLogger("lionpride_exec")

# Seconds between two looks at what is due, where no message comes in between.
LONGEST_SLEEP = 5.0

# Seconds between two looks at a queue that is paused.
PAUSED_SLEEP = 0.25

# Seconds that giving back may take once the worker is cancelled.
GIVE_BACK_SECONDS = 5.0


class WorkerHost(Protocol):
    """What a worker works for. No method may wait."""

    def room(self) -> int:
        """Return how many more events can be taken now."""
        ...

    def take(self, taken: Taken) -> None:
        """Get an event. The worker holds it until :meth:`QueueWorker.finish` or another method that lets go of it."""

    def lose(self, event_id: str) -> None:
        """Learn that another worker has an event. What is done with it here counts no more."""

    def end(self, event_id: str, status: str) -> None:
        """End an event that runs here: somebody has asked for that."""

    def reopen(self, bucket: str) -> None:
        """Learn that a run has given a bucket something back. Events that wait for the bucket may ask again."""


@attrs.define
class _Held:
    """An event that a worker holds. The token is "" until the event begins."""

    entry: Entry
    token: str = ""


class QueueWorker:
    """
    One worker of a queue.

    Args:
        queue: The queue.
        host: Gets the events.
        lease: Seconds after which others take over what this worker has not renewed.
        give_back_seconds: Seconds that giving back may take when the worker is left.

    Attributes:
        name: Its name, which no other worker has.
    """

    def __init__(
        self, queue: ServerQueue, host: WorkerHost, *, lease: float, give_back_seconds: float = GIVE_BACK_SECONDS
    ) -> None:
        self.name = secrets.token_hex(6)
        self._queue = queue
        self._host = host
        self._lease = lease
        self._give_back_seconds = give_back_seconds
        self._held: dict[str, _Held] = {}
        self._steps = Steps(queue, self.name)
        self._has_room = anyio.Event()  # set when there may be room; replaced before the task looks
        self._is_due = anyio.Event()  # set when something may have become due earlier
        self._is_stopping = False
        self._next_look = 0.0  # loop time of the next look at what other workers do not renew
        self._losses = 0  # lost answers of the wire after which the worker has looked at what it holds

    # ---------------------------------------------------------------- the tasks

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """
        Take events while the block runs. At its end, give back what is still held.

        Raises:
            ClusterError: The server refuses a command, or has lost its data.

        Cancellation: what is held is given back, for ``give_back_seconds`` at most, and steps that were sent before get
        as long again. What cannot be given back in this time is taken over after the lease.
        """
        async with anyio.create_task_group() as senders:
            senders.start_soon(self._steps.run)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._take_events)
                    group.start_soon(self._read_messages)
                    group.start_soon(self._renew_leases)
                    group.start_soon(self._promote_due)
                    try:
                        yield
                    finally:
                        self._is_stopping = True
                        self._has_room.set()
                        group.cancel_scope.cancel()
            finally:
                with CancelScope(shield=True), move_on_after(self._give_back_seconds):
                    await self._take_unknown()
                    await self.give_back_all()
                self._steps.close_soon(self._give_back_seconds)

    async def _take_events(self) -> None:
        """Take events while there is room."""

        async def read(client: Client) -> list[Entry]:
            """Wait for new entries."""
            if self._is_stopping or self._host.room() <= 0:
                return []
            return await self._queue.wait_for_entries(client, self.name, self._host.room())

        await self._queue.wire.keep_reading(read, self._take_more)

    async def _take_more(self, entries: list[Entry]) -> None:
        """Take what was read, and more until the queue is empty. Then return, with room for more."""
        while True:
            want, idle = self._host.room() - len(entries), 0
            if current_time() >= self._next_look:
                self._next_look = current_time() + self._lease / 3
                idle = round(self._lease * 1000)
            losses = self._queue.wire.losses
            known = None if losses == self._losses else [*self._held, *(entry.event_id for entry in entries)]
            # Cancelled here, the worker holds events that it does not know of. _take_unknown() finds them.
            is_paused, found = await self._queue.take(self.name, max(0, want), entries, idle=idle, known=known)
            entries, self._losses = [], losses
            for taken in found:
                # After a stall, a worker may get an event again that it holds already.
                if taken.entry.event_id not in self._held:
                    self._held[taken.entry.event_id] = _Held(taken.entry)
                    self._host.take(taken)
            await self._wait_for_room()
            if is_paused:
                await anyio.sleep(PAUSED_SLEEP)
            elif not found:
                return

    async def _take_unknown(self) -> None:
        """Learn of events that were handed to this worker, in an answer that was lost or cut off."""
        with suppress(ClusterError):
            _, found = await self._queue.take(self.name, 0, known=self._held)
            for taken in found:
                self._held[taken.entry.event_id] = _Held(taken.entry)

    async def _wait_for_room(self) -> None:
        while True:
            self._has_room = anyio.Event()
            if self._host.room() > 0:
                return
            await self._has_room.wait()

    def room_changed(self) -> None:
        """Look at the room again. The host calls this method when there is room."""
        self._has_room.set()

    async def _read_messages(self) -> None:
        """End the events that a message asks to end, and look again at what is due."""
        cursors: dict[str, str] = {}

        async def read(client: Client) -> list[Message]:
            """Wait for messages."""
            return await self._queue.wait_for_messages(client, self.name, cursors)

        async def handle(messages: list[Message]) -> None:
            """Pass each message on."""
            for message in messages:
                if message.bucket:
                    self._host.reopen(message.bucket)
                elif not message.event_id:
                    self._is_due.set()
                elif message.event_id in self._held:
                    self._host.end(message.event_id, message.status)

        await self._queue.wire.keep_reading(read, handle)

    async def _renew_leases(self) -> None:
        """Renew what is held, each third of a lease."""
        while True:
            began = current_time()
            try:
                _, lost = await self._queue.renew(
                    self.name, round(self._lease * 1000), [held.entry for held in self._held.values()]
                )
            except ClusterError as error:
                if not error.retryable:
                    raise
                logger.warning("leases were not renewed: %s", error)
            else:
                for event_id in lost:
                    if self._held.pop(event_id, None) is not None:
                        self._host.lose(event_id)
                        self._has_room.set()
            await anyio.sleep(max(0.0, began + self._lease / 3 - current_time()))

    async def _promote_due(self) -> None:
        """Put what becomes due into its stream."""
        while True:
            self._is_due = anyio.Event()
            try:
                left = await self._queue.promote()
            except ClusterError as error:
                if not error.retryable:
                    raise
                left = None
            with move_on_after(LONGEST_SLEEP if left is None else min(left, LONGEST_SLEEP)):
                await self._is_due.wait()

    # ---------------------------------------------------------------- what became of an event

    async def begin(self, event_id: str, limits: Sequence[Limit] = ()) -> tuple[int, float]:
        """
        Have the start of an event recorded, and take of its limits: of all of them or of none.

        Return how often it has begun, and 0. If a limit refuses, return 0 and the seconds after which to ask again; inf
        if a run has to end first (:meth:`WorkerHost.reopen`, or 0.5 s at the latest). If another worker has the event,
        return 0 and -1: it must not run here.

        Raises:
            ClusterError: The server was not reached, or it refused. The event must not run.
        """
        held = self._held.get(event_id)
        if held is None:
            return 0, -1.0
        held.token = secrets.token_hex(8)  # before the step is sent: a give_back() meanwhile needs the token
        takes = [attrs.astuple(limit) for limit in limits]
        word, number = await self._steps.send("begin", event_id, held.entry.message, held.token, takes)
        if word == "go":
            return number, 0.0
        if word == "wait":
            held.token = ""  # nothing has begun: an end or a give_back() is one of an event that waits
            return 0, inf if number < 0 else number / 1e6
        self._let_go(event_id)
        return 0, -1.0

    async def settle(self, event_id: str, bucket: str, cost: float) -> None:
        """Correct the cost of a run in a bucket, unless the cost has come back. Raises like :meth:`begin`."""
        held = self._held.get(event_id)
        if held is not None:
            await self._steps.send("settle", held.token, bucket, cost)

    async def shut(self, bucket: str, until: float) -> None:
        """Let no worker take from a bucket until a time (microseconds since 1970). Raises like :meth:`begin`."""
        await self._steps.send("shut", bucket, until)

    async def finish(self, event_id: str, status: str, outcome: bytes) -> bool:
        """
        Have the end of an event recorded. Return whether it counts. False: another run does.

        Raises:
            ClusterError: The server was not reached, or it refused. The event runs again elsewhere after the lease.
        """
        held = self._held.get(event_id)
        if held is None:
            return False
        if held.token:
            step = "finish", event_id, held.token, status, outcome
        else:
            step = "close", event_id, held.entry.message, status, outcome
        return await self._part_with(event_id, *step)

    async def give_back(self, event_id: str, *, costs_attempt: bool = False) -> bool:
        """
        Have another worker take an event, at once and before all others. Otherwise like :meth:`finish`.

        Args:
            event_id: The id of the event.
            costs_attempt: Whether the run that ends here counts as an attempt.
        """
        held = self._held.get(event_id)
        return held is not None and await self._part_with(
            event_id, "back", event_id, held.entry.message, held.token, costs_attempt
        )

    async def postpone(self, event_id: str, due: float, attempts: bytes) -> bool:
        """Have an event taken again at a time (microseconds since 1970). Like :meth:`finish`."""
        held = self._held.get(event_id)
        return held is not None and await self._part_with(
            event_id, "later", event_id, held.entry.message, held.token, due, attempts
        )

    async def give_back_all(self) -> None:
        """Give back all held events, 200 in a round trip. What is refused is taken over after the lease."""

        async def try_one(event_id: str) -> None:
            """Give one event back."""
            with suppress(ClusterError):
                await self.give_back(event_id)

        async with anyio.create_task_group() as group:
            for event_id in list(self._held):
                group.start_soon(try_one, event_id)

    async def _part_with(self, event_id: str, *step: object) -> bool:
        try:
            word, _ = await self._steps.send(*step)
        finally:
            self._let_go(event_id)
        return word in {"done", "again"}

    def _let_go(self, event_id: str) -> None:
        """Renew an event no more."""
        self._held.pop(event_id, None)
        self._has_room.set()
