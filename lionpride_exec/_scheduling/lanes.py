"""
Lanes: queued entries, sorted so that the next entry that may start is found without a look at the others.

Entries with the same route wait in one lane, a heap by priority and arrival. The first entries of the lanes stand in
one more heap, the *heads*, by priority and *turn*. A lane that was served gets the last turn, so lanes of the same
priority take turns (round robin) and no lane starves. The place ``(priority, turn, lane)`` is built in ``_place()``,
``pop()`` and ``rebuild()``: change all three together.

A route leads through the *limit states* of its keys. If one of them has no room for the first entry of a lane, the lane
is *parked* there. A parked lane costs nothing until there may be room: each time an amount comes back, the first lane
parked there returns to the heads. It keeps its turn, and no later lane takes from that limit state before it. So an
entry that takes much is not overtaken for ever by entries that take little. The limit states that all lanes share
(limits without a key) come last: if one of them holds up the first entry, it holds up all.

A lane that needs two limits can starve when other lanes keep taking one of them. After :data:`PATIENCE` turns in vain
it *claims* the limits that are free, while it waits for the taken one.

Invariants:

- A lane that is not empty stands in the heads or is parked at one limit state of its path, never both.
- A place ``(priority, turn, lane)`` counts while its lane stands there with that turn and that first entry. Others are
  outdated, and are dropped when they come first.
- A limit state with parked lanes wakes the first of them: it is touched when an amount comes back, and has a timer if
  the time of that is known.
- ``blocked.number`` is the number of live entries in parked lanes.

With one key an entry costs O(log n). To pass over the entries that cannot start would cost O(n) at each start.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from math import inf
from typing import TYPE_CHECKING

from .amounts import Amounts
from .blocked_count import BlockedCount
from .heaps import first_of_heap
from .limit_state import Lane
from .limit_states import LimitStates

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from lionpride_exec._model.limits import Router

    from .entry import Entry
    from .limit_state import LimitState, Place

# How many times in a row a lane may find one of its limits taken before it claims its other limits.
PATIENCE = 8


class Lanes:
    """
    The lanes and their limit states.

    Args:
        live: The entries that are queued, by the number of the event's id; all others in the lanes are stale. Kept up
            by the queue.
        router: Whose limits hold.
    """

    def __init__(self, live: Mapping[int, Entry], router: Router) -> None:
        self._live = live
        self._lanes: dict[tuple[Hashable, ...], Lane] = {}
        # The places of the lanes that are not parked. A place is outdated if its lane has another place by now.
        self._heads: list[Place] = []
        self._turns = count()
        self._last_turn = 0  # the turn of the lane that was served last, before it got a new turn
        self.limit_states: LimitStates = LimitStates(router)
        self._timers: list[tuple[float, int, LimitState]] = []  # the times at which parked lanes are checked again
        self._touched: list[LimitState] = []  # limit states that may have room for a parked lane
        self.amounts: Amounts = Amounts(self.stops, self._touched)
        self._denied: set[LimitState] = set()  # gates that an answer has closed
        self._shared_until = -inf  # the time until which a limit that all lanes share holds up the first entry
        self._now = -inf  # the time of the latest call of first_startable()
        self.stale: int = 0  # entries in the lanes that are not live any more
        self.blocked: BlockedCount = BlockedCount()  # entries in parked lanes

    # ---------------------------------------------------------------- entries

    def add(self, entry: Entry) -> None:
        """Sort an entry in. O(log n)."""
        lane = self._lanes.get(entry.route.key) or self._make_lane(entry.route.key)
        heappush(lane.heap, entry)
        lane.live += 1
        if lane.parked_at is not None:
            self.blocked.grow(1)
        if lane.heap[0] is entry:
            self._place(lane)

    def restore(self, entry: Entry) -> None:
        """Sort in again the entry that was popped last, and restore the turn of its lane. O(log n)."""
        lane = self._lanes.get(entry.route.key) or self._make_lane(entry.route.key)
        lane.turn = self._last_turn
        self.add(entry)
        if lane.heap[0] is not entry:
            self._place(lane)  # with its turn

    def note_stale(self, entry: Entry) -> None:
        """Note that an entry is no longer live. It is dropped when it comes first. O(1)."""
        self.stale += 1
        lane = self._lanes.get(entry.route.key) or self._make_lane(entry.route.key)  # the entry may be unsorted still
        lane.live -= 1
        if lane.parked_at is not None:
            self.blocked.number -= 1
            if lane.heap[0] is entry:
                self._touch((lane.parked_at,))  # the next entry may take less

    def first_startable(self, now: float) -> Entry | None:
        """Return the first entry that may start at the time ``now``. None if there is none. O(log n) amortised."""
        self._now = now
        self._shared_until = -inf
        heads = self._heads
        while True:
            if self._touched or self._timers:
                self._look_after_parked(now)
            if not heads:
                return None
            place = heads[0]
            lane = place[2]
            heap = lane.heap
            # Where a lane stands as it stood, this is what _is_in_place() would say, without the call.
            if (
                not heap
                or lane.turn != place[1]
                or lane.parked_at is not None
                or heap[0][0] != place[0]
                or self._live.get(heap[0].event_id.int) is not heap[0]
            ) and not self._is_in_place(place, None):
                heappop(heads)
            elif not lane.path or not self._is_blocked(lane, now):
                return self._unless_all_wait(heap[0], now)

    def pop(self, now: float) -> Entry | None:
        """Remove the entry that :meth:`first_startable` returns, and return it. O(log n) amortised."""
        entry = self.first_startable(now)
        if entry is not None:
            lane = self._heads[0][2]
            heappop(lane.heap)
            lane.live -= 1
            self._last_turn = lane.turn
            lane.turn = next(self._turns)
            lane.passed, lane.claims = 0, ()
            if lane.heap:
                heapreplace(self._heads, (lane.heap[0].priority, lane.turn, lane))
                for state in lane.path:
                    if state.parked:
                        self._touched.append(state)
            else:
                heappop(self._heads)
                self._drop(lane)
        return entry

    def next_entries(self, number: int, now: float) -> list[Entry]:
        """Return the entries that would be popped next. Empty if there are limits. O(number * log number)."""
        first = self.first_startable(now) if number > 0 else None
        lane = None if first is None else self._lanes.get(first.route.key)
        return [] if lane is None or lane.path else first_of_heap(lane.heap, number, self._is_live)

    def _is_live(self, entry: Entry) -> bool:
        return self._live.get(entry.event_id.int) is entry

    def next_at(self) -> float:
        """Return the earliest time at which another entry may start, if no run ends before that time."""
        soonest = self._timers[0][0] if self._timers else inf
        return min(soonest, self._shared_until) if self._shared_until > -inf else soonest

    def rebuild(self) -> None:
        """Drop all stale entries. O(n)."""
        self.stale = 0
        for lane in list(self._lanes.values()):
            lane.heap = self.live_entries(lane)
            heapify(lane.heap)
            self.blocked.number += len(lane.heap) - lane.live if lane.parked_at is not None else 0
            lane.live = len(lane.heap)
            if not lane.heap:
                self._drop(lane)
        free = [lane for lane in self._lanes.values() if lane.heap and lane.parked_at is None]
        self._heads = [(lane.heap[0].priority, lane.turn, lane) for lane in free]
        heapify(self._heads)
        for _, state in self.parked_lanes():
            state.parked.clear()
        for lane, _ in self.parked_lanes():
            self._place(lane)

    # ---------------------------------------------------------------- limit states

    def stops(self, key: tuple[Hashable, ...]) -> tuple[LimitState, ...]:
        """Return the limit states that a route leads through."""
        shared = self.limit_states.shared
        return self._path(key) + shared if self.limit_states.has_keys else shared

    def close_gate_until(self, key: tuple[Hashable, ...], until: float) -> None:
        """Close the gate of a route until a time that its answer gave. The later time counts."""
        gate = self.limit_states.gate(self._path(key) if self.limit_states.has_keys else ())
        self.deny_until(gate, max(gate.denied_until, until))

    def deny_until(self, state: LimitState, until: float) -> None:
        """Let nothing start under a limit state until a time, even if it has room. ``-inf``: entries start again."""
        state.denied_until = until
        self._denied.add(state)
        self._touch((state,))

    def closable(self, key: tuple[Hashable, ...]) -> tuple[LimitState, ...]:
        """Return the limit states that ``RateLimited`` closes: those of the keys. Without keys, one that all share."""
        return self._path(key) or self.limit_states.shared[:1]

    def open_gates(self) -> None:
        """Open the gates that an answer has closed."""
        for gate in self._denied:
            gate.denied_until = -inf
        self._touch(self._denied)
        self._denied.clear()

    def shift(self, seconds: float) -> None:
        """Add seconds to all times, for an event loop with another clock. O(limit states and reservations)."""
        self._timers.clear()
        self._now += seconds
        for state in self.limit_states:
            state.shift(seconds)
            state.wakes_at = inf
            self._touch((state,))

    def parked_lanes(self) -> list[tuple[Lane, LimitState]]:
        """Return the parked lanes, each with the limit state that it waits for. O(lanes)."""
        return [(lane, lane.parked_at) for lane in self._lanes.values() if lane.parked_at is not None]

    def live_entries(self, lane: Lane) -> list[Entry]:
        """Return the live entries of a lane, in no order. O(entries)."""
        return [entry for entry in lane.heap if self._live.get(entry.event_id.int) is entry]

    def is_parked(self, entry: Entry) -> bool:
        """Return whether the lane of an entry waits for a key, as of the last look."""
        lane = self._lanes.get(entry.route.key)
        return lane is not None and lane.parked_at is not None

    def front(self) -> Entry | None:
        """Return the first entry that is not parked, as of the last check. The entry may still have to wait."""
        return self._heads[0][2].heap[0] if self._heads else None

    def front_of(self, lane: Lane) -> Entry:
        """Return the first live entry of a lane, which has one. O(1), unless stale ones stand in front of it."""
        front = lane.heap[0]
        if self._live.get(front.event_id.int) is front:
            return front
        return min(self.live_entries(lane))

    def lane_of(self, entry: Entry) -> Lane | None:
        """Return the lane of an entry; None if the entry has not been sorted in."""
        return self._lanes.get(entry.route.key)

    def leader_at(self, state: LimitState) -> Lane | None:
        """Return the first lane that waits at a limit state or has claimed it. None if there is none."""
        while state.parked:
            if self._is_in_place(state.parked[0], state):
                return state.parked[0][2]
            heappop(state.parked)
        return None

    # ---------------------------------------------------------------- inside: lanes

    def _make_lane(self, key: tuple[Hashable, ...]) -> Lane:
        lane = self._lanes[key] = Lane(key, self._path(key), next(self._turns))
        for state in lane.path:
            state.lanes += 1
        return lane

    def _place(self, lane: Lane) -> None:
        """Push the place of a lane to the heads, or to where it is parked, and to its claims."""
        place = (lane.heap[0].priority, lane.turn, lane)
        for state in lane.claims:
            heappush(state.parked, place)
        if lane.parked_at is None:
            heappush(self._heads, place)
        else:
            heappush(lane.parked_at.parked, place)
            self._touch((lane.parked_at,))

    def _is_in_place(self, place: Place, state: LimitState | None) -> bool:
        """Return whether a place counts. If its first entry is stale, drop stale entries and place the lane anew."""
        priority, turn, lane = place
        if (lane.parked_at is not state and state not in lane.claims) or lane.turn != turn or not lane.heap:
            return False
        entry = lane.heap[0]
        if self._live.get(entry.event_id.int) is entry:
            return entry[0] == priority
        while lane.heap and self._live.get(lane.heap[0].event_id.int) is not lane.heap[0]:
            heappop(lane.heap)
            self.stale -= 1
        if lane.heap:
            self._place(lane)
        else:
            self._drop(lane)
        return False

    def _drop(self, lane: Lane) -> None:
        """Forget a lane that is empty."""
        if lane.path:  # the one lane without limit states is kept: it is needed again soon
            del self._lanes[lane.key]
            self.blocked.number -= lane.live if lane.parked_at is not None else 0
            for state in lane.path:
                state.lanes -= 1
            self._touch(lane.path)

    def _is_blocked(self, lane: Lane, now: float) -> bool:
        """Return whether the first lane has to wait for one of its limit states. If so, park the lane there."""
        costs = lane.heap[0].route.costs
        for state in lane.path:
            if (
                not state.parked
                and state.used + costs[state.number] <= state.amount
                and state.closed_until <= now
                and state.denied_until <= now
            ):
                continue  # there is room, as free_at() would say
            until = state.free_at(costs[state.number], now)
            if until > now or (state.parked and self._is_behind(state)):
                place = heappop(self._heads)
                lane.parked_at = state
                heappush(state.parked, place)
                if until > now:
                    self._wake(state, state.looks_at(until, now))
                self._claim(lane, state, place)
                self.blocked.grow(lane.live)
                self._touch(other for other in lane.path if other is not state)
                return True
        return False

    def _claim(self, lane: Lane, taken: LimitState, place: Place) -> None:
        """Let a lane claim its other limits, once it has waited in vain more than :data:`PATIENCE` times."""
        lane.passed += 1
        lane.claims = ()
        if lane.passed > PATIENCE and taken.closed_until <= self._now:
            # Only limits that take at least as long to come back: a claimed amount must not lie idle for longer.
            others = [each for each in lane.path if each is not taken and each.number]
            lane.claims = tuple([each for each in others if each.per >= taken.per])
            for state in lane.claims:
                heappush(state.parked, place)

    def _is_behind(self, state: LimitState) -> bool:
        """Return whether a lane with an earlier place than the first lane waits at a limit state."""
        return self.leader_at(state) is not None and state.parked[0] < self._heads[0]

    def _unless_all_wait(self, entry: Entry, now: float) -> Entry | None:
        """Return the entry, or None if a limit that all lanes share has no room: then no entry may start."""
        costs = entry.route.costs
        for state in self.limit_states.shared:
            # Where there is room, this is what free_at() would say, without the call.
            if (
                state.used + costs[state.number] > state.amount or state.closed_until > now or state.denied_until > now
            ) and (until := state.free_at(costs[state.number], now)) > now:
                self._shared_until = max(state.looks_at(until, now), self._shared_until)
        return entry if self._shared_until == -inf else None

    def _look_after_parked(self, now: float) -> None:
        """Check the parked lanes at limit states whose time has come, or whose amount has grown."""
        while self._timers and self._timers[0][0] <= now:
            state = heappop(self._timers)[2]
            state.wakes_at = inf
            self._touched.append(state)
        while self._touched:
            self._offer(self._touched.pop(), now)

    def _offer(self, state: LimitState, now: float) -> None:
        """Move the first lane that is parked at a limit state to the heads, if there is room for it."""
        while state.parked:
            place = state.parked[0]
            lane = place[2]
            if not self._is_in_place(place, state):
                heappop(state.parked)
                continue
            if lane.parked_at is not state:  # claimed by one that waits for something else
                return
            until = state.free_at(lane.heap[0].route.costs[state.number], now)
            if until > now:
                self._wake(state, state.looks_at(until, now))
            else:
                heappop(state.parked)
                lane.parked_at = None
                self.blocked.number -= lane.live
                heappush(self._heads, place)
            return

    # ---------------------------------------------------------------- inside: limit states

    def _path(self, key: tuple[Hashable, ...]) -> tuple[LimitState, ...]:
        lane = self._lanes.get(key)
        return self.limit_states.path(key, self._now) if lane is None else lane.path

    def _touch(self, states: Iterable[LimitState]) -> None:
        """Make the next look offer the lanes that are parked there."""
        self._touched.extend(state for state in states if state.parked)

    def _wake(self, state: LimitState, until: float) -> None:
        if until < state.wakes_at:
            state.wakes_at = until
            heappush(self._timers, (until, next(self._turns), state))
