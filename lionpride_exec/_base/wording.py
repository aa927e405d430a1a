"""How numbers are shown to people: in messages, and in the lines that tell how far a run is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# Seconds from which on a length of time is shown as hours, minutes and seconds.
SHOWN_PLAINLY: Final = 120.0

# Seconds, some 30 years: a wait that is longer has no end that is worth a number, and no date.
MAX_SECONDS: Final = 1e9


def shown_seconds(seconds: float) -> str:
    """Return how long something lasts: ``4.5 s``, ``0:02:00``, or ``ever``."""
    if seconds > MAX_SECONDS:
        return "ever"
    return f"{seconds:.3g} s" if seconds < SHOWN_PLAINLY else shown_clock(seconds)


def shown_clock(seconds: float) -> str:
    """Return a length of time as hours, minutes and whole seconds: ``0:01:30``."""
    return str(timedelta(seconds=round(seconds)))


def shown_rate(per_second: float) -> str:
    """Return a rate with two digits or more: ``0.5/s``, ``1,234/s``."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"  # noqa: PLR2004  two digits


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 line``, ``2 lines``; an s is added if no plural is given."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
