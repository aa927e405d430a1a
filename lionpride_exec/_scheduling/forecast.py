"""
Forecast: when the last of some events may start, by the limits, the capacity window, closed gates and delays.

A rate is not simulated start by start. The amounts that were taken from the rate come back in a known order, and the
same pattern then repeats with every period. So the forecast adds whole periods, and finds the place of the rest in the
pattern. The result is a lower bound, since events may also wait for other reasons. The demand on limits with keys is
known for queued events only.
"""

from __future__ import annotations

from itertools import chain, islice
from math import ceil, inf
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._base.steps import result_of

from .quota_state import QuotaState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from .capacity import CapacityWindow
    from .entry import Entry
    from .limit_state import LimitState
    from .priority_queue import PriorityQueue

# How many entries are sampled for the mean cost.
COSTS_SAMPLED = 1000

# Delayed entries that are looked at in one step.
DELAYS_IN_A_STEP = 64

# Fractional costs may add up to slightly less than an amount.
ROUNDING = 1e-9


@attrs.frozen
class Forecast:
    """
    When the last of some events may start, by limits, the capacity window, gates and delays.

    Attributes:
        seconds: The least number of seconds until the last event may start.
        period: The longest cycle, in seconds, among the limits that will delay some of the events. 0 if none will.
        rate: How many starts per second the limits without a key allow in the long run.
        is_by_key: Whether a limit with a key allows less than all limits without a key.
        is_closed: Whether a key that events wait for is closed.
    """

    seconds: float = 0.0
    period: float = 0.0
    rate: float = inf
    is_by_key: bool = False
    is_closed: bool = False


@attrs.define
class _Bounds:
    """The bounds found so far, while a forecast is made."""

    now: float
    at: float  # the last start
    period: float = 0.0
    rate: float = inf

    def add(self, at: float, cycle: float) -> None:
        """Add a bound: the time of the last start, and the length of the cycle."""
        if at > self.now:
            self.at, self.period = max(self.at, at), max(self.period, cycle)


def forecast(
    queue: PriorityQueue, window: CapacityWindow, number: float, seconds_each: float | None, now: float
) -> Forecast:
    """
    Return when the last of ``number`` events may start. O(queued events, and starts that the limits still count).

    Args:
        queue: The queue that has the events, or some of them.
        window: The capacity window.
        number: How many events have not started yet, queued or not.
        seconds_each: How many seconds an event runs. None if that is unknown.
        now: The time of ``current_time()``.
    """
    return result_of(forecast_in_steps(queue, window, number, seconds_each, now))


def forecast_in_steps(
    queue: PriorityQueue, window: CapacityWindow, number: float, seconds_each: float | None, now: float
) -> Generator[None, None, Forecast]:
    """Like :func:`forecast`, but yield after each lane, limit and so on. Other things may happen meanwhile."""
    queue.ready(now)  # sorts the entries that have arrived into their lanes
    bounds = _Bounds(now, now)
    each = seconds_each or 0.0
    if number:
        _add_shared(bounds, queue, window, number, each)
        for place, (until, _) in enumerate(queue.delays.times()):
            bounds.add(until, 0.0)
            if place % DELAYS_IN_A_STEP == 0:
                yield
    shared_at, is_closed = bounds.at, False
    demand: dict[LimitState, float] = {}  # the total cost of the queued events for each limit with keys
    for lane in [*queue.lanes._lanes.values()]:
        for state in lane.path:
            cost = len(lane.heap) * _mean_cost(lane.heap, state)
            demand[state] = demand.get(state, 0.0) + cost
        is_closed |= lane.parked_at is not None and lane.parked_at.opens_at > now
        yield
    for state, cost in demand.items():
        bounds.add(*_last_start(state, cost, each, now))
        yield
    return Forecast(bounds.at - now, bounds.period, bounds.rate, bounds.at > shared_at, is_closed)


def is_blocked(queue: PriorityQueue, window: CapacityWindow, now: float, *, is_closed: bool | None = None) -> bool:
    """
    Return whether no due event may start now because a limit or the capacity window is used up.

    False while a gate has answered "not yet", or ``RateLimited`` has closed a key. A forecast cannot know how often
    that happens, so this time counts for the pace of the run.

    Args:
        queue: The queue.
        window: The capacity window.
        now: The time of ``current_time()``.
        is_closed: Whether a key that events wait for is closed. None to look at each parked lane.
    """
    startable = queue.ready(now)
    if queue.qsize() == len(queue.delays) or (startable and window.available(now)):
        return False
    parked = [state for _, state in queue.lanes.parked_lanes()] if is_closed is None else []
    return not is_closed and all(state.opens_at <= now for state in (*queue.lanes.limit_states.shared, *parked))


def is_delayed(queue: PriorityQueue) -> bool:
    """Return whether events are queued and none of them is due."""
    return 0 < queue.qsize() == len(queue.delays)


def _add_shared(bounds: _Bounds, queue: PriorityQueue, window: CapacityWindow, number: float, each: float) -> None:
    """Add the bounds that all events share: limits and gate without keys, and the capacity window."""
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


def _mean_cost(entries: Iterable[Entry], state: LimitState) -> float:
    """Return the mean cost of a sample of the events. If there are none, return the mean cost of what is used now."""
    if state.limit is None or state.limit.cost is None:
        return 1.0
    costs = [entry.route.costs[state.number] for entry in islice(entries, COSTS_SAMPLED)]
    if costs:
        return sum(costs) / len(costs)
    return state.used / state.uses if state.uses else 1.0


def _cycle(state: LimitState, each: float) -> float:
    """Return the seconds from the start of an event until its cost is back."""
    limit = state.limit
    return 0.0 if limit is None else state.per + (each if limit.hold else 0.0)


def _last_start(state: LimitState, cost: float, each: float, now: float) -> tuple[float, float]:
    """Return when the last of the events with this total cost may start, and the length of the cycle."""
    opens = max(now, state.closed_until, state.denied_until)
    if isinstance(state, QuotaState):
        excess = cost - (state.total - state.used_at(now))
        return max(state.start_after(ceil(excess / state.total - ROUNDING), now), opens), state.per
    cycle = _cycle(state, each)
    if not cycle:
        return opens, 0.0
    used = state.used_at(now)
    known = state.returns()
    held = used - sum(cost for _, cost in known)
    # On average, what running events hold is back after half a run and the period.
    returns = chain(known, [(now + cycle - each / 2, held)] if held > ROUNDING else [])
    return _spread(returns, cost - (state.amount - used), state.amount, cycle, opens), cycle


def _spread(returns: Iterable[tuple[float, float]], excess: float, amount: float, cycle: float, opens: float) -> float:
    """
    Return the time at which ``excess`` will have come back.

    Args:
        returns: For each cost that is taken now, the time at which it is back, and the cost. The earliest is first.
        excess: How much is needed beyond what is free now.
        amount: The amount of the limit.
        cycle: How many seconds pass until a cost is back.
        opens: The time before which nothing is taken.
    """
    if excess <= ROUNDING:
        return opens
    cycles = ceil(excess / amount - ROUNDING) - 1
    rest = excess - cycles * amount
    for back, cost in returns:
        rest -= cost
        if rest <= ROUNDING:
            return max(back, opens) + cycles * cycle
    return opens + cycle + cycles * cycle  # what is free now is taken as soon as possible
