"""Numbers, lengths of time and points in time, in words for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0

_LONGEST_IN_SECONDS: Final = 3  # the power of ten


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


def iso_time(at: float | None) -> str | None:
    """Return a time as text for programs, in UTC, to the millisecond. None if there is none."""
    try:
        moment = None if at is None else datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    """Return a power of ten in seconds as a short text: ``10 µs``, ``1 ms``, ``1,000 s``, ``2.8 h``, ``12 d``."""
    if power > _LONGEST_IN_SECONDS:
        unit, name = (HOUR, "h") if 10**power < DAY else (DAY, "d")
        return f"{10**power / unit:,.2g} {name}" if 10**power < DAY * 100 else f"{10**power / unit:,.0f} {name}"
    of, name = next((unit, name) for unit, name in ((0, "s"), (-3, "ms"), (-6, "µs")) if power >= unit)
    return f"{10 ** (power - of):,} {name}"
