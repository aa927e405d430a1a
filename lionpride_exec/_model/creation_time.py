"""When an element was made: values that mean a time, and times that never go back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lionpride_exec._base.sentinel import Unset
from lionpride_exec._base.wall_clock import wall_clock


def to_creation_time(value: Any) -> datetime:
    """Return the time that a value means, as :func:`to_datetime` does. ``Unset`` means now, or the latest such time."""
    if value is not Unset:
        return to_datetime(value)
    now = wall_clock.now()
    # No lock, which would cost as much as the clock. With its global lock, CPython switches threads at calls and at
    # loops, not between a comparison written in C and the assignment after it. max() would be a call.
    wall_clock.latest = max(wall_clock.latest, now)
    return wall_clock.latest


def to_datetime(value: Any) -> datetime:
    """
    Return the time for a datetime, a number of seconds since 1970, or the text of either. No zone means UTC.

    Raises:
        ValueError: The value is none of these, or out of range.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        try:
            return to_datetime(datetime.fromisoformat(value) if not _is_number(value) else float(value))
        except ValueError:
            raise ValueError(f"created_at {value!r} is neither a valid timestamp nor ISO text") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, OSError):
            raise ValueError(f"created_at {value!r} is out of range") from None
    raise ValueError(f"created_at must be a datetime, a number or text, got {type(value).__name__}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
