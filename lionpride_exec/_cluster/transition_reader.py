"""
What a client learns of the events that it follows, wherever they run.

A reader reads the stream of all transitions, and reports those of its own events. While it has no open event it reads
nothing: an executor that only works would pay for each transition of others. Before an event is submitted,
:meth:`TransitionReader.awake` notes the place in the stream, so that no transition of the event is missed.

The stream keeps a transition for some minutes only. If a reader stalls for longer, the last transition that it read is
not in the stream any more. Then the reader asks the server for the status of each of its events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import attrs
from anyio import current_time

from lionpride_exec._status import TERMINAL

from .server_queue import READ_AT_A_TIME, batches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from .queue_types import Moved
    from .server_queue import ServerQueue
    from .wire import Client

# Seconds for which a reader goes on after the end of its last event: the next event may come soon.
SECONDS_UNTIL_ASLEEP = 1.0

# Seconds between two checks whether the server has lost its data.
SECONDS_BETWEEN_CHECKS = 5.0

# Seconds between two answers after which the stream may have dropped transitions that were not read.
LONGEST_GAP = 1.5


@attrs.define
class _Reported:
    """
    What was reported of an event.

    Attributes:
        is_submitted: Whether the queue has the event, or has had it.
        status: The status that was reported last.
        attempt: The attempt that was reported with the status. -1 before the first report.
        place: Transitions up to this place in the stream are not reported any more.
    """

    is_submitted: bool
    status: str = ""
    attempt: int = -1
    place: tuple[int, int] = (0, 0)


class TransitionReader:
    """
    Reports the transitions of some events, each once and in order.

    If the stream has dropped transitions before they were read, only the status that the event has now is reported.

    Args:
        queue: The queue.
        report: Called with each transition. The last one has the outcome. The status is "" if the queue does not know
            the event any more. The function may return an awaitable, for which the reader waits.
        tell_refused: Called with the id of an event that a worker cannot run, with the reason and the worker.
        longest_gap: Seconds between two answers after which the stream may have dropped transitions.
    """

    def __init__(
        self,
        queue: ServerQueue,
        report: Callable[[Moved], Awaitable[None] | None],
        tell_refused: Callable[[str, str, str], None] | None = None,
        *,
        longest_gap: float = LONGEST_GAP,
    ) -> None:
        self._queue = queue
        self._report = report
        self._tell_refused = tell_refused
        self._longest_gap = longest_gap
        self._open: dict[str, _Reported] = {}  # by id
        self._unsure: dict[str, None] = {}  # ids, in order, of events that may have moved before they were added
        self._cursor: str | None = None  # up to where the stream was read. None while the reader is asleep
        self._woken = anyio.Event()  # set when the reader has a cursor
        self._had_events = 0.0  # loop time at which there were open events last
        self._last_read = 0.0  # loop time
        self._checked = 0.0  # loop time at which the server had the data
        self._losses = 0  # lost answers of the wire when that was checked
        self._is_behind = False  # whether the stream had more than was read

    # ---------------------------------------------------------------- which events

    def add(self, event_id: str, *, is_submitted: bool = False) -> None:
        """
        Report the transitions of an event from now on, until it has ended.

        To miss nothing, call this and then :meth:`awake` before the event is submitted.

        Args:
            event_id: Its id.
            is_submitted: Whether the queue has it already. Then its status is reported within 0.5 s.
        """
        self._open[event_id] = _Reported(is_submitted)
        if is_submitted:
            self._unsure[event_id] = None

    def note_submitted(self, event_id: str, *, is_new: bool) -> None:
        """Note that the queue has taken an event in, or that it has had it before."""
        if (reported := self._open.get(event_id)) is not None:
            reported.is_submitted = True
            if not is_new:
                self._unsure[event_id] = None

    def discard(self, event_id: str) -> None:
        """Report no further transition of an event. Idempotent."""
        self._open.pop(event_id, None)

    # ---------------------------------------------------------------- reading

    async def run(self) -> None:
        """
        Read transitions until cancelled.

        Raises:
            ClusterError: The server refuses, or has lost its data.
        """
        if not self._open:
            await self._woken.wait()
        self._had_events = self._last_read = current_time()

        async def read(client: Client) -> list[Moved]:
            """Read the next transitions, or wait for them. Return at once if :meth:`_handle` has work to do first."""
            if self._cursor is None or self._unsure:
                return []
            return await self._queue.wait_for_transitions(client, self._cursor)

        await self._queue.wire.keep_reading(read, self._handle)

    async def awake(self) -> None:
        """
        Have the stream read from now on, as long as there are open events.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        while self._cursor is None:
            cursor, _ = await self._queue.states([])
            if self._cursor is None:  # else another task has set it meanwhile
                self._cursor = cursor
                self._woken.set()

    async def _sleep(self) -> None:
        """Wait until there is an open event."""
        self._cursor = None
        self._woken = anyio.Event()
        await self._woken.wait()
        self._had_events = self._last_read = current_time()
        self._is_behind = False

    async def learn(self, event_ids: Sequence[str]) -> str:
        """
        Report the status of events, unless it was reported. Return the cursor after which the stream has the rest.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        first_cursor = ""
        for ids in batches(event_ids):
            cursor, found = await self._queue.states(ids)
            first_cursor = first_cursor or cursor
            for moved in found:
                self._unsure.pop(moved.event_id, None)
                reported = self._open.get(moved.event_id)
                if reported is None or _place(cursor) < reported.place or not (moved.status or reported.is_submitted):
                    continue
                reported.place = _place(cursor)
                if (moved.status, moved.attempt) != (reported.status, reported.attempt):
                    await self._pass_on(moved, reported)
        return first_cursor

    async def _handle(self, read: list[Moved]) -> None:
        """Pass on what was read, and sleep if there are no open events."""
        await self.awake()
        await self._check_epoch()
        if read and await self._has_dropped_some():
            self._cursor = await self.learn(list(self._open)) or read[-1].cursor
        elif read:
            await self._pass_all_on(read)
            self._cursor = read[-1].cursor
        self._is_behind = len(read) == READ_AT_A_TIME
        if self._unsure:
            await self.learn(list(self._unsure))
        self._last_read = current_time()
        if self._open:
            self._had_events = self._last_read
        elif self._last_read - self._had_events > SECONDS_UNTIL_ASLEEP:
            await self._sleep()

    async def _check_epoch(self) -> None:
        """
        Check now and then, and after each loss of the connection, that the server has the data of the queue.

        A read of a stream that is gone raises nothing: it waits, as if there were no new transitions.

        A server that was restarted may also have lost the last second only. Then it has the queue, but it may know
        nothing of the latest events. So the status of each event is asked for.
        """
        losses = self._queue.wire.losses
        if losses != self._losses or current_time() > self._checked + SECONDS_BETWEEN_CHECKS:
            end, _ = await self._queue.states([])
            if losses != self._losses:
                self._unsure |= dict.fromkeys(self._open)
                self._go_back_to(end)
            self._losses, self._checked = losses, current_time()

    def _go_back_to(self, end: str) -> None:
        """If the stream ends before what was read of it, the server has lost the rest. Go on from that end."""
        if self._cursor is not None and _place(end) < _place(self._cursor):
            self._cursor = end
            for reported in self._open.values():
                reported.place = min(reported.place, _place(end))

    async def _has_dropped_some(self) -> bool:
        """
        Return whether the stream has dropped transitions before those that were read just now.

        The oldest ones are dropped first. So none is missing while the stream has the one that was read last.
        """
        assert self._cursor is not None
        is_suspect = self._is_behind or current_time() - self._last_read >= self._longest_gap
        return is_suspect and self._cursor != "0-0" and not await self._queue.has_transition(self._cursor)

    async def _pass_all_on(self, read: Iterable[Moved]) -> None:
        """Pass transitions on, with the outcomes that are not in the stream."""
        known = [moved for moved in read if moved.event_id in self._open]
        self._pass_refusals_on(read)
        ended = [moved.event_id for moved in known if moved.status in TERMINAL and not moved.outcome]
        found: dict[str, Moved] = {}
        for ids in batches(ended):
            _, states = await self._queue.states(ids)
            found |= {one.event_id: one for one in states}
        for moved in known:
            reported = self._open.get(moved.event_id)
            if reported is None or _place(moved.cursor) <= reported.place:
                continue
            reported.place = _place(moved.cursor)
            if moved.status in TERMINAL and not moved.outcome:
                state = found[moved.event_id]
                await self._pass_on(attrs.evolve(moved, outcome=state.outcome, because=state.because), reported)
            else:
                await self._pass_on(moved, reported)

    def _pass_refusals_on(self, read: Iterable[Moved]) -> None:
        for moved in read:
            if moved.refused is not None and self._tell_refused is not None and moved.refused[0] in self._open:
                self._tell_refused(*moved.refused, moved.worker)

    async def _pass_on(self, moved: Moved, reported: _Reported) -> None:
        reported.status, reported.attempt = moved.status, moved.attempt
        if moved.status in TERMINAL or not moved.status:
            del self._open[moved.event_id]
        waiting = self._report(moved)
        if waiting is not None:
            await waiting


def _place(cursor: str) -> tuple[int, int]:
    """Return a cursor as numbers, so that it can be compared."""
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds), int(number)
