"""
The queue of a processor: an AnyIO memory stream in front, heaps behind.

Whoever appends puts an entry on the stream and never waits, nor sorts; the side that starts events takes what has
arrived and sorts it into a heap. *What is queued* is told by one dict of live entries. An entry that left this
dict is stale wherever else it stands, so removal is O(1).

Entries stand in *lanes*, one per partition. A lane can be closed until some time; the first entries of the open
lanes stand in a heap of their own, so a closed lane costs nothing however much waits in it. (With one heap of
everything, each entry of a closed partition would have to be taken out and put back.)
"""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import contextmanager
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import anyio
from attrs import define, field

from .errors import ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable, Iterable
    from uuid import UUID

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class Entry(NamedTuple):
    """One queued event. Entries sort by priority, lower first, then by arrival, which no two share."""

    priority: float
    arrival: int
    event_id: UUID
    key: Hashable


@define(eq=False)
class _Lane:
    """The queued entries of one partition."""

    heap: list[Entry] = field(factory=list[Entry])
    is_open: bool = True


class PriorityQueue:
    """
    Event ids by priority: the lowest number first, equal ones in order of arrival.

    Args:
        max_size: Bound behind :attr:`is_full` and :meth:`wait_for_room`; ``put()`` itself does not enforce it.
        key_of: Gives the partition of an event id.
    """

    def __init__(self, max_size: float = inf, key_of: Callable[[UUID], Hashable] = lambda _: None) -> None:
        self.max_size = max_size
        self._key_of = key_of
        self._arrivals = count()
        self._live: dict[UUID, Entry] = {}
        self._lanes: dict[Hashable, _Lane] = {}
        # First entries of open lanes. May hold outdated ones: one counts only while it is the first of its lane.
        self._heads: list[Entry] = []
        self._closed: list[tuple[float, int, Hashable]] = []  # (opens at, unique number, key)
        self._delayed: list[tuple[float, Entry]] = []
        self._not_due: set[UUID] = set()  # the live ones among the delayed
        self._backlog: list[Entry] = []
        self._stale = 0
        # The intake. Open only while a loop takes from it, which closes it too; else entries are sorted in at once.
        self._send: MemoryObjectSendStream[Entry] | None = None
        self._receive: MemoryObjectReceiveStream[Entry] | None = None
        self._arrived = 0  # how many items lie on it
        self._getters: deque[anyio.Event] = deque()
        self._room_waiters: OrderedDict[anyio.Event, bool] = OrderedDict()
        self._promised = 0
        # Called when something was put that can be taken at once.
        self.on_put: Callable[[], None] | None = None

    # ---------------------------------------------------------------- looking

    def qsize(self) -> int:
        """How many events are queued, those that wait for a closed gate included, the backlog not."""
        return len(self._live)

    def empty(self) -> bool:
        """Whether nothing is queued and no backlog waits to be."""
        return not self._live and not self._backlog

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._live

    @property
    def is_full(self) -> bool:
        """Whether there is no room: what is promised to a waiter, or owed to the backlog, is not room."""
        return len(self._live) + self._promised >= self.max_size or bool(self._backlog)

    def ready(self, now: float) -> int:
        """How many entries can be taken at that time: an upper bound (lanes may be closed), 0 only if none can."""
        self._catch_up(now)
        return len(self._live) - len(self._not_due) if self._first() is not None else 0

    def next_at(self) -> float:
        """When the next delayed entry is due or closed lane opens; ``inf`` if there is neither."""
        delayed = self._delayed[0][0] if self._delayed else inf
        return min(delayed, self._closed[0][0]) if self._closed else delayed

    # ---------------------------------------------------------------- putting

    def put_nowait(self, priority: float, event_id: UUID) -> None:
        """Queue an event. One that is queued already moves to its new priority. O(log n)."""
        self.put_back(Entry(priority, next(self._arrivals), event_id, self._key_of(event_id)))

    async def put(self, item: tuple[float, UUID]) -> None:
        """Queue ``(priority, event_id)``. Never waits."""
        self.put_nowait(*item)

    def put_back(self, entry: Entry) -> None:
        """Queue an entry (again, where it stood: same priority, same place among equals)."""
        before = len(self._live)
        self._live[entry.event_id] = entry
        if len(self._live) == before:  # it was queued already: that entry is stale now
            self._stale += 1
            self._not_due.discard(entry.event_id)
        if self._send is None:
            self._sort_in(entry)
        else:
            self._send.send_nowait(entry)
            self._arrived += 1
        if self._getters:
            self._getters.popleft().set()
        if self.on_put is not None:
            self.on_put()

    def put_delayed(self, entry: Entry, until: float) -> None:
        """Queue an entry again where it stood, but not before the time ``until``. O(log n)."""
        self._live[entry.event_id] = entry
        heappush(self._delayed, (until, entry))
        self._not_due.add(entry.event_id)

    def put_backlog(self, items: Iterable[tuple[float, UUID]]) -> None:
        """
        Queue many events, however many: what exceeds ``max_size`` follows in order as room appears.

        While a backlog waits, the queue counts as full. An event that is queued already keeps its entry.
        """
        waiting = {entry.event_id for entry in self._backlog}
        self._backlog.extend(
            Entry(priority, next(self._arrivals), event_id, self._key_of(event_id))
            for priority, event_id in items
            if event_id not in self._live and event_id not in waiting
        )
        heapify(self._backlog)
        self._fill_room()

    def discard(self, event_id: UUID) -> None:
        """Forget an event if it is queued. O(1) amortised."""
        if self._live.pop(event_id, None) is None:
            return
        self._not_due.discard(event_id)
        self._stale += 1
        if self._stale > 32 + len(self._live):
            self._rebuild()
        self._fill_room()

    # ---------------------------------------------------------------- taking

    def pop_nowait(self, now: float) -> Entry | None:
        """Take the first entry that stands in an open lane; None if there is none. O(log n)."""
        self._catch_up(now)
        while (entry := self._first()) is not None:
            heap = self._lanes[entry.key].heap
            heappop(heap)
            if heap:
                heapreplace(self._heads, heap[0])
            else:
                heappop(self._heads)
                del self._lanes[entry.key]
            live = self._live.pop(entry.event_id, None)
            if live is entry:
                self._fill_room()
                return entry
            if live is not None:
                self._live[entry.event_id] = live
            self._stale -= 1
        return None

    async def get(self) -> tuple[float, UUID]:
        """
        Take the first ``(priority, event_id)``; waits while there is none.

        Cancellation: while it waits; nothing is taken then.
        """
        while (entry := self.pop_nowait(anyio.current_time())) is None:
            await self._wait_for_put()
        return entry.priority, entry.event_id

    def close_lane(self, key: Hashable, until: float) -> None:
        """Keep the entries of a partition from being taken before ``until``; a closed lane keeps its time. O(log n)."""
        lane = self._lanes.setdefault(key, _Lane())
        if lane.is_open:
            lane.is_open = False
            heappush(self._closed, (until, next(self._arrivals), key))

    def open_all(self) -> None:
        """Open all lanes and make all delayed entries due. O(what was closed or delayed)."""
        self._catch_up(inf)

    # ---------------------------------------------------------------- waiting

    @contextmanager
    def intake(self) -> Generator[None]:
        """Open the stream in front, for a loop that will take what arrives."""
        self._send, self._receive = anyio.create_memory_object_stream[Entry](inf)
        with self._send, self._receive:
            try:
                yield
            finally:
                self._catch_up(-inf)
                self._send = self._receive = None

    async def _wait_for_put(self) -> None:
        event = anyio.Event()
        self._getters.append(event)
        try:
            with anyio.CancelScope(deadline=self.next_at()):
                await event.wait()
        finally:
            if not event.is_set():
                self._getters.remove(event)
            elif self._getters:  # the wake-up may have been lost on us: pass it on, a needless one does no harm
                self._getters.popleft().set()

    async def wait_for_room(self) -> None:
        """
        Wait, first come first served, until there is room, and reserve it until the caller's next step.

        A caller that does not use it calls :meth:`offer_room`.

        Raises:
            ExecutorClosedError: :meth:`turn_away_waiters` was called meanwhile.

        Cancellation: while it waits; its turn goes to the next.
        """
        if not self.is_full:
            return
        event = anyio.Event()
        self._room_waiters[event] = True
        try:
            await event.wait()
        except BaseException:
            if self._room_waiters.pop(event, None) is None:
                self._promised -= 1
                self.offer_room()
            raise
        if self._room_waiters.pop(event, None) is not None:
            raise ExecutorClosedError("There will be no room: the executor was left while the queue was full")
        self._promised -= 1

    def turn_away_waiters(self) -> None:
        """Have all who wait for room raise."""
        for event in self._room_waiters:
            event.set()

    def offer_room(self) -> None:
        """Give room that is there to those who wait for it, in their order."""
        while self._room_waiters and not self.is_full:
            event = next(iter(self._room_waiters))
            del self._room_waiters[event]  # this is how it learns that it was not turned away
            self._promised += 1
            event.set()

    # ---------------------------------------------------------------- inside

    def _sort_in(self, entry: Entry) -> None:
        lane = self._lanes.get(entry.key)
        if lane is None:
            lane = self._lanes[entry.key] = _Lane()
        heappush(lane.heap, entry)
        if lane.is_open and lane.heap[0] is entry:
            heappush(self._heads, entry)

    def _catch_up(self, now: float) -> None:
        """Bring the heaps up to date: take in what has arrived, what is due, and the lanes that open."""
        while self._arrived and self._receive is not None:
            self._arrived -= 1
            self._sort_in(self._receive.receive_nowait())
        while self._delayed and self._delayed[0][0] <= now:
            entry = heappop(self._delayed)[1]
            if self._live.get(entry.event_id) is entry:
                self._not_due.discard(entry.event_id)
            self._sort_in(entry)
        while self._closed and self._closed[0][0] <= now:
            key = heappop(self._closed)[2]
            lane = self._lanes[key]
            lane.is_open = True
            if lane.heap:
                heappush(self._heads, lane.heap[0])
            else:
                del self._lanes[key]

    def _first(self) -> Entry | None:
        while self._heads:
            entry = self._heads[0]
            lane = self._lanes.get(entry.key)
            if lane is not None and lane.is_open and lane.heap and lane.heap[0] is entry:
                return entry
            heappop(self._heads)
        return None

    def _rebuild(self) -> None:
        """Build the lanes anew from what is live."""
        self._catch_up(-inf)
        self._delayed = [item for item in self._delayed if self._live.get(item[1].event_id) is item[1]]
        heapify(self._delayed)
        self._lanes = {key: _Lane(is_open=False) for _, _, key in self._closed}
        self._heads = []
        self._stale = 0
        for entry in self._live.values():
            if entry.event_id not in self._not_due:
                self._sort_in(entry)

    def _fill_room(self) -> None:
        """Give room that has appeared to the backlog, then to those who wait for it."""
        while self._backlog and len(self._live) < self.max_size:
            self.put_back(heappop(self._backlog))
        self.offer_room()
