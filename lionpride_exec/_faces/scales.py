"""What an axis shows: the width of bins of time, and the top of a scale."""

from __future__ import annotations

from itertools import chain
from math import ceil, floor, log10
from typing import Final

import attrs

from lionpride_exec._display.quantities import DAY, HOUR, MINUTE

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


def bins_of(first: float, last: float) -> Bins:
    """Return bins with a width that people can name, at most 120, for times from the first to the last."""
    span = max(last - first, 0.0)
    width = next((width for width in _WIDTHS if span / width <= MAX_BINS - 1), DAY)
    while span / width > MAX_BINS - 1:
        width *= 2
    start = floor(first / width) * width
    return Bins(start, width, max(1, min(MAX_BINS, floor((last - start) / width) + 1)))


def round_top(value: float) -> float:
    """Return the number at the top of a scale: the next one that is 1, 2, 4 or 10 times a power of ten, or 1."""
    if value <= 1:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(power * digit for digit in (1, 2, 4, 6, 8, 10) if power * digit >= value * (1 - 1e-9))


def decades(least: float, most: float) -> tuple[int, int]:
    """Return the powers of ten between which lengths of time are shown: from 10 µs up, and at most six of them."""
    high = ceil(log10(max(most, SHORTEST)))
    low = floor(log10(max(least, SHORTEST)))
    return max(min(low, high - 1), high - MAX_DECADES), high
