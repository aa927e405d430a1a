"""The numbers of a report: what happened in each bin of time, how long things took, and what that comes to."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log10
from typing import TYPE_CHECKING, Final

import attrs

from lionpride_exec._status import FINAL

from .scales import axis_of, decades
from .starts import starts_of
from .stretches import stretches_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lionpride_exec._model.run_record import RunReport, Times

    from .scales import Axis
    from .starts import Starts

# Bars of a histogram for each power of ten.
BARS_PER_DECADE: Final = 5

# Shown for lengths of time: the middle, and how long the slow ones took.
PERCENTILES: Final = (50, 95, 99)


@attrs.frozen
class Lengths:
    """
    How long something took, for many events. Seconds.

    Attributes:
        count: How many there are.
        percentiles: The length that so many percent do not exceed, for each of ``PERCENTILES``. Empty if there is none.
        longest: The longest of all. 0 if there is none.
        decades: The powers of ten, of seconds, from the left to the right end of a histogram.
        edges: The lower edges of the bars of a histogram, and the upper edge of the last one. The first bar has all
            shorter lengths too.
        bars: How many lengths are in each bar.
    """

    count: int
    percentiles: tuple[float, ...]
    longest: float
    decades: range
    edges: tuple[float, ...]
    bars: tuple[int, ...]


@attrs.frozen
class Summary:
    """
    The numbers of a report.

    Attributes:
        total: Events of all statuses.
        ended: Events that have ended.
        stretches: From when to when something happened, in order. Empty if no event has a time.
        span: How many seconds these are.
        rate: Events that ended in a second of this span. None if the span is 0.
        axis: The bins of time. None if no event has a time.
        ends: Events that ended in each bin, by status. Those whose time is not known are left out.
        busy: How many events ran in each bin, on average.
        starts: How many runs began in stretches of time, the shortest stretch first.
        durations: The last runs of events that completed or failed.
        waits: How long events waited before these runs.
    """

    total: int
    ended: int
    stretches: list[tuple[float, float]]
    span: float
    rate: float | None
    axis: Axis | None
    ends: dict[str, list[int]]
    busy: list[float]
    starts: list[Starts]
    durations: Lengths
    waits: Lengths

    @property
    def pauses(self) -> list[tuple[float, float]]:
        """From when to when nothing happened for long."""
        return [(before[1], after[0]) for before, after in pairwise(self.stretches)]


def summarize(report: RunReport) -> Summary:
    """Return the numbers of a report. O(n log n) in the number of events."""
    times = report.times
    ended = sum(report.counts[status] for status in FINAL)
    total = sum(report.counts.values())
    stretches = stretches_of(report)
    span = sum(end - begin for begin, end in stretches)
    axis = axis_of(stretches) if stretches else None
    return Summary(
        total=total,
        ended=ended,
        stretches=stretches,
        span=span,
        rate=ended / span if span else None,
        axis=axis,
        ends=_ends(times, axis) if axis else {},
        busy=_busy(times.runs(report.window), axis) if axis else [],
        starts=starts_of(report),
        durations=lengths_of(times.durations),
        waits=lengths_of(times.waits),
    )


def _ends(times: Times, axis: Axis) -> dict[str, list[int]]:
    counts = [[0] * axis.count for _ in FINAL]
    for at, code in zip(times.ends, times.codes, strict=True):
        counts[code][axis.place(at)] += 1
    return {status: found for status, found in zip(FINAL, counts, strict=True) if any(found)}


def _busy(runs: Iterable[tuple[float, float]], axis: Axis) -> list[float]:
    """Return how many runs there were at a time in each bin: the seconds of all runs in it, for each second of it."""
    seconds = [0.0] * axis.count  # of runs that begin or end in the bin
    whole = [0] * (axis.count + 1)  # how many more runs than in the bin before last from end to end of the bin
    for begin, stop in runs:
        left, right = axis.place(begin), axis.place(stop)
        if left == right:
            seconds[left] += stop - begin
            continue
        seconds[left] += axis.begins[left] + axis.width - begin
        seconds[right] += stop - axis.begins[right]
        whole[left + 1] += 1
        whole[right] -= 1
    running = 0
    for place, change in enumerate(whole[:-1]):
        running += change
        seconds[place] += running * axis.width
    return [found / axis.width for found in seconds]


def lengths_of(values: Sequence[float]) -> Lengths:
    """Return percentiles and a histogram of lengths of time, in seconds."""
    if not values:
        return Lengths(0, (), 0.0, range(0), (), ())
    in_order = sorted(values)
    percentiles = tuple(in_order[ceil(len(in_order) * percent / 100) - 1] for percent in PERCENTILES)
    low, high = decades(in_order[0], in_order[-1])
    bars = [0] * ((high - low) * BARS_PER_DECADE)
    least = 10.0**low
    for value in in_order:
        bars[min(max(int((log10(max(value, least)) - low) * BARS_PER_DECADE), 0), len(bars) - 1)] += 1
    edges = tuple(10.0 ** (low + place / BARS_PER_DECADE) for place in range(len(bars) + 1))
    return Lengths(len(in_order), percentiles, in_order[-1], range(low, high + 1), edges, tuple(bars))
