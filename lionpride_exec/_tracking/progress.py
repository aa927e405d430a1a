"""
Progress: how many events have ended, how fast they do, and how long the rest will take.

Nothing is counted per event: the numbers are those of the status board, and the rate comes from looking at them again.

The time left is the longest of three times. What limits, capacity, gates and delays allow is known
(``_scheduling.forecast``). What the slots allow follows from how long an event runs. The pace of the ends so far holds
for everything else: the source of the events, the work of the processor, retries. But a pace is misleading where limits
let events through in bursts, so time in which a limit holds up everything does not count for it, unless one period of
that limit has been seen and the ends were much rarer than the limits allow.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
from anyio.lowlevel import current_token

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wording import counted, shown_clock, shown_rate, shown_seconds
from lionpride_exec._scheduling.forecast import Forecast, forecast, is_blocked, is_delayed
from lionpride_exec._status import TERMINAL, EventStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._processing.processor import Processor

# Seconds of which the rate is the mean.
SPAN = 60.0

# Longest time, in seconds, of which the time left is reckoned: a cycle of a limit should fit in.
LONGEST_SPAN = 86_400.0

# Seconds between two looks that are both remembered, at least: a display that looks at every frame costs no memory.
SAMPLE_INTERVAL = 0.5

# A pace below this part of what limits allow in the long run is due to something else than these limits.
USUAL_SHARE = 0.75

# How many times as long as a run the ends must have been watched before their pace is believed.
RUNS_SEEN = 2


@attrs.frozen(kw_only=True)
class Progress:
    """
    How far an executor is, at one moment. ``str()`` of it is a line for people.

    Attributes:
        total: Events that have ended, run, are pending, or are known to come.
        done: Events that have ended, however they ended; those that ``cleanup_events()`` removed since are included.
        pending: Events that have not begun.
        processing: Events that run.
        by_status: Of those that have ended, how many ended how; all five final statuses, zeros included.
        rate: Ends per second since the earliest call of ``progress()`` in the last 60 s (or the last one before,
            if there was none); None if there was none before, or no time has passed.
        seconds_left: How many seconds the rest will take, by the pace so far and by what limits, the capacity window,
            delays and the number of slots allow. 0 if nothing is left. None if nothing is known of the pace, while the
            executor is paused or does not run, or if ``is_total_known`` is False.
        is_total_known: False while a ``map()`` takes items from a source whose length is not known: then there may be
            more events than ``total``.
        retries: Runs that failed so far and were followed by another run.
        rate_limited: Runs that ended with ``RateLimited`` so far.
        paused_keys: How many keys are closed by ``RateLimited``. 1 if there are no keys and everything is closed.
        paused_for: Seconds until the last of these keys opens; 0 if none is closed, or outside an event loop.
        pause_reason: The message of the ``RateLimited`` that asked for that pause; None if no key is closed.
    """

    total: int
    done: int
    pending: int
    processing: int
    by_status: Mapping[EventStatus, int]
    rate: float | None
    seconds_left: float | None
    is_total_known: bool = True
    retries: int = 0
    rate_limited: int = 0
    paused_keys: int = 0
    paused_for: float = 0.0
    pause_reason: str | None = None

    @property
    def fraction(self) -> float:
        """The part that is done, 0 to 1; 0 while there is nothing to do."""
        return self.done / self.total if self.total else 0.0

    def __str__(self) -> str:
        share = f" ({self.fraction:.0%})" if self.is_total_known else ""
        parts = [f"{self.done:,} of {self.total:,}{'' if self.is_total_known else ' or more'} done{share}"]
        parts += [
            f"{number:,} {status}"
            for status, number in self.by_status.items()
            if number and status is not EventStatus.COMPLETED
        ]
        parts += [f"{self.processing:,} running", f"{self.pending:,} pending"]
        if self.retries:
            parts.append(counted(self.retries, "retry", "retries"))
        if self.rate_limited:
            parts.append(f"{self.rate_limited:,} rate limited")
        if self.paused_keys:
            keys = f"{self.paused_keys:,} keys " if self.paused_keys > 1 else ""
            parts.append(f"{keys}paused for {shown_seconds(self.paused_for)}: {self.pause_reason}")
        if self.rate is not None:
            parts.append(shown_rate(self.rate))
        if self.seconds_left:
            parts.append(f"{shown_clock(self.seconds_left)} left")
        return "  ".join(parts)


@attrs.frozen
class Look:
    """
    What one look at an executor has found.

    Attributes:
        at: When, by ``current_time()``.
        done: How many events had ended.
        worked: Seconds that events have run until then, all of them added up.
        unended: Seconds of that for which the events that run then have run.
        blocked: Seconds until then in which a limit held up everything.
        held: Seconds until then in which nothing could be expected to run: paused, or everything delayed.
    """

    at: float
    done: int
    worked: float = 0.0
    unended: float = 0.0
    blocked: float = 0.0
    held: float = 0.0

    @property
    def active(self) -> float:
        """For how many seconds ends could be expected."""
        return self.at - self.held


class Looks:
    """Looks of the last seconds. O(1) amortised."""

    __slots__ = ("looks",)

    def __init__(self) -> None:
        self.looks: deque[Look] = deque()

    def base(self, look: Look, span: float, interval: float) -> Look:
        """Return the first look within the span before this one, or the last before that; remember this one."""
        looks = self.looks
        while len(looks) > 1 and looks[1].at < look.at - span:
            looks.popleft()
        base = looks[0] if looks else look
        if base.at < look.at - span and len(looks) > 1 and looks[1].at <= look.at - interval:
            base = looks[1]
        if not looks or look.at - looks[-1].at >= interval:
            looks.append(look)
        return base


class Pace:
    """What was seen of an executor's pace."""

    __slots__ = ("_last", "_loop", "_samples", "_state", "_wide", "each", "period")

    def __init__(self) -> None:
        self._loop: object = None  # whose clock the times are of
        self._samples = Looks()  # of the last minute, for the rate
        self._wide = Looks()  # of the longest cycle of a limit, for the time left
        self._last: Look | None = None
        self._state: tuple[int, bool, bool] = (0, False, False)  # then: events running, blocked, held
        self.each: float | None = None  # seconds that an event runs, on the average; None if none has ended yet
        self.period: float = 0.0  # length of the longest cycle of a limit, as of the last forecast

    def look(self, loop: object, look: Look, running: int, *, is_blocked: bool, is_held: bool) -> Look:
        """Return a look with what has gone on since the last one added up."""
        if loop != self._loop:
            self._loop, self._last = loop, None
            self._samples, self._wide = Looks(), Looks()
            self.each = None
        last, (ran, was_blocked, was_held) = self._last, self._state
        self._state = running, is_blocked, is_held
        if last is not None:
            passed, both_held = look.at - last.at, was_held and is_held
            ran = running if both_held else ran  # whatever ran when the pause began ended soon
            look = attrs.evolve(
                look,
                worked=last.worked + passed * (ran + running) / 2,
                blocked=last.blocked + passed * (was_blocked and is_blocked),
                held=last.held + passed * both_held,
            )
        self._last = look
        return look

    def rate(self, look: Look) -> float | None:
        """Return the ends per second until then, and remember the look; None if no time has passed."""
        base = self._samples.base(look, SPAN, SAMPLE_INTERVAL)
        return max(look.done - base.done, 0) / (look.at - base.at) if look.at > base.at else None

    def since(self, look: Look) -> Look:
        """Return what has happened until then in a span that holds a cycle of the limits, and remember the look."""
        span = min(max(SPAN, self.period, RUNS_SEEN * (self.each or 0.0)), LONGEST_SPAN)
        base = self._wide.base(look, span, max(SAMPLE_INTERVAL, span / 120))
        lately = Look(
            at=look.at - base.at,
            done=max(look.done - base.done, 0),
            worked=look.worked - base.worked,
            unended=look.unended - base.unended,
            blocked=look.blocked - base.blocked,
            held=look.held - base.held,
        )
        if lately.done:
            self.each = max(lately.worked - lately.unended, 0.0) / lately.done
        return lately


