"""The progress of an executor, computed from its parts."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
from anyio.lowlevel import current_token

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._scheduling.forecast import Forecast, forecast, forecast_in_steps, is_blocked, is_delayed
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._tracking.progress import GROWING_SPAN, RUNS_SEEN, USUAL_SHARE, Look, Pace, Progress

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._iteration.map_options import RunningMap
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.retention import Retention
    from lionpride_exec._tracking.status_index import StatusIndex


class Outlook(NamedTuple):
    """
    A forecast that was made in steps.

    Attributes:
        forecast: The forecast.
        at: The time of ``current_time()`` for which it holds.
    """

    forecast: Forecast
    at: float

    def at_time(self, now: float) -> Forecast:
        """Return the forecast as of now. What has changed since is left out: the time left is an estimate."""
        return attrs.evolve(self.forecast, seconds=max(self.forecast.seconds - (now - self.at), 0.0))


class ProgressReport:
    """
    Computes the progress of an executor.

    Args:
        coordination: The reasons why nothing starts.
        index: Where the events are.
        retention: How many events have left memory.
        maps: The maps that have begun. They know how many events they will still append.
    """

    def __init__(
        self, coordination: Coordination, index: StatusIndex, retention: Retention, maps: Iterable[RunningMap]
    ) -> None:
        self._maps = maps
        self._coordination = coordination
        self._index = index
        self._retention = retention
        self._pace = Pace()
        self._from_events = 0  # how many events running events had appended at the last look
        self._grown_at = -inf  # the first look at which there were so many

    def outlook(self, processor: Processor | None, to_come: float) -> Generator[None, None, Outlook | None]:
        """
        Make the forecast of :meth:`make`. Yield after each small step. None if none is needed.

        Raises:
            RuntimeError: No event loop runs.
        """
        if processor is None:
            return None
        processor._follow_clock()
        now = current_time()
        coming = sum(number for number in (each.to_come for each in self._maps) if number is not None)
        to_start = self._index.counts()[EventStatus.PENDING] + coming + to_come
        found = yield from forecast_in_steps(processor.queue, processor._window, to_start, self._pace.each, now)
        return Outlook(found, now)

    def make(self, processor: Processor | None, to_come: float, outlook: Outlook | None = None) -> Progress:
        """
        Return the progress. O(1), plus the cost of :func:`forecast` without an outlook.

        Args:
            processor: The processor. None if there is none.
            to_come: How many events will come that nobody else knows of.
            outlook: The forecast. None to make one.

        Raises:
            ConfigurationError: A progression was taken out of the flow.
        """
        counts = self._index.counts()
        by_status = self._done(counts)
        done, ended_here = sum(by_status.values()), sum(self._retention.ended_here(by_status).values())
        pending, processing = counts[EventStatus.PENDING], counts[EventStatus.PROCESSING]
        coming = [each.to_come for each in self._maps]
        more = to_come + sum(number for number in coming if number is not None)
        is_known = None not in coming
        rate, left = self._pace_and_rest(processor, ended_here, processing, pending + more, outlook)
        if not (pending or processing or more):
            left = 0.0
        return Progress(
            total=done + pending + processing + round(more),
            done=done,
            pending=pending,
            processing=processing,
            by_status=by_status,
            rate=rate,
            seconds_left=left if is_known else None,
            is_total_known=is_known,
            is_growing=self._is_growing() and bool(pending or processing) and not to_come,
            **({} if processor is None else _troubles(processor)),
        )

    def _is_growing(self) -> bool:
        """Return whether running events have appended others of late, so that more are likely to come."""
        try:
            now = current_time()
        except RuntimeError:
            return False
        if self._index.from_events != self._from_events:
            self._from_events, self._grown_at = self._index.from_events, now
        return 0 <= now - self._grown_at <= max(GROWING_SPAN, RUNS_SEEN * (self._pace.each or 0.0))

    def ended_here(self) -> dict[EventStatus, int]:
        """Return how many events have ended in this executor, by status, without those of earlier processes."""
        return self._retention.ended_here(self._done(self._index.counts()))

    def _done(self, counts: Mapping[EventStatus, int]) -> dict[EventStatus, int]:
        removed = self._retention.removed
        return {status: counts[status] + removed.get(status, 0) for status in EventStatus if status in TERMINAL}

    def _pace_and_rest(
        self, processor: Processor | None, done: int, running: int, to_start: float, outlook: Outlook | None
    ) -> tuple[float | None, float | None]:
        """Return the rate and the time left, each None if it is not known."""
        pace = self._pace
        try:
            loop, now = current_token(), current_time()
        except RuntimeError:
            return None, None
        if processor is None:
            return pace.rate(pace.look(loop, Look(now, done), running, is_blocked=False, is_held=True)), None
        processor._follow_clock()
        queue, window = processor.queue, processor._window
        is_away = PAUSED in self._coordination.holds or processor.is_stopped() or not processor._lifetime.pools
        ages = [now - run.began for run in processor._running.values()]
        is_closed = None if outlook is None else outlook.forecast.is_closed
        holds_up = is_blocked(queue, window, now, is_closed=is_closed)
        delays_all = not running and is_delayed(queue)
        look = pace.look(
            loop,
            Look(now, done, unended=sum(ages)),
            running,
            is_blocked=holds_up,
            is_held=is_away or delays_all,
        )
        rate, lately = pace.rate(look), pace.since(look)
        allowed = forecast(queue, window, to_start, pace.each, now) if outlook is None else outlook.at_time(now)
        pace.period = allowed.period
        # While nobody knows how long a run takes, what limits allow says something only if they hold up everything.
        # A key that is paused until somebody resumes it has no end either.
        if is_away or not done or allowed.seconds == inf or (pace.each is None and not (holds_up or delays_all)):
            return rate, None
        each = pace.each or 0.0
        if not to_start:
            return rate, _until_last_end(each, ages, lately)
        is_all_queued = to_start <= queue.qsize()
        times = [allowed.seconds + each, to_start * each / processor.running_limit]
        if lately.active >= RUNS_SEEN * each:  # earlier, many events have begun and few can have ended
            times += _by_pace(to_start, running, lately, allowed, is_all_queued=is_all_queued)
        return rate, max(times) or None


def _troubles(processor: Processor) -> dict[str, Any]:
    """Return the fields about retries and pauses. O(number of keys that were refused of late)."""
    told: dict[str, Any] = {"retries": processor.retries, "rate_limited": processor._pauses.rate_limited}
    try:
        processor._follow_clock()
        pauses = list(processor._pauses.current(current_time()))
    except RuntimeError:  # no event loop runs, so there is no clock
        return told
    if pauses:
        longest = max(pauses, key=lambda pause: pause.seconds)
        told |= {
            "paused_keys": len({pause.key for pause in pauses}),
            "paused_for": longest.seconds,
            "pause_reason": longest.reason,
        }
    return told


def _until_last_end(each: float, ages: list[float], lately: Look) -> float | None:
    """Return the time until the youngest running event ends. None if it should have ended already."""
    youngest = min(ages, default=inf)
    if youngest < each:
        return each - youngest
    return min(len(ages) * lately.active / lately.done, each) or None if lately.done else None


def _by_pace(to_start: float, running: int, lately: Look, allowed: Forecast, *, is_all_queued: bool) -> Iterator[float]:
    """Yield the time that these events take, for each pace that is meaningful."""
    if not lately.done:
        return
    active, period, left = lately.active, allowed.period, to_start + running
    yield left * (active - lately.blocked) / lately.done
    # Whole cycles only: it is unknown in which part of a cycle the span begins.
    expected = active // period * period * allowed.rate if period else 0.0
    if lately.done + running < expected * USUAL_SHARE and not (allowed.is_by_key and is_all_queued):
        yield left * active / lately.done
