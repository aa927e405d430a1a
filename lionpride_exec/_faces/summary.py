"""The numbers of a report: what happened in each bin of time, how long things took, and what that comes to."""

from __future__ import annotations

import re
from itertools import chain
from math import ceil, log10
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import attrs

from lionpride_exec._display.quantities import HOUR, MINUTE
from lionpride_exec._journal.schema import FINAL

from .scales import Bins, bins_of, decades

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._journal.run_report import RunReport, Times

# A rate as it is given to the command, and its units in seconds.
_RATE: Final = re.compile(r"(\d{1,15})/(\d{1,15}(?:\.\d+)?|\.\d+)?(ms|s|m|h)", re.ASCII)
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": MINUTE, "h": HOUR}

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
class Starts:
    """
    The most runs that began in any stretch of time of one length, wherever the stretch begins.

    Attributes:
        per: Its length in seconds.
        most: How many runs began in it.
        at: When the last one of these began, seconds since 1970.
        amount: How many were allowed. None if the journal does not know a limit of this length.
    """

    per: float
    most: int
    at: float
    amount: int | None


@attrs.frozen
class Summary:
    """
    The numbers of a report.

    Attributes:
        total: Events of all statuses.
        ended: Events that have ended.
        span: Seconds from the first to the last time in the file.
        rate: Events that ended in a second of this span. None if the span is 0.
        bins: The bins of time. None if no event has a time.
        ends: Events that ended in each bin, by status. Those whose time the file does not have are left out.
        busy: How many events ran in each bin, on average.
        starts: How many runs began in stretches of time, the shortest stretch first: one for each rate that the last
            run of the command was given, and a second, a minute and an hour, unless all took less.
        durations: The last runs of events that completed or failed.
        waits: How long events waited before these runs.
    """

    total: int
    ended: int
    span: float
    rate: float | None
    bins: Bins | None
    ends: dict[str, list[int]]
    busy: list[float]
    starts: list[Starts]
    durations: Lengths
    waits: Lengths


def summarize(report: RunReport) -> Summary:
    """Return the numbers of a report. O(n log n) in the number of events."""
    times = report.times
    ended = sum(report.counts[status] for status in FINAL)
    total = sum(report.counts.values())
    bins, span = None, 0.0
    if times.first is not None and times.last is not None:
        bins, span = bins_of(times.first, times.last), times.last - times.first
    return Summary(
        total=total,
        ended=ended,
        span=span,
        rate=ended / span if span else None,
        bins=bins,
        ends=_ends(times, bins) if bins else {},
        busy=_busy(times, bins) if bins else [],
        starts=_starts(report, span),
        durations=lengths_of(times.durations),
        waits=lengths_of(times.waits),
    )


def _ends(times: Times, bins: Bins) -> dict[str, list[int]]:
    counts = [[0] * bins.count for _ in FINAL]
    for at, code in zip(times.ends, times.codes, strict=True):
        counts[code][bins.place(at)] += 1
    return {status: found for status, found in zip(FINAL, counts, strict=True) if any(found)}


def _busy(times: Times, bins: Bins) -> list[float]:
    """Return how many runs there were at a time in each bin: the seconds of all runs in it, for each second of it."""
    now = times.last or 0.0  # what runs is known to run until then
    runs = chain(zip(times.begins, times.stops, strict=True), ((begin, now) for begin in times.running))
    seconds = [0.0] * bins.count  # of runs that begin or end in the bin
    whole = [0] * (bins.count + 1)  # how many more runs than in the bin before last from end to end of the bin
    for begin, stop in runs:
        first, last = bins.place(begin), bins.place(stop)
        if first == last:
            seconds[first] += stop - begin
            continue
        seconds[first] += bins.start + bins.width * (first + 1) - begin
        seconds[last] += stop - (bins.start + bins.width * last)
        whole[first + 1] += 1
        whole[last] -= 1
    running = 0
    for place, change in enumerate(whole[:-1]):
        running += change
        seconds[place] += running * bins.width
    return [found / bins.width for found in seconds]


def _starts(report: RunReport, span: float) -> list[Starts]:
    begins = sorted(chain(report.times.begins, report.times.running))
    if not begins:
        return []
    windows = _rates_given(report)
    limited = {per for per, _ in windows}
    windows += [(per, None) for per in (1.0, MINUTE, HOUR) if per not in limited and per <= span]
    return [Starts(per, *_most(begins, per), amount) for per, amount in sorted(windows, key=itemgetter(0))]


def _most(begins: Sequence[float], per: float) -> tuple[int, float]:
    """Return the most times that lie in less than so many seconds, and the last one of them. The times are in order."""
    most, at, first = 0, begins[0], 0
    for place, begin in enumerate(begins):
        while begin - begins[first] >= per:
            first += 1
        if place - first + 1 > most:
            most, at = place - first + 1, begin
    return most, at


def _rates_given(report: RunReport) -> list[tuple[float, int | None]]:
    """Return seconds and amount of each plain rate of the last run of the command: not of a key, and without a cost."""
    options = report.runs[0].options if report.runs else {}
    given = options.get("--rate", ())
    if not isinstance(given, list) or "--key" in options:
        return []
    found = [_RATE.fullmatch(str(text)) for text in given]
    return [(float(one[2] or 1) * _SECONDS[one[3]], int(one[1])) for one in found if one and float(one[2] or 1)]


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
