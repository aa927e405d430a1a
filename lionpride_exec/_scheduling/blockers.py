"""
Which limit state holds up a queued entry, and until when at least. Only ``explain()`` asks.

An entry waits for a limit state that has no room for it. If all have room, the entry waits because other entries go
first. It then waits for what the first of these waits for: the first entry of its lane, the leading lane where its
lane is parked, or the first entry of all. So a limit state is named only if it has no room for the entry that waits
there.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .entry import Entry
    from .lanes import Lanes
    from .limit_state import Lane, LimitState

# Limit states that have no room, each with the time before which it has none. -inf if that time is not known.
Bars = list[tuple["LimitState", float]]


def find_blocker(lanes: Lanes, entry: Entry, now: float) -> tuple[LimitState | None, float]:
    """
    Return the first limit state that holds up an entry, or an entry that goes before it; None if no limit state does.

    The time beside it is the latest known one before which the entry cannot start; ``-inf`` if none is known. That of
    another lane is not one: its key may be closed, and then the entry goes first. O(what is used of the limits).
    """
    lanes.first(now)  # what cannot start is parked by now
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
    """Return what holds up a lane that has room where it is parked: what holds up the lane that goes first there."""
    seen, state = {lane}, lane.parked_at
    while state is not None and (leader := lanes.leader_at(state)) is not None and leader not in seen:
        bars = [each for each, _ in _bars(lanes, lanes.front_of(leader), now)]
        if leader.parked_at is lane.parked_at:  # it lets the others by once this limit state has room for it
            return state if state in bars else None
        if bars:
            return bars[0]
        seen.add(leader)
        state = leader.parked_at
    return None


def _bars(lanes: Lanes, entry: Entry, now: float, states: Iterable[LimitState] | None = None) -> Bars:
    """Return the limit states that have no room for an entry."""
    costs = entry.route.costs
    stops = lanes.stops(entry.route.key) if states is None else states
    found = [(state, state.free_at(costs[state.number], now)) for state in stops]
    # What is used up until somebody ends may be closed, too, and that until a known time.
    return [(state, at if at < inf else state.opens_at) for state, at in found if at > now]
