"""When something happened in a run. A run that was continued after a day has a day in which nothing did."""

from __future__ import annotations

from array import array
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lionpride_exec._model.run_record import RunReport

# A pause is left out of the charts if it is at least so many seconds, this part of the whole time, and as long as all
# the rest. A shorter one is a part of the run: somebody wants to see it.
LEAST_SECONDS: Final = 60.0
LEAST_PART: Final = 0.1

# Less than so many seconds in which something happened are no reason to leave out the rest.
LEAST_REST: Final = 1.0

# The whole time is looked at in so many cells. The ends of a pause are exact, whatever they are.
CELLS: Final = 4096


def stretches_of(report: RunReport) -> list[tuple[float, float]]:
    """
    Return from when to when something happened, in order. Empty if no time is known.

    A pause that is long beside the rest is between two stretches. There are at most ten, since each pause takes a tenth
    of the time. O(number of runs).
    """
    times = report.times
    if times.first is None or times.last is None:
        return []
    span = times.last - times.first
    if span < LEAST_SECONDS:
        return [(times.first, times.last)]
    busy, least, most = _cells(report, times.first, span)
    pauses = list(_pauses(busy, least, most))
    rest = span - sum(end - begin for begin, end in pauses)
    enough = max(LEAST_SECONDS, span * LEAST_PART, rest)
    long = [(begin, end) for begin, end in pauses if end - begin >= enough and rest >= LEAST_REST]
    edges = [times.first, *chain.from_iterable(long), times.last]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _cells(report: RunReport, first: float, span: float) -> tuple[list[int], array[float], array[float]]:
    """Return how many runs go on in each cell, and the first beginning and the last end in it."""
    scale = (CELLS - 1) / span
    last = first + span
    change = [0] * (CELLS + 1)
    least, most = array("d", [inf]) * CELLS, array("d", [-inf]) * CELLS
    ends = report.times.ends
    for begin, stop in chain(
        report.times.runs(report.window), zip(ends, ends, strict=True), ((first, first), (last, last))
    ):
        left, right = int((begin - first) * scale), int((stop - first) * scale)
        change[left] += 1
        change[right + 1] -= 1
        if begin < least[left]:  # noqa: PLR1730  a million of them
            least[left] = begin
        if stop > most[right]:  # noqa: PLR1730  likewise
            most[right] = stop
    running, busy = 0, [0] * CELLS
    for cell in range(CELLS):
        running += change[cell]
        busy[cell] = running
    return busy, least, most


def _pauses(busy: list[int], least: array[float], most: array[float]) -> Iterator[tuple[float, float]]:
    """Yield from when to when nothing happened, for each row of empty cells."""
    last, was_empty = -inf, False
    for cell, count in enumerate(busy):
        if not count:
            was_empty = True
            continue
        if was_empty and least[cell] > last:
            yield last, least[cell]
        was_empty = False
        last = max(last, most[cell])
