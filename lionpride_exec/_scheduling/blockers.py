"""
Why a queued event does not start, as far as the queue decides that. Only ``explain()`` uses this.

The queue has no room for the event, or the time of the event has not come, or a limit has no room.

An entry waits for a limit state that has no room for the entry. If all limit states have room, the entry waits because
another entry goes first. Then the limit state that blocks the other entry is named. The other entry is the first entry
of the same lane, the first entry of the leading lane where the lane is parked, or the first entry of all.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from lionpride_exec._model.waiting import Waiting, WaitReason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from .entry import Entry
    from .lanes import Lanes
    from .limit_state import Lane, LimitState
    from .priority_queue import PriorityQueue

# Limit states without room, each with the time until which it has no room. -inf if that time is unknown.
Bars = list[tuple["LimitState", float]]


def why_waiting(queue: PriorityQueue, event_id: UUID, now: float) -> Waiting | None:
    """Return what an event waits for in the queue. None if it is not queued, or nothing in the queue holds it up."""
    queue.ready(now)  # what has arrived, or has become due, is in its lane by now, and what cannot start is parked
    if (delayed := queue.due(event_id)) is not None:
        return Waiting(WaitReason(delayed[1]), delayed[0])
    entry = queue.entry_of(event_id)
    return None if entry is None else why_blocked(queue, entry, now)


def why_blocked(queue: PriorityQueue, entry: Entry, now: float) -> Waiting | None:
    """Return the limit, the closed key or the gate that holds up an entry that is due. None if there is none."""
    state, until = find_blocker(queue.lanes, entry, now)
    if state is None:
        return None
    if state.paused_until > now:
        return Waiting(WaitReason.PAUSED, until if until < inf else -inf, state.limit, state.key)
    if state.closed_until > now:
        reason = WaitReason.REFUSAL
    else:
        reason = WaitReason.GATE if state.limit is None else WaitReason.LIMIT
    return Waiting(reason, until, state.limit, state.key)


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
