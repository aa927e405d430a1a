"""
Finding events by what is known of them: in memory. The subclasses look in a journal and in a cluster.

A :class:`Walk` goes through the events that are asked for, the newest first. ``find()`` takes one page of it, and the
other questions take all of it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from anyio import ResourceGuard
from anyio.lowlevel import checkpoint

from lionpride_exec._base.closing_iterator import ClosingIterator
from lionpride_exec._events.event import Event
from lionpride_exec.errors import NotFoundError

from .found import FoundEvent, found_in_memory
from .named_events import id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from .found import Wanted
    from .parts import Parts

    Before: TypeAlias = FoundEvent | Event[Any] | UUID | str | Iterable[FoundEvent | Event[Any] | UUID] | None

# Events that are looked at between two checkpoints.
AT_A_TIME = 500


class Walk(Protocol):
    """Goes through the events that are asked for."""

    async def next(self, limit: int) -> list[FoundEvent]:
        """
        Return the next events: ``limit`` of them, or fewer if no more follow.

        Raises:
            JournalError: The journal cannot be read.
            ClusterError: The server was not reached, or refuses.

        Cancellation: nothing has changed.
        """
        ...


class Finding:
    """
    Answers questions about the events in memory.

    Args:
        parts: The parts of the executor.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # ---------------------------------------------------------------- what the facade asks for

    async def find(self, wanted: Wanted, before: Before, limit: int) -> list[FoundEvent]:
        """Return a page of the events that are asked for."""
        walk = await self.begin(wanted, before, limit)
        return note_seen(await walk.next(limit))

    async def count(self, wanted: Wanted) -> int:
        """Return the number of events that are asked for."""
        if wanted.is_plain:
            counts = await self._counts()
            return sum(n for status, n in counts.items() if wanted.statuses is None or status in wanted.statuses)
        walk, number = await self.begin(wanted, None, None, reads=False), 0
        while found := await walk.next(AT_A_TIME):
            number += len(found)
        return number

    # ---------------------------------------------------------------- what the subclasses replace

    async def begin(self, wanted: Wanted, before: Before, limit: int | None, *, reads: bool = True) -> Walk:  # noqa: ARG002  for subclasses
        """
        Return a walk.

        Args:
            wanted: What is asked for.
            before: What was found last, or the page of it. None to begin with the newest.
            limit: How many events the caller takes at most. None if all.
            reads: Whether the events themselves are needed.

        Raises:
            NotFoundError: None of ``before`` is here, or has the status that is asked for.
        """
        seen = ids_of(before)
        if wanted.key is not None:
            event = self._parts.keys.find(self._parts.lookups.key_of(wanted.key))
            await checkpoint()
            return MemoryWalk(self._parts, wanted, [] if event is None or seen else [event])
        events = self._events(wanted, seen, limit if wanted.is_plain else None)
        await checkpoint()
        return MemoryWalk(self._parts, wanted, events)

    async def _counts(self) -> dict[str, int]:
        """Return the number of events by status."""
        await checkpoint()
        return self._parts.lookups.status_counts()

    # ---------------------------------------------------------------- in memory

    def _events(self, wanted: Wanted, seen: Sequence[UUID], limit: int | None) -> list[Event]:
        """Return the events that come into question. O(limit) for one status, otherwise O(all events)."""
        index = self._parts.index
        if wanted.statuses is not None and len(wanted.statuses) == 1:
            status = wanted.statuses[0]
            progression = index.progression(status)
            last = _last_in(seen, progression, f"{status.value} any more")
            return index.newest(status, last, len(progression) if limit is None else limit)
        events = [*reversed(index.items._items.values())]
        last = _last_in(seen, index.items, "in the executor any more")
        return events if last is None else events[events.index(index.items[last]) + 1 :]


class MemoryWalk:
    """
    Goes through events in memory.

    Args:
        parts: The parts of the executor.
        wanted: What is asked for.
        events: The events that come into question, the newest first.
    """

    def __init__(self, parts: Parts, wanted: Wanted, events: Sequence[Event]) -> None:
        self._index = parts.index
        self._keys = parts.keys
        self._wanted = wanted
        self._events = iter(events)
        self._taken: list[FoundEvent] = []  # by a call that was cancelled

    async def next(self, limit: int) -> list[FoundEvent]:
        """Return the next events that are here and asked for."""
        taken = self._taken
        for number, event in enumerate(self._events, 1):
            if event.id in self._index.items:
                one = found_in_memory(event, self._keys.of(event.id))
                if self._wanted.fits(one):
                    taken.append(one)
                    if len(taken) == limit:
                        break
            if number % AT_A_TIME == 0:
                await checkpoint()
        self._taken = []
        return taken


class FoundEvents(ClosingIterator[FoundEvent]):
    """
    Iterates over a walk, for one task.

    Args:
        finding: Makes the walk at the first step.
        wanted: What is asked for.
    """

    def __init__(self, finding: Finding, wanted: Wanted) -> None:
        self._finding = finding
        self._wanted = wanted
        self._walk: Walk | None = None
        self._page: deque[FoundEvent] = deque()
        self._has_ended = False
        self._guard = ResourceGuard("reading from")

    async def __anext__(self) -> FoundEvent:
        with self._guard:
            if not self._page and not self._has_ended:
                if self._walk is None:
                    self._walk = await self._finding.begin(self._wanted, None, None)
                self._page.extend(await self._walk.next(AT_A_TIME))
                self._has_ended = len(self._page) < AT_A_TIME
            if not self._page:
                self._has_ended = True
                raise StopAsyncIteration
            found = self._page.popleft()
            note_seen([found])
            return found

    async def aclose(self) -> None:
        """End the iteration. Idempotent."""
        self._has_ended = True
        self._page.clear()
        await checkpoint()


def note_seen(found: list[FoundEvent]) -> list[FoundEvent]:
    """Note that a caller was given these events: their failures count as looked at. Return them."""
    for one in found:
        if one.event is not None and one.event._unseen is not None:
            one.event._unseen.look_at(one.event)
    return found


def as_items(before: Before) -> list[FoundEvent | Event[Any] | UUID | str]:
    """Return the items of a page, or the one item."""
    if before is None:
        return []
    return [before] if isinstance(before, FoundEvent | Event | UUID | str) else list[Any](before)


def ids_of(before: Before) -> list[UUID]:
    """
    Return the ids of a page.

    Raises:
        ValueError: One of them is no id.
    """
    return [id_of(one, "before") for one in as_items(before)]


def _last_in(seen: Sequence[UUID], here: Any, what: str) -> UUID | None:
    """
    Return the last of these ids that is in a collection. None if there are none.

    Raises:
        NotFoundError: None of them is.
    """
    for event_id in reversed(seen):
        if event_id in here:
            return event_id
    if not seen:
        return None
    few = "none of these events is" if len(seen) != 1 else f"event {seen[0]} is not"
    raise NotFoundError(f"{few} {what}: read the first page again")
