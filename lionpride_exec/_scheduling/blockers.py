"""
Which limit state blocks a queued entry, and for how long at least. Only ``explain()`` uses this.

An entry waits for a limit state that has no room for the entry. If all limit states have room, the entry waits because
another entry goes first. Then the limit state that blocks the other entry is named. The other entry is the first entry
of the same lane, the first entry of the leading lane where the lane is parked, or the first entry of all.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .entry import Entry
    from .lanes import Lanes
    from .limit_state import Lane, LimitState

# Limit states without room, each with the time until which it has no room. -inf if that time is unknown.
Bars = list[tuple["LimitState", float]]


def find_blocker(lanes: Lanes, entry: Entry, now: float) -> tuple[LimitState | None, float]:
    """
    Return the first limit state that blocks an entry, or blocks an entry before it. None if no limit state does.

    Beside it, return the latest known time before which the entry cannot start. ``-inf`` if no time is known. The times
    of other lanes are not used: if the key of another lane is closed, this entry goes first. O(starts that the limits
    still count).
    """
    lanes.first_startable(now)  # parks the lanes that cannot start
    lane = lanes.lane_of(entry)
    bars = _bars(lanes, entry, now)
    if lane is not None and (front := lanes.front_of(lane)) is not entry:
        bars += _bars(lanes, front, now)
    if bars:
        return bars[0][0], max(at for _, at in bars)
    if lane is not None and lane.parked_at is not None:
        return _find_leading(lanes, lane, now), -inf
    first = lanes.front()
    bars = [] if first is None else _bars(lanes, first, now, lanes.limit_states.shared)
    return (bars[0][0] if bars else None), -inf


def _find_leading(lanes: Lanes, lane: Lane, now: float) -> LimitState | None:
    """Return the limit state that blocks the leading lane, where a lane is parked although it has room."""
    seen, state = {lane}, lane.parked_at
    while state is not None and (leader := lanes.leader_at(state)) is not None and leader not in seen:
        bars = [each for each, _ in _bars(lanes, lanes.front_of(leader), now)]
        if leader.parked_at is lane.parked_at:  # the other lanes can go once this limit state has room for the leader
            return state if state in bars else None
        if bars:
            return bars[0]
        seen.add(leader)
        state = leader.parked_at
    return None


def _bars(lanes: Lanes, entry: Entry, now: float, states: Iterable[LimitState] | None = None) -> Bars:
    """Return the limit states that have no room for an entry, each with the time until which it has no room."""
    costs = entry.route.costs
    stops = lanes.stops(entry.route.key) if states is None else states
    found = [(state, state.free_at(costs[state.number], now)) for state in stops]
    # A limit state that has room only when an event ends may also be closed until a known time.
    return [(state, at if at < inf else state.opens_at) for state, at in found if at > now]
