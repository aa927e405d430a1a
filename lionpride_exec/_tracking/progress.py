"""
Progress: how many events have ended, how fast they do, and how long the rest will take.

Nothing is counted per event: the numbers are those of the status index, and the rate comes from looking at them again.

The time left is the longest of three times. What limits, capacity, gates and delays allow is known
(``_scheduling.forecast``). What the slots allow follows from how long an event runs. The pace of the ends so far holds
for everything else: the source of the events, the work of the processor, retries. But a pace is misleading where limits
let events through in bursts, so time in which a limit holds up everything does not count for it, unless one period of
that limit has been seen and the ends were much rarer than the limits allow.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._base.wording import counted, shown_clock, shown_rate, shown_seconds
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

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
