"""What an axis shows: the width of bins of time, the top of a scale, and the words for times and numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from math import ceil, floor, log10
from typing import Final

import attrs

MAX_BINS: Final = 120

# What a histogram of lengths of time tells apart: from how many seconds on, and over how many powers of ten.
SHORTEST: Final = 1e-5
MAX_DECADES: Final = 6

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

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


def shown_number(value: float) -> str:
    """Return a number with thousands, and with decimals only where they tell something."""
    if value == round(value) or abs(value) >= 100:  # noqa: PLR2004  three digits
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004  likewise


def shown_length(seconds: float) -> str:
    """Return a length of time in its own unit: ``20 µs``, ``250 ms``, ``4.5 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 1:
        return f"{seconds * 1e6:.3g} µs" if 0 < seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"  # noqa: PLR2004  a ms
    if seconds < MINUTE:
        return f"{seconds:.3g} s"
    for unit, name, lower, lower_name in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1.0, "s")):
        if seconds >= unit:
            whole, rest = divmod(round(seconds / lower), round(unit / lower))
            return f"{whole:,} {name} {rest} {lower_name}" if rest else f"{whole:,} {name}"
    raise AssertionError(seconds)


def shown_time(at: float, *, span: float = DAY) -> str:
    """
    Return a time in UTC with what tells it apart from others. "?" if it is not a time.

    Args:
        at: Seconds since 1970.
        span: Seconds from the first to the last of the times that are shown together. Up to 12 hours no date is shown.
    """
    if span <= MINUTE / 12:
        return _formatted(at, "%H:%M:%S.%f")[:-3] or "?"  # to the millisecond
    return _formatted(at, "%H:%M:%S" if span <= HOUR * 12 else "%Y-%m-%d %H:%M")


def shown_moment(at: float) -> str:
    """Return a time in UTC, to the second, with its date. "?" if it is not a time."""
    return _formatted(at, "%Y-%m-%d %H:%M:%S")


def _formatted(at: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return "?"


def shown_pace(per_second: float) -> str:
    """Return how often something happens, by the second, minute or hour: ``12/s``, ``3.5/min``."""
    for unit, name in ((1.0, "s"), (MINUTE, "min")):
        if per_second * unit >= 1:
            return f"{shown_number(per_second * unit)}/{name}"
    return f"{shown_number(per_second * HOUR)}/h"


def shown_decade(power: int) -> str:
    """Return a power of ten in seconds as a short text: ``10 µs``, ``1 ms``, ``1,000 s``."""
    unit, name = next((unit, name) for unit, name in ((0, "s"), (-3, "ms"), (-6, "µs")) if power >= unit)
    return f"{10 ** (power - unit):,} {name}"


def decades(least: float, most: float) -> tuple[int, int]:
    """Return the powers of ten between which lengths of time are shown: from 10 µs up, and at most six of them."""
    high = ceil(log10(max(most, SHORTEST)))
    low = floor(log10(max(least, SHORTEST)))
    return max(min(low, high - 1), high - MAX_DECADES), high
