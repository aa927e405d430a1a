"""The bounds of a processor's numbers, and the complaint about a ``processor_config`` that the processor refused."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._model.retry import Retry
from lionpride_exec._validation import check_seconds, is_finite
from lionpride_exec.errors import ConfigurationError, QueueFullError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REQUIRED = ("queue_capacity", "capacity_refresh_time")

# How many events may run whose functions are short, so that a process gets many of them at a time.
MANY_SHORT = 1000

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


def full_queue(size: int, max_size: int) -> QueueFullError:
    """Return the error of a queue that has no room."""
    return QueueFullError(
        f"Queue size ({size}) exceeds max ({max_size}): the queue is full. Pass `wait=True` to wait for room.",
        details={"queue_size": size, "max_size": max_size},
    )


def check_retry(retry: object) -> None:
    """
    Check the retry of a processor.

    Raises:
        ConfigurationError: The value is neither a Retry nor None.
    """
    if retry is not None and not isinstance(retry, Retry):
        raise ConfigurationError(f"retry must be a Retry or None, got {retry!r}")


def check_timeout(timeout: float | None) -> None:
    """
    Check the timeout of a processor.

    Raises:
        ValueError: The value is neither a positive, finite number of seconds nor None.
    """
    if timeout is not None:
        check_seconds("timeout", timeout, zero_allowed=False)


def explain_refused_config(processor_type: type, config: Mapping[str, Any], also: Collection[str] = ()) -> str | None:
    """
    Return which keys of a ``processor_config`` made the constructor raise a TypeError. None if no key did.

    The keys are checked after the error only, since a subclass may take keywords of its own out of ``**kwargs``.

    Args:
        processor_type: The class of the processor.
        config: The keywords.
        also: Other names that the caller may have meant: keywords of ``Executor.of()``.
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
        for verb, keys in (
            ("lacks the required keys", missing),
            ("has unknown keys", [f"{key}{did_you_mean(key, known.union(also))}" for key in unknown]),
        )
        if keys
    ]
    return f"{'; '.join(complaints)} (known: {', '.join(sorted(known))})" if complaints else None
