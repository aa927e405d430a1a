"""What an axis shows: the width of bins of time, and the top of a scale."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final

import attrs

from lionpride_exec._display.quantities import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BINS: Final = 120

# What a histogram of lengths of time tells apart: from how many seconds on, and over how many powers of ten.
SHORTEST: Final = 1e-5
MAX_DECADES: Final = 6

# Widths of bins that people can name, in seconds.
_WIDTHS: Final = (
    *(digit * 10.0**power for power in (-3, -2, -1) for digit in (1, 2, 5)),
    *chain((1.0, 2.0, 5.0, 10.0, 15.0, 30.0), (count * MINUTE for count in (1, 2, 5, 10, 15, 30))),
    *(count * HOUR for count in (1, 2, 3, 6, 12)),
)


@attrs.frozen
class Bins:
    """
    Equal stretches of time.

    Attributes:
        start: When the first one begins, seconds since 1970.
        width: Seconds of each.
        count: How many there are, 1 or more.
    """

    start: float
    width: float
    count: int

    @property
    def end(self) -> float:
        """When the last one ends, seconds since 1970."""
        return self.start + self.width * self.count

    def place(self, at: float) -> int:
        """Return the bin of a time. A time outside belongs to the first or last bin."""
        return min(max(int((at - self.start) / self.width), 0), self.count - 1)


class Axis:
    """
    Equal stretches of time, without the long ones in which nothing happened.

    Args:
        pieces: The bins of each time in which something happened, in order, one or more. All have the same width.

    Attributes:
        width: Seconds of each bin.
        firsts: The place of the first bin of each piece.
        count: How many bins there are.
        begins: When each bin begins, seconds since 1970.
    """

    def __init__(self, pieces: Sequence[Bins]) -> None:
        self.pieces = pieces
        self.width: float = pieces[0].width
        self.firsts: list[int] = list(accumulate((piece.count for piece in pieces[:-1]), initial=0))
        self.count: int = self.firsts[-1] + pieces[-1].count
        self.begins: list[float] = [
            piece.start + place * self.width for piece in pieces for place in range(piece.count)
        ]
        self._starts = [piece.start for piece in pieces[1:]]

    def place(self, at: float) -> int:
        """Return the bin of a time. A time that has none belongs to the bin before, or to the first one."""
        number = bisect_right(self._starts, at) if self._starts else 0
        return self.firsts[number] + self.pieces[number].place(at)


def axis_of(stretches: Sequence[tuple[float, float]]) -> Axis:
    """
    Return bins with a width that people can name, about 120 at most.

    Args:
        stretches: From when to when something happened, in order, one or more. What is between two of them is left out.
    """
    span = sum(max(end - start, 0.0) for start, end in stretches)
    most = MAX_BINS - len(stretches)  # an end may need a bin of its own
    width = next((width for width in _WIDTHS if span / width <= most), DAY)
    while span / width > most:
        width *= 2
    pieces: list[Bins] = []
    for begin, end in stretches:
        start = floor(begin / width) * width
        if pieces:  # two stretches may share a bin
            start = max(start, pieces[-1].end)
        pieces.append(Bins(start, width, max(1, min(MAX_BINS, floor((end - start) / width) + 1))))
    return Axis(pieces)


def round_top(value: float) -> float:
    """Return the number at the top of a scale, at least 1: the next 1, 2, 4, 6 or 8 times a power of ten."""
    if value <= 1:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(power * digit for digit in (1, 2, 4, 6, 8, 10) if power * digit >= value * (1 - 1e-9))


def decades(least: float, most: float) -> tuple[int, int]:
    """Return the powers of ten between which lengths of time are shown: from 10 µs up, and at most six of them."""
    high = ceil(log10(max(most, SHORTEST)))
    low = floor(log10(max(least, SHORTEST)))
    return max(min(low, high - 1), high - MAX_DECADES), high
