"""
The queue of a processor: an AnyIO memory stream in front, lanes behind.

A caller that appends puts an entry on the stream, and neither waits nor sorts. The side that starts events takes the
entries from the stream and sorts them into lanes (``_scheduling.lanes``). One dict contains the *live* entries, which
are the queued ones. An entry that is not in the dict is stale, in the stream, the lanes and the heap. So a removal
costs O(1).

All queued entries may start, also those above ``max_size``: that bound decides who may append, and not what starts. An
entry that waited apart for room could not start, although the entries before it wait for the limit of another key.

An entry that is not due waits in a heap by time, and goes to its lane when it is due. The entry keeps its priority and
its place among equals.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from itertools import count
from math import inf
from typing import TYPE_CHECKING

import anyio

from lionpride_exec._base.backend import current_time, scope_deadline
from lionpride_exec._base.loop_time import LoopClock
from lionpride_exec._model.limits import Route, Router

from .delays import Delay, Delays
from .entry import Entry
from .lanes import Lanes
from .room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from uuid import UUID

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class PriorityQueue:
    """
    Event ids by priority, the lowest number first. Equal priorities keep the order of arrival. Their keys take turns.

    Args:
        max_size: The size from which on :attr:`is_full` is true and :meth:`wait_for_room` waits, 0 or more. Methods
            that queue an entry do not check the size.
        router: The limits and partitions. None if there are none.
        route_of: A function that returns the route of an event id. None if all events have the same route.
    """

    def __init__(
        self,
        max_size: float = inf,
        router: Router | None = None,
        route_of: Callable[[UUID], Route] | None = None,
    ) -> None:
        router = router or Router()
        self.max_size = max_size
        self._plain = router.plain
        self._route_of = route_of
        self._arrivals = count()
        self._live: dict[int, Entry] = {}  # by the number of the id, whose hash is faster
        self.lanes: Lanes = Lanes(self._live, router)
        self.delays: Delays = Delays(self._live)
        self._delayed, self._not_due = self.delays.heap, self.delays.not_due
        self._clock = LoopClock()
        # The intake. A loop opens it, takes entries from it and closes it. While it is closed, put_back() sorts
        # entries into the lanes at once.
        self._send: MemoryObjectSendStream[Entry] | None = None
        self._receive: MemoryObjectReceiveStream[Entry] | None = None
        self._arrived = 0  # how many entries are in the stream
        self._getters: deque[anyio.Event] = deque()
        self._room = Room(lambda: self.is_full)
        self.on_put: Callable[[], None] | None = None  # called after an entry was put

    # ---------------------------------------------------------------- looking

    def qsize(self) -> int:
        """Return how many events are queued, including those that wait for a time, limit or gate."""
        return len(self._live)

    def empty(self) -> bool:
        """Return whether no event is queued."""
        return not self._live

    def __contains__(self, event_id: UUID) -> bool:
        return event_id.int in self._live

    @property
    def is_closed(self) -> bool:
        """Whether no entry will be taken, so that a wait for room raises."""
        return self._room.is_closed

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another event."""
        return len(self._live) + self._room.promised >= self.max_size  # without a call: asked for each item of a map

    @property
    def taken(self) -> int:
        """How many places are taken: those of the queued events, and those that are promised to events on their way."""
        return len(self._live) + self._room.promised

    def ready(self, now: float) -> int:
        """Return an upper bound of the entries that may start at ``now``, a ``current_time()``. 0 only if none may."""
        if self._arrived or self._delayed:
            self._catch_up(now)
        return len(self._live) - len(self._not_due) if self.lanes.first_startable(now) is not None else 0

    def next_at(self) -> float:
        """Return the time at which another entry may be taken, if no run ends before that time."""
        return min(self.delays.next_at(), self.lanes.next_at())

    def entry_of(self, event_id: UUID) -> Entry | None:
        """Return the entry of a queued event."""
        return self._live.get(event_id.int)

    def due(self, event_id: UUID) -> tuple[float, Delay] | None:
        """Return until when an event is delayed, and why. None if the event is due."""
        return self.delays.due(event_id)

    @property
    def blocked(self) -> int:
        """How many entries wait for a limit of their key, or for the gate of their partition."""
        return self.lanes.blocked.number

    def is_blocked(self, event_id: UUID) -> bool:
        """Return whether an event waits for a limit of its key, or for the gate of its partition."""
        entry = self._live.get(event_id.int)
        return entry is not None and event_id not in self._not_due and self.lanes.is_parked(entry)

    def entries(self) -> Iterable[Entry]:
        """Return the entries of all queued events."""
        return self._live.values()

    # ---------------------------------------------------------------- putting

    def put_nowait(self, priority: float, event_id: UUID, until: float | None = None, at: float | None = None) -> None:
        """
        Queue an event. An event that is queued already moves to its new priority. O(log n).

        Args:
            priority: Lower comes first. Finite.
            event_id: The id of the event.
            until: The time of ``current_time()`` before which the event is not due. None if the event is due.
            at: A wall-clock time, in seconds since 1970, as for :meth:`put_delayed`.

        Raises:
            ValueError: The cost of the event is above the amount of a limit. Nothing has changed.
        """
        # Change together with make_entry(), which is written out here to save a call for each plain append().
        route = self._plain if self._route_of is None else self._route_of(event_id)
        entry: Entry = tuple.__new__(Entry, (priority, next(self._arrivals), event_id, route))
        if until is None:
            self.put_back(entry)
        else:
            self.put_delayed(entry, until, "delay", at)

    def make_entry(self, priority: float, event_id: UUID) -> Entry:
        """
        Return an entry for an event that arrives now. The entry is not queued.

        Raises:
            ValueError: The cost of the event is above the amount of a limit.
        """
        route = self._plain if self._route_of is None else self._route_of(event_id)
        # The constructor of a NamedTuple takes three times as long as tuple.__new__().
        return tuple.__new__(Entry, (priority, next(self._arrivals), event_id, route))

    async def put(self, item: tuple[float, UUID]) -> None:
        """Queue an item ``(priority, event_id)``. Does not wait."""
        self.put_nowait(*item)

    def put_back(self, entry: Entry) -> None:
        """Queue an entry. An entry that was queued before keeps its priority and its place among equals."""
        number, live = entry.event_id.int, self._live
        earlier = live.get(number)
        live[number] = entry
        if earlier is not None:  # the event was queued already
            self._note_stale(earlier)
        if self._send is None or (len(live) == 1 and not self._arrived):  # nothing is there to be sorted with
            self.lanes.add(entry)
        else:
            self._send.send_nowait(entry)
            self._arrived += 1
        if self._getters:
            self._getters.popleft().set()
        if self.on_put is not None:
            self.on_put()

    def give_back(self, entry: Entry) -> None:
        """Put the entry that was taken last back in its place. Its key also gets its turn back. O(log n)."""
        self._catch_up(-inf)
        self._make_live(entry)
        self.lanes.restore(entry)
        if self._getters:
            self._getters.popleft().set()
        if self.on_put is not None:
            self.on_put()

    def put_delayed(self, entry: Entry, until: float, why: Delay = "gate", at: float | None = None) -> None:
        """
        Queue an entry that is not due yet. An entry that was queued before keeps its place. O(log n).

        Args:
            entry: An entry made by :meth:`make_entry`.
            until: The time of ``current_time()`` before which the entry is not due.
            why: The reason, for :meth:`due`. With "gate", :meth:`forgive` makes the entry due.
            at: The wall-clock time that ``until`` stands for, in seconds since 1970. None if there is none.
        """
        self._make_live(entry)
        self.delays.add(entry, until, why, at)
        if self._getters:
            self._getters.popleft().set()
        if self.on_put is not None:
            self.on_put()

    def discard(self, event_id: UUID) -> None:
        """Remove an event if it is queued. O(1) amortised."""
        entry = self._live.pop(event_id.int, None)
        if entry is None:
            return
        self._note_stale(entry)
        self._tidy_up()
        self.offer_room()

    def set_priority(self, event_id: UUID, priority: float) -> bool:
        """Give a queued event another finite priority; its time and its place among equals stay. O(log n) amortised."""
        earlier = self._live.get(event_id.int)
        if earlier is None:
            return False
        if event_id not in self._not_due:
            self.put_back(earlier._replace(priority=priority))
        else:
            self._live[event_id.int] = earlier._replace(priority=priority)
            self.delays.replace(self._live[event_id.int])
        self._tidy_up()
        return True

    # ---------------------------------------------------------------- taking

    def pop_nowait(self, now: float) -> Entry | None:
        """Take the first entry that may start now, by ``current_time()``. None if there is none. O(log n) amortised."""
        if self._arrived or self._delayed:
            self._catch_up(now)
        entry = self.lanes.pop(now)
        if entry is not None:
            del self._live[entry.event_id.int]
            if self._room.waiting:
                self._room.offer()
        return entry

    async def get(self) -> tuple[float, UUID]:
        """
        Take the first ``(priority, event_id)``. Wait until there is one.

        Cancellation: during the wait. Nothing is taken.
        """
        while (entry := self.pop_nowait(current_time())) is None:
            await self._wait_for_put()
        return entry.priority, entry.event_id

    def forgive(self) -> None:
        """Open the gates that an answer has closed, and make denied entries due now. O(delayed entries)."""
        self.lanes.open_gates()
        self.delays.end_denials()

    def follow_clock(self) -> float:
        """
        Convert all times to the running event loop, if they come from another one. Gates are then asked again.

        Also correct the entries that wait for a wall-clock time, if the wall clock was set.

        O(1) in the same event loop, otherwise O(all entries).

        Returns:
            The seconds that were added to each time. 0 in the same event loop.
        """
        seconds = self._clock.shift()
        if seconds:
            self.forgive()
            self.lanes.shift(seconds)
            self.delays.shift(seconds)
        if self.delays.follow_wall() and self.on_put is not None:
            self.on_put()
        return seconds

    # ---------------------------------------------------------------- waiting

    @contextmanager
    def intake(self) -> Generator[None]:
        """Open the stream in front, inside the block, for a loop that takes the entries from the stream."""
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
            with anyio.CancelScope(deadline=scope_deadline(self.next_at())):
                await event.wait()
        finally:
            if not event.is_set():
                self._getters.remove(event)
            elif self._getters:  # this task may not use the wake-up, so pass it on; a needless one is harmless
                self._getters.popleft().set()

    async def wait_for_room(self) -> None:
        """
        Wait until there is room, in order of arrival. The room is reserved until the next step of the caller.

        A caller that does not use the room calls :meth:`offer_room`.

        Raises:
            ExecutorClosedError: The queue is closed, or was closed during the wait.

        Cancellation: during the wait. The turn goes to the next waiter.
        """
        if self.is_full:
            await self._room.wait()

    def promise_room(self) -> None:
        """Reserve room for an event that will be queued, even if there is no room."""
        self._room.promised += 1

    def withdraw_promise(self) -> None:
        """Give up the reserved room of one event. A caller that does not queue it at once calls :meth:`offer_room`."""
        self._room.promised -= 1

    def close(self) -> None:
        """Make all waits for room raise until :meth:`reopen`, because no entry will be taken."""
        self._room.close()

    def reopen(self) -> None:
        """Allow waits for room again."""
        self._room.is_closed = False

    def offer_room(self) -> None:
        """Promise free room to the tasks that wait for room, in order of arrival."""
        if self._room.waiting:
            self._room.offer()

    # ---------------------------------------------------------------- inside

    def _make_live(self, entry: Entry) -> None:
        number, live = entry.event_id.int, self._live
        earlier = live.get(number)
        live[number] = entry
        if earlier is not None:  # the event was queued already
            self._note_stale(earlier)

    def _note_stale(self, entry: Entry) -> None:
        """Record that an entry is no longer live."""
        if not self.delays.drop(entry.event_id):
            self.lanes.note_stale(entry)

    def _catch_up(self, now: float) -> None:
        """Sort the entries that have arrived, or have become due, into the lanes."""
        while self._arrived and self._receive is not None:
            self._arrived -= 1
            self.lanes.add(self._receive.receive_nowait())
        if self._delayed and (self._delayed[0][0] <= now or self.delays.looks_at <= now):
            for entry in self.delays.take_due(now):
                self.lanes.add(entry)

    def _tidy_up(self) -> None:
        """Drop the stale entries once they are many. O(1) amortised for each."""
        if self.lanes.stale + self.delays.stale > 32 + len(self._live):
            self._catch_up(-inf)
            self.lanes.rebuild()
            self.delays.rebuild()
