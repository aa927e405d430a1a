"""
Pages of the events that an executor has in memory, the newest first.

Each status has its events in the order in which they came to it, and can be read from any of them on. A page of all
statuses merges these orders by time. So the newest event is the one whose status changed last.

A page says where the next one begins by the last event that was looked at in each status. An event may have left its
status by then: then the place is found again by the time at which it came to the status.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._status import HELD, PROCESSING, TERMINAL, EventStatus
from lionpride_exec.errors import NotFoundError

from .fitting import Filter
from .live_lines import event_line, fields_text, shown_line
from .snapshot import EventPage

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.found import FoundEvent
    from lionpride_exec._executor.live_view import LiveView

    from .snapshot import Choice, EventLine

# Once so many events were looked at, the page is returned as it is.
MOST_LOOKED_AT: Final = 5000

# Events that are looked at between two checkpoints. Each takes some 20 us, and 80 us or more if its fields are searched
# or shown.
AT_A_TIME: Final = 20

# The letter of each status in a place.
_LETTERS: Final = dict(zip(EventStatus, "prcfxsa", strict=True))
_STATUSES: Final = {letter: status for status, letter in _LETTERS.items()}


def since_of(found: FoundEvent) -> float:
    """Return when an event came to its status, in seconds since 1970."""
    if found.status in TERMINAL:
        moment = found.finished_at
    elif found.status is PROCESSING:
        moment = found.started_at
    else:
        attempts = () if found.event is None else found.event.execution.attempts
        moment = attempts[-1].finished_at if attempts else found.queued_at
    return 0.0 if moment is None else moment.timestamp()


@attrs.define
class _Lane:
    """
    The events of one status, from the newest to the oldest.

    Attributes:
        status: The status.
        last: The last event that was looked at. None before the first.
        since: When this event came to the status.
        found: The next events.
        has_ended: Whether no more follow these.
    """

    status: EventStatus
    last: UUID | None = None
    since: float = 0.0
    found: list[FoundEvent] = attrs.field(factory=list)
    has_ended: bool = False

    def take(self) -> FoundEvent:
        """Return the next event, which there is."""
        found = self.found.pop(0)
        self.last, self.since = found.id, since_of(found)
        return found

    @property
    def place(self) -> str:
        """Where to go on, as text. The time is in microseconds."""
        return "" if self.last is None else f"{_LETTERS[self.status]}{self.last.hex}{round(self.since * 1e6)}"


class LivePages:
    """
    Finds events in memory.

    Args:
        view: Looks at the executor.
    """

    def __init__(self, view: LiveView) -> None:
        self._view = view

    async def page(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events that fit; see ``Source.events()``. At most 20 events are looked at between two checkpoints."""
        lanes = _lanes(choice.status, before)
        chosen = Filter(choice)
        at_a_time = min(AT_A_TIME, count)
        lines: list[EventLine] = []
        heap: list[tuple[float, int, _Lane]] = []
        for number, lane in enumerate(lanes):
            await self._push(heap, lane, number, at_a_time, choice.since)
        looked_at = 0
        while heap and len(lines) < count and looked_at < MOST_LOOKED_AT:
            _, number, lane = heappop(heap)
            found = lane.take()
            line = event_line(found)
            if chosen.fits(line, partial(_fields_have, found.event)):
                lines.append(attrs.evolve(shown_line(found), waits=self._view.waits(found.event)))
            looked_at += 1
            if looked_at % at_a_time == 0:
                await checkpoint()
            await self._push(heap, lane, number, at_a_time, choice.since)
        return EventPage(lines=tuple(lines), before=_place(lanes) if heap else None)

    async def _push(
        self, heap: list[tuple[float, int, _Lane]], lane: _Lane, number: int, size: int, since: float | None
    ) -> None:
        """Put a lane among those with a next event, if it has one that came to the status in time."""
        if not lane.found and not lane.has_ended:
            await self._fill(lane, size)
        if lane.found and (since is None or since_of(lane.found[0]) >= since):
            heappush(heap, (-since_of(lane.found[0]), number, lane))

    async def _fill(self, lane: _Lane, size: int) -> None:
        """Read the next events of a lane."""
        try:
            lane.found = [*self._view.newest(lane.status, lane.last, size)]
        except NotFoundError:  # the event has left the status
            await self._find_place(lane, size)
        lane.has_ended = not lane.found
        await checkpoint()

    async def _find_place(self, lane: _Lane, size: int) -> None:
        """Go back from the newest event to those that came before the one that has left."""
        last: UUID | None = None
        while True:
            try:
                found = self._view.newest(lane.status, last, AT_A_TIME)
            except NotFoundError:  # this one has left meanwhile
                last = None
                continue
            older = [one for one in found if round(since_of(one) * 1e6) <= round(lane.since * 1e6)]
            if older or not found:
                lane.found = older[:size]
                return
            last = found[-1].id
            await checkpoint()


def _lanes(status: str | None, before: str | None) -> list[_Lane]:
    """
    Return the lanes of a page.

    Raises:
        NotFoundError: The status does not exist, or ``before`` is no place.
    """
    statuses = _statuses(status)
    if before is None:
        return [_Lane(one) for one in statuses]
    lanes = {one: _Lane(one) for one in statuses}
    for text in before.split("."):
        try:
            lane = lanes[_STATUSES[text[:1]]]
            lane.last, lane.since = UUID(text[1:33]), int(text[33:]) / 1e6
        except (LookupError, ValueError, OverflowError):
            raise NotFoundError("there is no such page: read the first page again") from None
    return list(lanes.values())


def _statuses(status: str | None) -> list[EventStatus]:
    if status is None:
        return [*EventStatus]
    if status == HELD:  # only a journal holds events
        return []
    try:
        return [EventStatus(status)]
    except ValueError:
        raise NotFoundError(f"there is no status {status!r}") from None


def _place(lanes: list[_Lane]) -> str | None:
    """Return where the next page begins. None for the first page again, of which nothing was looked at."""
    return ".".join(lane.place for lane in lanes if lane.place) or None


def _fields_have(event: Event[Any] | None, text: str) -> bool:
    """Return whether the fields of an event have a text, which is in lower case. Those of a lost event have none."""
    return event is not None and text in fields_text(event).casefold()
