"""Whether and when an event that failed, or was interrupted, is run again."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import attrs
from attrs.validators import optional

from ._config import check_count, check_seconds, is_number
from ._leaves import is_of, members_of

if TYPE_CHECKING:
    from uuid import UUID

    from ._event import Event

OnError = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]

# Seconds that a pause may last unless a Retry says otherwise: a week. Quotas that are longer than that are rare; a date
# that was read as a number of seconds is beyond.
DEFAULT_MAX_PAUSE = 7 * 86_400.0

BUDGET_WINDOW = 60.0
MIN_RETRIES_IN_WINDOW = 10
# How many moments of the last minute are kept apart: some 100 bytes each.
MAX_MOMENTS = 10_000


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
            ``RateLimited`` waited for any longer: the event ends FAILED. None: no such bound.
        budget: Share of retries among the starts of the last minute, 0 to 1, above which a failure is final: when
            everything fails, retries would only add to the load. Ten in a minute are always allowed. It is counted for
            each executor and ``Retry`` object. None: no such bound.
        max_pause: Seconds, 0 or more: the longest pause after a ``RateLimited`` that the event waits for. If the other
            side asks for more, or the pause has grown beyond, the event ends FAILED with a ``PauseTooLong``. Default: a
            week, which also holds for an event without a retry. ``inf``: no such bound.

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
        Give the seconds to wait after that run, drawn anew at each call.

        Raises:
            ValueError: The function ``backoff`` gave no finite number, 0 or more.
        """
        if callable(self.backoff):
            seconds = check_seconds("backoff", self.backoff(attempt))
        else:
            seconds = self.backoff * 2.0 ** min(attempt - 1, 1000)
        seconds = min(seconds, self.max_backoff)
        return seconds - random.uniform(0, self.jitter) * seconds  # noqa: S311  nobody is to be kept from guessing it


class Tally:
    """
    What happened in the last minute: exactly, while that are at most :data:`MAX_MOMENTS` moments.

    If there are more, those that are close together count as one moment, so that memory stays bounded.

    Args:
        keep_later: Whether it is the latest of them: then nothing is forgotten too early. Else it is the earliest: then
            nothing is counted for too long.
    """

    def __init__(self, *, keep_later: bool) -> None:
        self.total: int = 0
        self._keep_later = keep_later
        self._moments: deque[tuple[float, int]] = deque()  # when, and how often; in order of time
        self._cell = 0.0  # seconds within which moments count as one; 0: all are kept apart

    def note(self, now: float) -> None:
        """Count something. O(1) amortised."""
        self.total += 1
        self._add(now, 1)
        if len(self._moments) > MAX_MOMENTS:
            self._cell = 2 * BUDGET_WINDOW / MAX_MOMENTS
            apart, self._moments = self._moments, deque()
            for at, number in apart:
                self._add(at, number)

    def forget(self, now: float) -> None:
        """Drop what happened more than a minute ago. O(1) amortised."""
        moments = self._moments
        while moments and moments[0][0] <= now - BUDGET_WINDOW:
            self.total -= moments.popleft()[1]
        if not moments:
            self._cell = 0.0

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self._moments = deque((at + seconds, number) for at, number in self._moments)

    def _add(self, at: float, number: int) -> None:
        last = self._moments[-1] if self._moments else None
        if self._cell and last is not None and last[0] // self._cell == at // self._cell:
            self._moments[-1] = (at if self._keep_later else last[0], last[1] + number)
        else:
            self._moments.append((at, number))


class Budget:
    """
    The starts and retries of the last minute, and whether one more retry is allowed. O(1) amortised.

    It never allows more than the share. Only if there are more than :data:`MAX_MOMENTS` of them in a minute, it may
    allow a little less.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._starts = Tally(keep_later=False)
        self._retries = Tally(keep_later=True)

    def note_start(self, now: float) -> None:
        """Count a start."""
        self._starts.forget(now)
        self._starts.note(now)

    def take_retry(self, now: float) -> bool:
        """Count a retry, if one is allowed."""
        self._starts.forget(now)
        self._retries.forget(now)
        # A retry will be one more start.
        if self._retries.total + 1 > max(MIN_RETRIES_IN_WINDOW, self._share * (self._starts.total + 1)):
            return False
        self._retries.note(now)
        return True

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self._starts.shift(seconds)
        self._retries.shift(seconds)


class Reruns:
    """
    Decides for one processor about running events again.

    Args:
        default: For events that have no retry of their own.
    """

    def __init__(self, default: Retry | None) -> None:
        self.default = default
        self._budgets: WeakKeyDictionary[Retry, Budget] = WeakKeyDictionary()
        self._first_starts: dict[UUID, float] = {}  # of events that were run again under a deadline

    def of(self, event: Event) -> Retry | None:
        """Give the retry that holds for an event."""
        return event.retry or self.default

    def note_start(self, event: Event, now: float) -> None:
        """Count a start where a budget needs it."""
        retry = self.of(event)
        if retry is not None and retry.budget is not None:
            self._budget(retry, retry.budget).note_start(now)

    def seconds_until(self, event: Event, error: BaseException, *, began: float, now: float) -> float | None:
        """
        Give the seconds after which an event that failed runs again; None: it does not.

        Args:
            event: Whose run has ended.
            error: With this, retryable.
            began: When that run began.
            now: The time.
        """
        retry, attempt = self.of(event), event.execution.attempt
        if retry is None or attempt >= retry.attempts or not retry.matches(error):
            return None
        seconds = retry.seconds_after(attempt)
        if not self.is_in_time(event, now + seconds, began=began):
            return None
        if retry.budget is not None and not self._budget(retry, retry.budget).take_retry(now):
            error.add_note("It was not run again: the retry budget is used up")
            return None
        return seconds

    def is_in_time(self, event: Event, due: float, *, began: float) -> bool:
        """Whether an event whose run began then, and has ended, may run again as late as that."""
        retry = self.of(event)
        if retry is None or retry.deadline is None:
            return True
        return due <= self._first_starts.setdefault(event.id, began) + retry.deadline

    def max_pause(self, event: Event) -> float:
        """Return the seconds that a pause may last for an event."""
        retry = self.of(event)
        return DEFAULT_MAX_PAUSE if retry is None else retry.max_pause

    def forget(self, event_id: UUID) -> None:
        """Drop what is known of an event."""
        self._first_starts.pop(event_id, None)

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self._first_starts = {at: began + seconds for at, began in self._first_starts.items()}
        for budget in self._budgets.values():
            budget.shift(seconds)

    def _budget(self, retry: Retry, share: float) -> Budget:
        budget = self._budgets.get(retry)
        if budget is None:
            budget = self._budgets[retry] = Budget(share)
        return budget