def progress_of(executor: Executor, to_come: float) -> Progress:
    """
    Put the progress of an executor together. O(1) and what :func:`_forecast.forecast` takes.

    Raises:
        ConfigurationError: A progression was taken out of its states.
    """
    counts = {status: len(executor._progression(status)) for status in EventStatus}
    removed = executor._removed
    by_status = {status: counts[status] + removed.get(status, 0) for status in EventStatus if status in TERMINAL}
    done = sum(by_status.values())
    pending, processing = counts[EventStatus.PENDING], counts[EventStatus.PROCESSING]
    coming = [each.to_come for each in executor._maps]
    more = to_come + sum(number for number in coming if number is not None)
    is_known = None not in coming
    rate, left = _pace_and_rest(executor, done - executor._taken_final, processing, pending + more)
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
        **({} if executor.processor is None else _troubles(executor.processor)),
    )


def _troubles(processor: Processor) -> dict[str, Any]:
    """Return what is told of retries and pauses. O(keys that were refused of late)."""
    told: dict[str, Any] = {"retries": processor.retries, "rate_limited": processor._pauses.rate_limited}
    try:
        processor._follow_clock()
        pauses = list(processor._pauses.current(current_time()))
    except RuntimeError:  # no event loop runs, and without its clock nobody can tell
        return told
    if pauses:
        longest = max(pauses, key=lambda pause: pause.seconds)
        told |= {"paused_keys": len(pauses), "paused_for": longest.seconds, "pause_reason": longest.reason}
    return told


