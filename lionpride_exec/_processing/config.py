"""The bounds of a processor's numbers, and the complaint about a ``processor_config`` that the processor refused."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._validation import is_finite

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED = ("queue_capacity", "capacity_refresh_time")

MAX_QUEUE_CAPACITY = 10_000
MIN_REFRESH_TIME = 0.01
MAX_REFRESH_TIME = 3600.0


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def check_bounds(*, capacity_refresh_time: float, **counts: int) -> None:
    """
    Check the numbers of a processor.

    Raises:
        ValueError: A number is out of its bounds, NaN, or of the wrong type.
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


def explain_refused_config(processor_type: type, config: Mapping[str, Any]) -> str | None:
    """
    Return which keys of a ``processor_config`` made the constructor raise a TypeError. None if no key did.

    The keys are checked after the error only, since a subclass may take keywords of its own out of ``**kwargs``.
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
