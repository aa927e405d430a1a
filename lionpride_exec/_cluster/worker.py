"""
A worker of a queue: it takes events, holds them while they run, and reports their starts and ends to the server.

A worker renews all events that it holds each third of its lease. If it dies or stalls for longer than the lease,
another worker takes the events over. Each run has a token. The server records the end of a run only under the token of
the last run that began, so a worker that has stalled cannot end a later run.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager, suppress
from math import inf, isinf
from typing import TYPE_CHECKING, Any

import anyio
import attrs
from anyio import CancelScope, current_time, move_on_after

from lionpride_exec.errors import ClusterError

from .leases import Held, Leases
from .promoter import Promoter
from .queue_types import Look
from .round_trips import RoundTrips
from .worker_host import Start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .queue_types import BucketLimit, Message, StreamEntry, Taken
    from .server_queue import ServerQueue
    from .wire import Client
    from .worker_host import WorkerHost

# Seconds between two looks at a paused queue, or at a host without room.
PAUSED_SLEEP = 0.25

# Seconds in which a cancelled worker may give back its events.
GIVE_BACK_SECONDS = 5.0


class QueueWorker:
    """
    One worker of a queue.

    Args:
        queue: The queue.
        host: Gets the events.
        lease: Seconds after which other workers take over events that this one has not renewed.
        give_back_seconds: Seconds in which the worker may give back its events at the end.
        description: The worker for people, for example host and process.

    Attributes:
        name: Its name, which no other worker has.
    """

    def __init__(
        self,
        queue: ServerQueue,
        host: WorkerHost,
        *,
        lease: float,
        give_back_seconds: float = GIVE_BACK_SECONDS,
        description: str = "",
    ) -> None:
        self.name = secrets.token_hex(6)
        self._queue = queue
        self._host = host
        self._lease = lease
        self._give_back_seconds = give_back_seconds
        self._description = description
        self._held: dict[str, Held] = {}  # by id
        self._steps: RoundTrips[Sequence[Any], tuple[str, *tuple[int, ...]]] = RoundTrips(
            lambda steps: queue.step(self.name, steps, may_judge=self._leases.may_judge())
        )
        self._leases = Leases(queue, self.name, host, self._held, self._let_go, lease=lease, description=description)
        self._promoter = Promoter(queue)
        self._has_room = anyio.Event()  # set when there may be room; replaced before the task looks
        self._is_stopping = False
        self._next_look = 0.0  # loop time of the next look at what other workers do not renew
        self._losses = 0  # lost answers of the wire after which the worker has looked at what it holds

    # ---------------------------------------------------------------- the tasks

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """
        Take events while the block runs.

        At the end of the block, give back the events that are still held, and make the server forget the worker.

        Raises:
            ClusterError: The server refuses a command, or has lost its data.

        Cancellation: held events are given back, and steps that were sent before are sent, for ``give_back_seconds`` at
        most. Other workers take over what is not given back in this time, after the lease.
        """
        async with anyio.create_task_group() as senders:
            senders.start_soon(self._steps.run)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._take_events)
                    group.start_soon(self._read_messages)
                    group.start_soon(self._leases.run)
                    group.start_soon(self._promoter.run)
                    try:
                        yield
                    finally:
                        self._is_stopping = True
                        self._has_room.set()
                        group.cancel_scope.cancel()
            finally:
                until = min(current_time() + self._give_back_seconds, self._queue.wire.leave_by)
                try:
                    with CancelScope(shield=True, deadline=until):
                        await self._take_unknown()
                        await self.give_back_all()
                        with suppress(ClusterError):
                            await self._steps.send(("leave", self._description))
                finally:
                    self._steps.close_soon(until - current_time())

    async def _take_events(self) -> None:
        """Take events while there is room."""
        # Without a lease, the server would give the places of this worker's runs to others.
        await self._leases.wait_for_first()
        has_looked = False

        async def read(client: Client) -> list[StreamEntry]:
            """Wait for new entries, once the worker has taken what there was."""
            nonlocal has_looked
            if not has_looked or self._is_stopping or self._host.room() <= 0:
                has_looked = True
                return []
            return await self._queue.wait_for_entries(client, self.name)

        await self._queue.wire.keep_reading(read, self._take_more)

    async def _take_more(self, entries: list[StreamEntry]) -> None:
        """Take the entries that were read, and more until the queue is empty. Then wait for room, and return."""
        while True:
            want, idle = self._host.room() - len(entries), 0
            if want > 0 and current_time() >= self._next_look and self._leases.may_judge():
                self._next_look = current_time() + self._lease / 3
                idle = round(self._lease * 1000)
            losses = self._queue.wire.losses
            known = None if losses == self._losses else [*self._held, *(entry.event_id for entry in entries)]
            # If this call is cancelled, the worker may hold events unknown to it. _take_unknown() finds them.
            look, found = await self._queue.take(self.name, max(0, want), entries, idle=idle, known=known)
            entries, self._losses = [], losses
            if look is Look.CUT_SHORT:
                self._next_look = 0.0  # once there is room again
            for taken in found:
                self._note_taken(taken)
            await self._wait_for_room()
            if look is Look.PAUSED:
                await anyio.sleep(PAUSED_SLEEP)
            elif not found:
                return

    def _note_taken(self, taken: Taken) -> None:
        held = self._held.get(taken.entry.event_id)
        if held is not None:
            if held.entry == taken.entry:
                return  # the worker has stalled, and gets an event that it holds already
            if not held.is_leaving:  # another worker has had the event meanwhile
                self._host.lose(taken.entry.event_id)
        self._held[taken.entry.event_id] = Held(taken.entry)
        self._host.take(taken)

    async def _take_unknown(self) -> None:
        """Find the events that were handed to this worker in an answer that was lost or cut off."""
        with suppress(ClusterError):
            _, found = await self._queue.take(self.name, 0, known=self._held)
            for taken in found:
                self._held[taken.entry.event_id] = Held(taken.entry)

    async def _wait_for_room(self) -> None:
        while True:
            self._has_room = anyio.Event()
            if self._host.room() > 0:
                return
            with move_on_after(PAUSED_SLEEP):  # no call of room_changed() tells that a pause of the host has ended
                await self._has_room.wait()

    def room_changed(self) -> None:
        """Ask the host for its room again. The host calls this method when there may be room."""
        self._has_room.set()

    async def _read_messages(self) -> None:
        """Read messages, and pass them to the host or to the promoter."""
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
                    self._promoter.look_again()
                elif message.event_id in self._held:
                    self._host.end(message.event_id, message.status, message.outcome)

        await self._queue.wire.keep_reading(read, handle)

    # ---------------------------------------------------------------- reports of the host

    def holds(self, event_id: str) -> bool:
        """
        Return whether an end that the host reports is one of the event that the worker holds.

        It is if the event was taken, and neither finished nor given back since. It is not after :meth:`disown`.
        """
        held = self._held.get(event_id)
        return held is not None and not held.is_new

    def disown(self, event_id: str) -> None:
        """
        Record no end of an event that the worker has taken, since an earlier run of it still ends in the host.

        The host must give the event back or postpone it.
        """
        self._held[event_id].is_new = True

    async def begin(self, event_id: str, limits: Sequence[BucketLimit] = ()) -> Start:
        """
        Report the start of an event, and take from its limits: from all of them or from none.

        Return whether the event may run. If not, return the limit that refuses and when to ask again, or that the event
        is gone. If several limits refuse, it is one for which a run has to end, else the one with the latest time. If a
        run has to end, :meth:`WorkerHost.reopen` is called then. The call may get lost, so ask again after 0.5 s.

        Raises:
            ClusterError: The server was not reached, or it refused. The event must not run. The start may be recorded.
                In both cases, call begin() again, or finish the event or give it back.

        Cancellation: the start is recorded. The event has to be finished or given back.
        """
        held = self._held.get(event_id)
        if held is None:
            return Start(0)
        held.token = secrets.token_hex(8)  # before the step is sent: a give_back() meanwhile needs the token
        held.has_place = any(limit.hold and not limit.per for limit in limits)
        takes = [attrs.astuple(limit) for limit in limits]
        word, *numbers = await self._steps.send(("begin", event_id, held.entry.entry_id, held.token, takes))
        if word == "go":
            return Start(numbers[0])
        if word == "wait":
            held.token = ""  # nothing has begun: an end or a give_back() is one of an event that waits
            return Start(0, inf if numbers[0] < 0 else numbers[0] / 1e6, numbers[1])
        self._let_go(event_id, held)
        return Start(0)

    async def settle(self, event_id: str, bucket: str, cost: float) -> None:
        """
        Correct the cost of a run in a bucket, unless the cost has come back.

        Raises:
            ClusterError: The server was not reached, or it refused. The cost may have been corrected.

        Cancellation: the cost is corrected.
        """
        held = self._held.get(event_id)
        if held is not None:
            await self._steps.send(("settle", held.token, bucket, cost))

    async def shut(self, bucket: str, until: float) -> None:
        """
        Let no worker take from a bucket until a time. An earlier time does not replace a later one.

        Args:
            bucket: The bucket.
            until: Microseconds since 1970. A negative number is microseconds from now on.

        Raises:
            ClusterError: The server was not reached, or it refused. The bucket may have been shut.

        Cancellation: the bucket is shut.
        """
        await self._steps.send(("shut", bucket, until))

    async def pass_place(self, bucket: str) -> None:
        """
        Have the next worker told of a bucket of which this one was told by :meth:`WorkerHost.reopen`. It cannot use it.

        Raises:
            ClusterError: The server was not reached, or it refused. Two workers may have been told.

        Cancellation: the next worker is told.
        """
        await self._steps.send(("pass_place", bucket))

    async def finish(self, event_id: str, status: str, outcome: bytes) -> bool:
        """
        Report the end of an event. Return whether it is recorded. False: another run of the event counts.

        After this call, the worker does not hold the event. An exception is an end that does not count after
        :meth:`disown`: the worker still holds the event.

        Raises:
            ClusterError: The server was not reached, or it refused. The step may have been recorded. If it was
                not, another worker takes the event over after the lease.

        Cancellation: the step is sent.
        """
        return self.holds(event_id) and await self._let_go_by("finish", event_id, status, outcome)

    async def give_back(self, event_id: str, *, costs_attempt: bool = False) -> bool:
        """
        Let any worker take an event, at once and before all others. Otherwise like :meth:`finish`.

        Args:
            event_id: The id of the event.
            costs_attempt: Whether the run that ends here counts as an attempt.
        """
        return await self._let_go_by("give_back", event_id, costs_attempt)

    async def postpone(
        self, event_id: str, due: float, attempts: bytes, *, costs_attempt: bool = True, why: str = ""
    ) -> bool:
        """
        Let any worker take an event again at a time. Otherwise like :meth:`finish`.

        Args:
            event_id: The id of the event.
            due: Microseconds since 1970. A negative number is microseconds from now on.
            attempts: The signed record of its attempts. Empty: the record that is stored stays.
            costs_attempt: Whether the run that ends here counts as an attempt.
            why: Why this worker cannot run the event, for its client. "" if there is no such reason.
        """
        return await self._let_go_by("postpone", event_id, due, attempts, costs_attempt, why)

    async def park(self, event_id: str, limit: BucketLimit, seconds: float) -> bool:
        """
        Let any worker take an event again when it may be its turn under a limit. This costs no attempt.

        The server knows the events that are parked at the limit, and when the next of them may begin. If a run has to
        end first, each end of a run makes one of them available. Otherwise like :meth:`finish`.

        Args:
            event_id: The id of the event.
            limit: The limit that refuses it.
            seconds: After how many seconds it may begin at the earliest. ``inf`` if a run has to end first.
        """
        return await self._let_go_by("park", event_id, attrs.astuple(limit), -1 if isinf(seconds) else seconds * 1e6)

    async def give_back_all(self) -> None:
        """
        Give back all events that the worker holds, 200 in a round trip.

        If the server refuses, other workers take the events over after the lease.

        Cancellation: the steps are sent.
        """

        async def try_one(event_id: str) -> None:
            """Give one event back."""
            with suppress(ClusterError):
                await self.give_back(event_id)

        async with anyio.create_task_group() as group:
            for event_id in list(self._held):
                group.start_soon(try_one, event_id)

    async def _let_go_by(self, kind: str, event_id: str, *rest: object) -> bool:
        """Send a step after which the worker does not hold an event any more. Return whether it is recorded."""
        held = self._held.get(event_id)
        if held is None:
            return False
        held.is_leaving = True
        try:
            word, *_ = await self._steps.send((kind, event_id, held.entry.entry_id, held.token, *rest))
        finally:
            self._let_go(event_id, held)
        return word in {"done", "again", "ended"}

    def _let_go(self, event_id: str, held: Held) -> None:
        """Stop to hold an event, unless the worker has taken it again meanwhile."""
        if self._held.get(event_id) is held:
            del self._held[event_id]
        self._has_room.set()
