"""What a client learns of the events that it has submitted, wherever they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from anyio import current_time

from .server_queue import EVENTS_AT_A_TIME, KEEP_TRANSITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server_queue import Moved, ServerQueue

# The statuses in which an event stays.
ENDED = frozenset({"completed", "failed", "cancelled", "skipped", "aborted"})

# Half the time for which the stream keeps a transition, in seconds.
LONGEST_GAP = KEEP_TRANSITIONS / 1000 / 2


@attrs.define
class _Told:
    """
    What was told of an event.

    Attributes:
        status: The status that was told last. "" if none was.
        attempt: The attempt that was told with it.
        place: Transitions up to this place in the stream are told, or will not be.
    """

    status: str = ""
    attempt: int = 0
    place: tuple[int, int] = (0, 0)


class Follower:
    """
    Tells of the transitions of some events, each once and in order.

    Transitions that the stream has lost are not told one by one: the client learns where the event stands.

    Args:
        queue: The queue.
        tell: Gets each transition. That of an end has the outcome. It must not wait.
        longest_gap: Seconds without an answer after which the stream may have lost transitions that were not read.
    """

    def __init__(self, queue: ServerQueue, tell: Callable[[Moved], None], *, longest_gap: float = LONGEST_GAP) -> None:
        self._queue = queue
        self._longest_gap = longest_gap
        self._tell = tell
        self._open: dict[str, _Told] = {}  # by id
        self._last_read = 0.0  # loop time

    def add(self, event_id: str) -> None:
        """Tell of an event from now on, until it has ended. To miss nothing, call this before it is submitted."""
        self._open[event_id] = _Told()

    def discard(self, event_id: str) -> None:
        """Tell of an event no more. Idempotent."""
        self._open.pop(event_id, None)

    async def run(self) -> None:
        """
        Read transitions until cancelled.

        Raises:
            ClusterError: The server refuses, or has lost its data.
        """
        await self._queue.follow(await self._catch_up(), self._handle)

    async def _catch_up(self) -> str:
        """Learn where all events stand now. Return the cursor from which the stream has the rest."""
        first_cursor, ids = "", list(self._open)
        for first in range(0, max(len(ids), 1), EVENTS_AT_A_TIME):
            cursor, found = await self._queue.states(ids[first : first + EVENTS_AT_A_TIME])
            first_cursor = first_cursor or cursor
            for moved in found:
                told = self._open.get(moved.event_id)
                if told is None or not moved.status:
                    continue
                told.place = _place(cursor)
                if (moved.status, moved.attempt) != (told.status, told.attempt):
                    self._pass_on(moved, told)
        self._last_read = current_time()
        return first_cursor

    async def _handle(self, read: list[Moved]) -> None:
        """Pass transitions on, with the outcomes that are too long for the stream."""
        if current_time() - self._last_read > self._longest_gap:
            await self._catch_up()
        known = [moved for moved in read if moved.event_id in self._open]
        long = [moved.event_id for moved in known if moved.status in ENDED and not moved.outcome]
        outcomes: dict[str, bytes] = {}
        for first in range(0, len(long), EVENTS_AT_A_TIME):
            _, found = await self._queue.states(long[first : first + EVENTS_AT_A_TIME])
            outcomes |= {one.event_id: one.outcome for one in found}
        for moved in known:
            told = self._open.get(moved.event_id)
            if told is not None and _place(moved.cursor) > told.place:
                has_long = moved.status in ENDED and not moved.outcome
                self._pass_on(attrs.evolve(moved, outcome=outcomes[moved.event_id]) if has_long else moved, told)
        self._last_read = current_time()

    def _pass_on(self, moved: Moved, told: _Told) -> None:
        told.status, told.attempt = moved.status, moved.attempt
        if moved.status in ENDED:
            del self._open[moved.event_id]
        self._tell(moved)


def _place(cursor: str) -> tuple[int, int]:
    """Return a cursor as numbers, so that it can be compared."""
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds), int(number)
