"""Whether and when an event runs again after a failure or an interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs.validators import optional

from lionpride_exec._base.exception_groups import is_of, members_of
from lionpride_exec._validation import check_count, check_seconds, is_number

from .limit_fields import shown

OnError = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]

# The longest pause in seconds, unless a Retry says otherwise: a week. Longer quotas are rare, and a date that was
# mistaken for a number of seconds is longer.
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


def _shown_on(on: Any) -> str:
    """Return the names of classes, or that of a function."""
    return f"({', '.join(map(shown, on))}{',' * (len(on) == 1)})" if isinstance(on, tuple) else shown(on)


def _valid_on(_instance: object, _attribute: object, value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    are_errors = bool(kinds) and all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds)
    if not are_errors and (isinstance(value, type | tuple) or not callable(value)):
        raise ValueError(f"on must be an exception type, a tuple of them, or a function of the error, got {value!r}")


@attrs.frozen(eq=False)
class Retry:
    """
    Run an event again after a failure or its own timeout, if the error is ``retryable`` and matches ``on``.

    Until the next run the event is PENDING, holds no slot, and keeps its priority. ``event.execution.attempts`` records
    each run. An interruption (``stop(grace=...)``, a cancelled scope) also sets an event with a retry back to PENDING.
    An interrupted run does not count as an attempt, and the event runs again at the next start of the executor. With a
    journal, an event without a retry runs again too, unless its class says ``on_crash="fail"`` or ``"hold"``.

    Args:
        attempts: How many runs in all, at least 1.
        backoff: Seconds before the first retry, 0 or more. The seconds double with each further retry. Or a function
            that returns the seconds for the number of the failed run, counted from 1.
        max_backoff: Upper bound of the backoff in seconds, 0 or more.
        jitter: Share of the backoff that is random, 0 to 1: the wait is between ``(1 - jitter) * backoff`` seconds and
            ``backoff`` seconds. 1 is "full jitter" and 0.5 is "equal jitter" in M. Brooker, "Exponential Backoff And
            Jitter", AWS Architecture Blog, 2015.
        on: An exception type, a tuple of types, or a function of the error. An ``ExceptionGroup`` matches types if all
            its members match.
        deadline: Seconds after the first start of the event, 0 or more. If a retry, or the end of a pause after
            ``RateLimited``, would come later, the event ends FAILED instead. None for no bound.
        budget: Largest share of retries among the starts of the last minute, 0 to 1. Above that share a failure is
            final: when everything fails, retries only add to the load. Ten retries in a minute are always allowed. Each
            executor counts the share separately for each ``Retry`` object. None for no bound.
        max_pause: The longest pause after a ``RateLimited`` that the event waits for, in seconds, 0 or more. If the
            pause becomes longer, the event ends FAILED with a ``PauseTooLong``. The default, a week, also applies to
            an event without a retry. ``inf`` for no bound.

    Raises:
        ValueError: A value is out of range, or ``on`` is neither an exception type, a tuple of them, nor a function.
    """

    attempts: int = attrs.field(default=3, validator=_valid_attempts)
    backoff: float | Callable[[int], float] = attrs.field(default=1.0, kw_only=True, validator=_valid_backoff)
    max_backoff: float = attrs.field(default=60.0, kw_only=True, validator=_valid_seconds)
    jitter: float = attrs.field(default=0.5, kw_only=True, validator=_valid_share)
    on: OnError = attrs.field(default=Exception, kw_only=True, validator=_valid_on, repr=_shown_on)
    deadline: float | None = attrs.field(default=None, kw_only=True, validator=optional(_valid_seconds))
    budget: float | None = attrs.field(default=None, kw_only=True, validator=optional(_valid_share))
    max_pause: float = attrs.field(default=DEFAULT_MAX_PAUSE, kw_only=True, validator=_valid_max_pause)

    def matches(self, error: BaseException) -> bool:
        """Return whether ``on`` allows a retry after this error. No other rule is checked."""
        if not isinstance(self.on, type | tuple):
            return bool(self.on(error))
        is_group = is_of(error, BaseExceptionGroup)
        return is_of(error, self.on) and (not is_group or all(self.matches(member) for member in members_of(error)))

    def seconds_after(self, attempt: int) -> float:
        """
        Return the seconds to wait after the run number ``attempt`` (1 or more). Each call draws new random seconds.

        Raises:
            ValueError: The function ``backoff`` did not return a finite number, 0 or more.
        """
        if callable(self.backoff):
            seconds = check_seconds("backoff", self.backoff(attempt))
        else:
            seconds = self.backoff * 2.0 ** min(attempt - 1, 1000)
        import random  # noqa: PLC0415  slow to import, for retries only

        seconds = min(seconds, self.max_backoff)
        return seconds - random.uniform(0, self.jitter) * seconds  # noqa: S311  not a secret
