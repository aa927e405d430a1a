"""Whether and when an event that failed, or was interrupted, is run again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
from attrs.validators import optional

from lionpride_exec._base.exception_groups import is_of, members_of
from lionpride_exec._validation import check_count, check_seconds, is_number

OnError = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]

# Seconds that a pause may last unless a Retry says otherwise: a week. Quotas that are longer than that are rare; a date
# that was read as a number of seconds is beyond.
DEFAULT_MAX_PAUSE = 7 * 86_400.0


def _valid_attempts(_instance: object, _attribute: object, value: object) -> None:
    check_count("attempts", value, 1)


def _valid_seconds(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    check_seconds(attribute.name, value)


def _valid_max_pause(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    check_seconds(attribute.name, value, infinite_allowed=True)


def _valid_backoff(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not callable(value):
        check_seconds(attribute.name, value)


def _valid_share(_instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not (is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{attribute.name} must be a number within 0 and 1, got {value!r}")


def _valid_on(_instance: object, _attribute: object, value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    are_errors = bool(kinds) and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds)
    if not are_errors and (isinstance(value, type | tuple) or not callable(value)):
        raise ValueError(f"on must be an exception type, a tuple of them, or a function of the error, got {value!r}")


@attrs.frozen(eq=False)
class Retry:
    """
    Run an event again that failed, or ran into its own timeout, if its error is ``retryable`` and matches ``on``.

    While it waits the event is PENDING, holds no slot, and keeps its priority; each run is recorded in
    ``event.execution.attempts``. With a retry, an event that is interrupted (``stop(grace=...)``, a cancelled
    scope) goes back to PENDING too, at no cost of an attempt, and runs at the next start.

    Args:
        attempts: Runs in all, at least 1.
        backoff: Seconds before the first retry, 0 or more, twice as many before each next one; or a function that gives
            them for the number of the run that failed, from 1.
        max_backoff: Upper bound of these seconds.
        jitter: Share of the seconds that is drawn at random, 0 to 1: the wait is within ``(1 - jitter) * seconds`` and
            ``seconds``. (1: "full jitter", 0.5: "equal jitter", as in M. Brooker, "Exponential Backoff And Jitter", AWS
            Architecture Blog, 2015.)
        on: Exception type, tuple of types, or function of the error. An ``ExceptionGroup`` matches types if all its
            members do.
        deadline: Seconds after the event's first start; a retry that would be due later is not made, nor is a
            ``RateLimited`` waited for any longer: the event ends FAILED. None for no bound.
        budget: Share of retries among the starts of the last minute, 0 to 1, above which a failure is final: when
            everything fails, retries would only add to the load. Ten in a minute are always allowed. It is counted for
            each executor and ``Retry`` object. None for no bound.
        max_pause: Seconds, 0 or more: the longest pause after a ``RateLimited`` that the event waits for. If the other
            side asks for more, or the pause has grown beyond, the event ends FAILED with a ``PauseTooLong``. Default: a
            week, which also holds for an event without a retry. ``inf`` for no bound.

    Raises:
        ValueError: A value out of its range.
    """

    attempts: int = attrs.field(default=3, validator=_valid_attempts)
    backoff: float | Callable[[int], float] = attrs.field(default=1.0, kw_only=True, validator=_valid_backoff)
    max_backoff: float = attrs.field(default=60.0, kw_only=True, validator=_valid_seconds)
    jitter: float = attrs.field(default=0.5, kw_only=True, validator=_valid_share)
    on: OnError = attrs.field(default=Exception, kw_only=True, validator=_valid_on)
    deadline: float | None = attrs.field(default=None, kw_only=True, validator=optional(_valid_seconds))
    budget: float | None = attrs.field(default=None, kw_only=True, validator=optional(_valid_share))
    max_pause: float = attrs.field(default=DEFAULT_MAX_PAUSE, kw_only=True, validator=_valid_max_pause)

    def matches(self, error: BaseException) -> bool:
        """Whether it is an error to try again after, by ``on`` alone."""
        if not isinstance(self.on, type | tuple):
            return bool(self.on(error))
        is_group = is_of(error, BaseExceptionGroup)
        return is_of(error, self.on) and (not is_group or all(self.matches(member) for member in members_of(error)))

    def seconds_after(self, attempt: int) -> float:
        """
        Return the seconds to wait after that run, drawn anew at each call.

        Raises:
            ValueError: The function ``backoff`` gave no finite number, 0 or more.
        """
        if callable(self.backoff):
            seconds = check_seconds("backoff", self.backoff(attempt))
        else:
            seconds = self.backoff * 2.0 ** min(attempt - 1, 1000)
        seconds = min(seconds, self.max_backoff)
        return seconds - random.uniform(0, self.jitter) * seconds  # noqa: S311  nobody is to be kept from guessing it
