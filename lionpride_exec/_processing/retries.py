"""Running events again: whether an event may, when, and how many retries the budgets still allow."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from lionpride_exec._model.retry import DEFAULT_MAX_PAUSE

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.retry import Retry

BUDGET_WINDOW = 60.0
MIN_RETRIES_IN_WINDOW = 10
# How many moments of the last minute are kept apart: some 100 bytes each.
MAX_MOMENTS = 10_000


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


class RetryBudget:
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


class RetryPlanner:
    """
    Decides for one processor about running events again.

    Args:
        default: For events that have no retry of their own.
    """

    def __init__(self, default: Retry | None) -> None:
        self.default = default
        self._budgets: WeakKeyDictionary[Retry, RetryBudget] = WeakKeyDictionary()
        self.first_starts: dict[UUID, float] = {}  # of events that were run again under a deadline

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
        return due <= self.first_starts.setdefault(event.id, began) + retry.deadline

    def max_pause(self, event: Event) -> float:
        """Return the seconds that a pause may last for an event."""
        retry = self.of(event)
        return DEFAULT_MAX_PAUSE if retry is None else retry.max_pause

    def forget(self, event_id: UUID) -> None:
        """Drop what is known of an event."""
        self.first_starts.pop(event_id, None)

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self.first_starts = {at: began + seconds for at, began in self.first_starts.items()}
        for budget in self._budgets.values():
            budget.shift(seconds)

    def _budget(self, retry: Retry, share: float) -> RetryBudget:
        budget = self._budgets.get(retry)
        if budget is None:
            budget = self._budgets[retry] = RetryBudget(share)
        return budget
