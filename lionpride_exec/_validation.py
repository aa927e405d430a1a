"""Checks of what a user configures: what is wrong, and what would be right, is said by name."""

from __future__ import annotations

import inspect
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED = ("queue_capacity", "capacity_refresh_time")

MAX_QUEUE_CAPACITY = 10_000
MIN_REFRESH_TIME = 0.01
MAX_REFRESH_TIME = 3600.0


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
        ValueError: It is no int (a bool is none), or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer, {least} or more, got {value!r}")


def check_seconds(name: str, value: float, *, zero_allowed: bool = True, infinite_allowed: bool = False) -> float:
    """
    Give a number of seconds.

    Raises:
        ValueError: It is no number, NaN, infinite, negative, or 0 where that makes no sense.
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
        ValueError: It is no number, NaN, infinite or negative.
    """
    if not is_finite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number, 0 or more, got {value!r}")
    return value


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def check_bounds(*, capacity_refresh_time: float, **counts: int) -> None:
    """
    Check the numbers of a processor.

    Raises:
        ValueError: One is out of its bounds, NaN, or no number of its kind.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(cast("object", count), int):
            raise ValueError(f"{_label(name)} must be an integer ({name}={count!r})")  # noqa: TRY004  one kind for all
        if count < 1:
            rule = "greater than 0" if name == "queue_capacity" else ">= 1"
            raise ValueError(f"{_label(name)} must be {rule} ({name}={count!r})")
    if counts["queue_capacity"] > MAX_QUEUE_CAPACITY:
        raise ValueError(
            f"Queue capacity must be <= {MAX_QUEUE_CAPACITY} (queue_capacity={counts['queue_capacity']!r})"
        )
    _check_refresh_time(capacity_refresh_time)


def _check_refresh_time(seconds: float) -> None:
    given = f"(capacity_refresh_time={seconds!r})"
    if not is_finite(seconds):
        raise ValueError(f"Capacity refresh time must be a finite number of seconds {given}")
    if seconds < MIN_REFRESH_TIME:
        raise ValueError(f"Capacity refresh time must be >= {MIN_REFRESH_TIME}s {given}")
    if seconds > MAX_REFRESH_TIME:
        raise ValueError(f"Capacity refresh time must be <= {MAX_REFRESH_TIME:.0f}s {given}")


def check_priority(priority: float) -> float:
    """
    Give a priority as a float.

    Raises:
        ValueError: It is no number, NaN or infinite.
    """
    if not is_finite(priority):
        raise ValueError(f"Priority must be finite and not NaN, got {priority!r}")
    return float(priority)


def explain_refused_config(processor_type: type, config: Mapping[str, Any]) -> str | None:
    """
    Say which keys of a ``processor_config`` made the constructor raise a TypeError; None if none did.

    The keys are judged only after the fact, since a subclass may take keywords of its own out of ``**kwargs``.
    """
    known = {
        name
        for cls in processor_type.__mro__
        if cls is not object and "__init__" in vars(cls)
        for name in inspect.signature(vars(cls)["__init__"]).parameters
    } - {"self", "args", "kwargs", "pile", "executor"}
    missing = [key for key in REQUIRED if key not in config]
    unknown = sorted(set(config) - known)
    complaints = [
        f"processor_config {verb}: {', '.join(keys)}"
        for verb, keys in (("lacks the required keys", missing), ("has unknown keys", unknown))
        if keys
    ]
    return f"{'; '.join(complaints)} (known: {', '.join(sorted(known))})" if complaints else None
