"""
Forecast: when the last of so many events may start, by the limits, the capacity window, closed gates and delays.

A rate is not simulated start by start. What was taken of it comes back in a known order, and from then on the same
pattern repeats with every period: so many whole periods, and then the place of the rest in the pattern. The result is a
lower bound, since other things may hold events up too. What limits with keys allow is known for queued events only.
"""

from __future__ import annotations

from itertools import chain, islice
from math import ceil, inf
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .capacity import CapacityWindow
    from .entry import Entry
    from .limit_state import LimitState
    from .priority_queue import PriorityQueue

# Entries whose costs are looked at for the mean cost of all.
COSTS_SAMPLED = 1000

# Costs that are no whole numbers add up to almost an amount.
ROUNDING = 1e-9


@attrs.frozen
class Forecast:
    """
    What limits, the capacity window, gates and delays allow.

    Attributes:
        seconds: At least so many seconds pass until the last event may start.
        period: Length of the longest cycle among the limits that will hold up some of the events; 0 if none will.
        rate: Starts per second that the limits without a key allow in the long run.
        is_by_key: A limit with a key allows less than all those without.
    """

    seconds: float = 0.0
    period: float = 0.0
    rate: float = inf
    is_by_key: bool = False


@attrs.define
class _Bounds:
    """What is found on the way to a forecast."""

    now: float
    at: float  # the last start
    period: float = 0.0
    rate: float = inf

    def add(self, at: float, cycle: float) -> None:
        """Take another bound into account: a time, and the length of its cycle."""
        if at > self.now:
            self.at, self.period = max(self.at, at), max(self.period, cycle)


def forecast(
    queue: PriorityQueue, window: CapacityWindow, number: float, seconds_each: float | None, now: float
) -> Forecast:
    """
    Return when the last of ``number`` events may start. O(what is queued and what is used of the limits).

    Args:
        queue: Where they are queued, or some of them.
        window: The capacity window.
        number: How many events are still to start, queued or not.
        seconds_each: How long one runs; None if it is not known.
        now: By ``current_time()``.
    """
    queue.ready(now)  # what has arrived is in its lane by now
    bounds = _Bounds(now, now)
    each = seconds_each or 0.0
    if number:
        _add_shared(bounds, queue, window, number, each)
        bounds.add(queue.delays.last(), 0.0)
    shared_at = bounds.at
    for state, cost in _demand_by_key(queue).items():
        bounds.add(*_last_start(state, cost, each, now))
    return Forecast(bounds.at - now, bounds.period, bounds.rate, bounds.at > shared_at)


def is_blocked(queue: PriorityQueue, window: CapacityWindow, now: float) -> bool:
    """
    Return whether nothing that is due may start now because a limit or the capacity window is used up.

    False while a gate has answered "not yet" or ``RateLimited`` has closed something: nobody knows in advance how often
    that happens, so this time counts for the pace.
    """
    startable = queue.ready(now)
    if queue.qsize() == len(queue.delays) or (startable and window.available(now)):
        return False
    parked = (lane.parked_at for lane in queue.lanes._lanes.values() if lane.parked_at is not None)
    return all(state.opens_at <= now for state in (*queue.lanes.limit_states.shared, *parked))


def is_delayed(queue: PriorityQueue) -> bool:
    """Return whether something is queued and nothing of it is due."""
    return 0 < queue.qsize() == len(queue.delays)


def _add_shared(bounds: _Bounds, queue: PriorityQueue, window: CapacityWindow, number: float, each: float) -> None:
    """Add what all events share: limits and gate without keys, and the capacity window."""
    now = bounds.now
    for state in queue.lanes.limit_states.shared:
        cost = _mean_cost(queue.entries(), state)
        bounds.add(*_last_start(state, number * cost, each, now))
        cycle = _cycle(state, each)
        if cycle and cost:
            bounds.rate = min(bounds.rate, state.amount / cycle / cost)
    free = window.available(now)
    bounds.add(_spread(window.returns(), number - free, window.total, window.period, now), window.period)
    bounds.rate = min(bounds.rate, window.total / window.period)


def _demand_by_key(queue: PriorityQueue) -> dict[LimitState, float]:
    """Add up what the queued events will take of each limit with keys."""
    demand: dict[LimitState, float] = {}
    for lane in queue.lanes._lanes.values():
        for state in lane.path:
            cost = len(lane.heap) * _mean_cost(lane.heap, state)
            demand[state] = demand.get(state, 0.0) + cost
    return demand


def _mean_cost(entries: Iterable[Entry], state: LimitState) -> float:
    """Return the mean cost of some of these events; if there are none, of what is used at the moment."""
    if state.limit is None or state.limit.cost is None:
        return 1.0
    costs = [entry.route.costs[state.number] for entry in islice(entries, COSTS_SAMPLED)]
    if costs:
        return sum(costs) / len(costs)
    return state.used / state.uses if state.uses else 1.0


def _cycle(state: LimitState, each: float) -> float:
    """Return the seconds after which what an event takes is back, from its start."""
    limit = state.limit
    return 0.0 if limit is None else limit.per + (each if limit.hold else 0.0)


def _last_start(state: LimitState, cost: float, each: float, now: float) -> tuple[float, float]:
    """Return when the last of events may start that take so much in all, and the length of the cycle."""
    opens = max(now, state.closed_until, state.denied_until)
    cycle = _cycle(state, each)
    if not cycle:
        return opens, 0.0
    used = state.used_at(now)
    known = state.returns()
    held = used - sum(cost for _, cost in known)
    # What running events hold is back after half a run, on the average, and the period.
    returns = chain(known, [(now + cycle - each / 2, held)] if held > ROUNDING else [])
    return _spread(returns, cost - (state.amount - used), state.amount, cycle, opens), cycle


def _spread(returns: Iterable[tuple[float, float]], excess: float, amount: float, cycle: float, opens: float) -> float:
    """
    Return when so much will have come back.

    Args:
        returns: When how much is back that is out now, the earliest first.
        excess: How much is needed beyond what is there.
        amount: How much there is in all.
        cycle: After how many seconds what is taken is back.
        opens: Nothing is taken before.
    """
    if excess <= ROUNDING:
        return opens
    cycles = ceil(excess / amount - ROUNDING) - 1
    rest = excess - cycles * amount
    for back, cost in returns:
        rest -= cost
        if rest <= ROUNDING:
            return max(back, opens) + cycles * cycle
    return opens + cycle + cycles * cycle  # what is there now is taken as soon as it can be