def _pace_and_rest(executor: Executor, done: int, running: int, to_start: float) -> tuple[float | None, float | None]:
    """Return the rate and the time left, each None if it is not known."""
    pace, processor = executor._pace, executor.processor
    try:
        loop, now = current_token(), current_time()
    except RuntimeError:
        return None, None
    if processor is None:
        return pace.rate(pace.look(loop, Look(now, done), running, is_blocked=False, is_held=True)), None
    processor._follow_clock()
    queue, window = processor.queue, processor._window
    is_away = executor.is_paused or processor.is_stopped() or not processor._crews
    ages = [now - flight.began for flight in processor._in_flight.values()]
    look = pace.look(
        loop,
        Look(now, done, unended=sum(ages)),
        running,
        is_blocked=is_blocked(queue, window, now),
        is_held=is_away or (not running and is_delayed(queue)),
    )
    rate, lately = pace.rate(look), pace.since(look)
    allowed = forecast(queue, window, to_start, pace.each, now)
    pace.period = allowed.period
    each = pace.each or 0.0
    if is_away or not done:
        return rate, None
    if not to_start:
        return rate, _until_last_end(each, ages, lately)
    is_all_queued = to_start <= queue.qsize()
    times = [allowed.seconds + each, to_start * each / processor.concurrency_limit]
    if lately.active >= RUNS_SEEN * each:  # before, many events have begun and few can have ended
        times += _by_pace(to_start, running, lately, allowed, is_all_queued=is_all_queued)
    return rate, max(times) or None


def _until_last_end(each: float, ages: list[float], lately: Look) -> float | None:
    """Return the time left of the youngest of the events that run, the last ones; None if it should have ended."""
    youngest = min(ages, default=inf)
    if youngest < each:
        return each - youngest
    return min(len(ages) * lately.active / lately.done, each) or None if lately.done else None


def _by_pace(to_start: float, running: int, lately: Look, allowed: Forecast, *, is_all_queued: bool) -> Iterator[float]:
    """Yield the times that so many events take at the paces that mean something."""
    if not lately.done:
        return
    active, period, left = lately.active, allowed.period, to_start + running
    yield left * (active - lately.blocked) / lately.done
    # Of whole cycles: nobody knows in which part of one the span begins.
    expected = active // period * period * allowed.rate if period else 0.0
    if lately.done + running < expected * USUAL_SHARE and not (allowed.is_by_key and is_all_queued):
        yield left * active / lately.done
