"""How numbers are shown to people: in messages, and in the progress lines of a run."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# From this many seconds on, a length of time is shown as hours, minutes and seconds.
SHOWN_PLAINLY: Final = 120.0

# About 30 years in seconds. A longer wait is shown as "ever", without a number or a date.
MAX_SECONDS: Final = 1e9


def shown_seconds(seconds: float) -> str:
    """Return a length of time as text: ``4.5 s``, ``0:02:00``, or ``ever``."""
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
    """Return a number with its noun: ``1 line``, ``2 lines``. The default plural adds an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
