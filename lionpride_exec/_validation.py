"""Checks of arguments. Each error names the argument, the rule and the value."""

from __future__ import annotations

from datetime import timedelta
from math import inf, isfinite
from typing import Any, cast


def is_number(value: object) -> bool:
    """Whether a value is an int or float, and not a bool (which Python takes for an int)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Whether a value is a number that a float can hold, no NaN and no infinity."""
    try:
        return is_number(value) and isfinite(cast("float", value))
    except OverflowError:  # an int beyond all floats
        return False


def check_count(name: str, value: object, least: int) -> None:
    """
    Check a number of things that can be counted.

    Raises:
        ValueError: The value is no int (a bool is none), or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer, {least} or more, got {value!r}")


def check_flag(name: str, value: object) -> None:
    """
    Check a choice of two.

    Raises:
        ValueError: The value is neither True nor False. A text would count as True.
    """
    if value is not True and value is not False:
        raise ValueError(f"{name} must be True or False, got {value!r}")


def seconds_of(value: Any) -> Any:
    """Return the seconds of a ``timedelta``, and any other value as it is: it is checked elsewhere."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def check_seconds(name: str, value: float, *, zero_allowed: bool = True, infinite_allowed: bool = False) -> float:
    """
    Return a number of seconds, checked.

    Raises:
        ValueError: The value is no number, NaN, infinite, negative, or 0 where that makes no sense.
    """
    if not (is_finite(value) or (infinite_allowed and value == inf)):
        raise ValueError(f"{name} must be finite, a number of seconds, got {value!r}")
    if value < 0 or (value == 0 and not zero_allowed):
        raise ValueError(f"{name} must be {'not negative' if zero_allowed else 'positive'}, got {value!r}")
    return value


def check_number(name: str, value: float) -> float:
    """
    Return a number of things, which may be an estimate.

    Raises:
        ValueError: The value is no number, NaN, infinite or negative.
    """
    if not is_finite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number, 0 or more, got {value!r}")
    return value


def check_priority(priority: float) -> float:
    """
    Return a priority as a float.

    Raises:
        ValueError: The priority is no number, NaN or infinite.
    """
    if not is_finite(priority):
        raise ValueError(f"Priority must be finite and not NaN, got {priority!r}")
    return float(priority)
