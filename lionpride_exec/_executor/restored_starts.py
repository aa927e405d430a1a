"""
Rates that continue after a restart: the recent runs in a journal are counted in the limits before anything starts.

The wall clock tells how long ago a run began, since the clock of the event loop begins anew. If the wall clock was set
back meanwhile, the run counts as one of this moment. So no event waits longer than the period of its limit.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._model.quota import Quota
from lionpride_exec._model.resets import LONGEST_DAY

if TYPE_CHECKING:
    from lionpride_exec._journal.recent_starts import Run
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._model.limits import Route
    from lionpride_exec._processing.processor import Processor

logger = logging.getLogger("lionpride_exec")

# Capacity windows that are shorter than this are over by the time a journal has been opened.
SHORTEST_WINDOW = 1.0


def longest_period(processor: Processor) -> float:
    """Return the seconds of the longest window that continues after a restart. 0 if there is none."""
    periods = [terms.per for terms in processor.router.terms if terms.per]
    periods += [LONGEST_DAY for limit in processor.router.limits if isinstance(limit, Quota)]
    if processor.capacity_refresh_time >= SHORTEST_WINDOW:
        periods.append(processor.capacity_refresh_time)
    return max(periods, default=0.0)


async def bring_back(processor: Processor, session: JournalSession) -> None:
    """
    Count the recent runs of a journal in the limits.

    O(what began or ended in the longest window, and open events).

    Raises:
        JournalError: The journal cannot be read.
    """
    period = longest_period(processor)
    if not period:
        return
    runs = await session.runs_since(wall_clock.seconds() - period)
    processor._follow_clock()
    now, wall = current_time(), wall_clock.seconds()
    if processor.capacity_refresh_time >= SHORTEST_WINDOW:
        begun = [_reading(run.began, now, wall) for run in runs]
        processor._window.bring_back(begun, now)
    if processor.router.limits:
        unknown = sum(_take(processor, session, run, now, wall) for run in runs)
        processor.queue.lanes.limit_states.sort_uses()
        if unknown:
            logger.warning(
                "the limits do not count %s recent runs in %s that cannot be read", unknown, session.journal.path
            )


def _take(processor: Processor, session: JournalSession, run: Run, now: float, wall: float) -> bool:
    """Count one run in its limits. Return True if it is not known which limits the run belongs to."""
    route = _route_of(processor, session, run)
    if route is None:
        return True
    began, ended = _reading(run.began, now, wall), now if run.ended is None else _reading(run.ended, now, wall)
    # Costs are stored by the number of the limit, so they mean nothing for other limits.
    settled = run.settled if len(run.settled) == len(processor.router.limits) else ()
    for state in processor.queue.lanes.stops(route.key):
        actual = settled[state.number - 1] if settled and state.number else None
        state.bring_back(route.costs[state.number] if actual is None else actual, began, ended, now)
    return False


def _route_of(processor: Processor, session: JournalSession, run: Run) -> Route | None:
    if processor.router.is_plain:
        return processor.router.plain
    try:
        return processor.router.route(session.lookup.decode(run.row))
    except Exception:  # noqa: BLE001  an unknown class, or a function of the user
        return None


def _reading(at: float, now: float, wall: float) -> float:
    """Return the reading of the event loop's clock at a time of the wall clock, but not later than now."""
    return now - max(wall - at, 0.0)
