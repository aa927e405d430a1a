"""Retries: whether and when an event runs again, and how many retries the budgets still allow."""

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
    Counts what happened in the last minute.

    The count is exact for up to :data:`MAX_MOMENTS` moments. With more, moments that are close together count as one,
    so that memory stays bounded.

    Args:
        keep_later: Which moment stands for those that count as one. True for the latest: nothing is forgotten too
            early. False for the earliest: nothing is counted for too long.

    Attributes:
        total: The count.
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
        """Carry all times over to a clock that is ahead by so many seconds."""
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

    The budget never allows more than the share. It may allow a little less when a minute has more than
    :data:`MAX_MOMENTS` starts or retries.

    Args:
        share: How many retries are allowed for each start, 0 to 1.
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
        """Count a retry if one more is allowed. Return whether it is."""
        self._starts.forget(now)
        self._retries.forget(now)
        # A retry will be one more start.
        if self._retries.total + 1 > max(MIN_RETRIES_IN_WINDOW, self._share * (self._starts.total + 1)):
            return False
        self._retries.note(now)
        return True

    def shift(self, seconds: float) -> None:
        """Carry all times over to a clock that is ahead by so many seconds."""
        self._starts.shift(seconds)
        self._retries.shift(seconds)


class RetryPlanner:
    """
    Decides for one processor whether and when events run again.

    Args:
        default: The retry of events that have none of their own. None if these run once.

    Attributes:
        default: The same.
        first_starts: When each event first started that ran again under a deadline, by id.
    """

    def __init__(self, default: Retry | None) -> None:
        self.default: Retry | None = default
        self._budgets: WeakKeyDictionary[Retry, RetryBudget] = WeakKeyDictionary()
        self.first_starts: dict[UUID, float] = {}

    def of(self, event: Event) -> Retry | None:
        """Return the retry that holds for an event. None if the event runs once."""
        return event.retry or self.default

    def note_start(self, event: Event, now: float) -> None:
        """Count the start of an event, if its retry has a budget."""
        retry = self.of(event)
        if retry is not None and retry.budget is not None:
            self._budget(retry, retry.budget).note_start(now)

    def seconds_until(self, event: Event, error: BaseException, *, began: float, now: float) -> float | None:
        """
        Return the seconds after which an event that failed runs again. None if it does not.

        Args:
            event: The event, whose run has ended.
            error: The retryable error that the run has ended with.
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
        """Return whether an event may run again at the time ``due``, after a run that began at ``began``."""
        retry = self.of(event)
        if retry is None or retry.deadline is None:
            return True
        return due <= self.first_starts.setdefault(event.id, began) + retry.deadline

    def max_pause(self, event: Event) -> float:
        """Return for how many seconds an event may be paused."""
        retry = self.of(event)
        return DEFAULT_MAX_PAUSE if retry is None else retry.max_pause

    def forget(self, event_id: UUID) -> None:
        """Forget the first start of an event."""
        self.first_starts.pop(event_id, None)

    def shift(self, seconds: float) -> None:
        """Carry all times over to a clock that is ahead by so many seconds."""
        self.first_starts = {at: began + seconds for at, began in self.first_starts.items()}
        for budget in self._budgets.values():
            budget.shift(seconds)

    def _budget(self, retry: Retry, share: float) -> RetryBudget:
        budget = self._budgets.get(retry)
        if budget is None:
            budget = self._budgets[retry] = RetryBudget(share)
        return budget
