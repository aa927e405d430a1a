"""
How many runs began in a stretch of time, beside what a limit allows.

A limit holds in any window, wherever it begins. So a window is moved over all starts, and the fullest one counts. Bars
of a chart, which begin at round times, would show less than what a server has seen.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import attrs

from lionpride_exec._display.quantities import HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lionpride_exec._model.run_record import LimitStarts, RunReport

# Windows that are shown without a limit, unless all took less.
USUAL: Final = (1.0, MINUTE, HOUR)


@attrs.frozen
class Starts:
    """
    The most runs that began in any stretch of time of one length, wherever the stretch begins.

    Attributes:
        per: Its length in seconds.
        most: How many runs began in it. None if the keys of the limit are not known.
        at: When the last one of these began, seconds since 1970. None if there is none.
        amount: How many were allowed. None if no limit of this length is known.
        key: What the limit counts by, in words. None if it counts all starts together.
        value: The key that comes nearest to its amount. None if there is none.
        keys: How many keys there are.
    """

    per: float
    most: int | None
    at: float | None
    amount: float | None = None
    key: str | None = None
    value: str | None = None
    keys: int = 0


def starts_of(report: RunReport) -> list[Starts]:
    """Return the most starts in the time of each limit, and in a second, a minute and an hour, the shortest first."""
    window, times = report.window, report.times
    span = (times.last or 0.0) - (times.first or 0.0)
    begins = chain(times.begins, times.running)
    in_order = sorted(begins if window.is_all else filter(window.has, begins))
    if not in_order:
        return []
    found: list[Starts] = []
    for limit in _once(report.limits):
        if limit.key is None:
            found.append(Starts(limit.per, *most_in(in_order, limit.per), amount=limit.amount))
        else:
            found.append(_of_keys(limit))
    plain = {one.per for one in found if one.key is None}
    found += [Starts(per, *most_in(in_order, per)) for per in USUAL if per not in plain and per <= span]
    return sorted(found, key=attrgetter("per"))


def most_in(begins: Sequence[float], per: float) -> tuple[int, float]:
    """Return the most times that lie in less than so many seconds, and the last one of them. The times are in order."""
    most, at, first = 0, begins[0], 0
    for place, begin in enumerate(begins):
        while begin - begins[first] >= per:
            first += 1
        if place - first + 1 > most:
            most, at = place - first + 1, begin
    return most, at


def _of_keys(limit: LimitStarts) -> Starts:
    """Return the starts of the key that comes nearest to its amount, or that has the most starts."""
    best, nearest = Starts(limit.per, None, None, limit.amount, limit.key), (-1.0, 0)
    for value, begins in limit.starts.items():
        most, at = most_in(sorted(begins), limit.per)
        amount = limit.amounts.get(value, limit.amount)
        rank = (most / amount if amount else 0.0, most)
        if rank > nearest:
            nearest = rank
            best = Starts(limit.per, most, at, amount, limit.key, value, len(limit.starts))
    return best


def _once(limits: Iterable[LimitStarts]) -> Iterable[LimitStarts]:
    """Yield the limits, equal ones once."""
    return {(limit.per, limit.amount, limit.key, *sorted(limit.amounts.items())): limit for limit in limits}.values()
