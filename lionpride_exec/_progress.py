"""
Progress: how many events have ended, how fast they do, and how long the rest will take.

Nothing is counted per event: the numbers are those of the status board, and the rate comes from looking at them again.
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs
from anyio.lowlevel import current_token

from ._background import current_time
from ._pauses import shown_seconds
from ._status import TERMINAL, EventStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._processor import Processor

# Seconds of which the rate is the mean.
SPAN = 60.0

# Seconds between two looks that are both remembered, at least: a display that looks at every frame costs no memory.
SAMPLE_INTERVAL = 0.5


@attrs.frozen(kw_only=True)
class Progress:
    """
    How far an executor is, at one moment. ``str()`` of it is a line for people.

    Attributes:
        total: Events that have ended, run, or are pending.
        done: Events that have ended, however they ended; those that ``cleanup_events()`` removed since are included.
        pending: Events that have not begun.
        processing: Events that run.
        by_status: Of those that have ended, how many ended how; all five final statuses, zeros included.
        rate: Ends per second since the earliest call of ``progress()`` in the last 60 s (or the last one before,
            if there was none); None if there was none before, or no time has passed.
        seconds_left: How many seconds the rest takes at this rate; 0 if nothing is left, None if the rate is 0 or
            unknown.
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
        parts = [f"{self.done:,} of {self.total:,} done ({self.fraction:.0%})"]
        parts += [
            f"{number:,} {status}"
            for status, number in self.by_status.items()
            if number and status is not EventStatus.COMPLETED
        ]
        parts += [f"{self.processing:,} running", f"{self.pending:,} pending"]
        if self.retries:
            parts.append(f"{self.retries:,} {'retry' if self.retries == 1 else 'retries'}")
        if self.rate_limited:
            parts.append(f"{self.rate_limited:,} rate limited")
        if self.paused_keys:
            keys = f"{self.paused_keys:,} keys " if self.paused_keys > 1 else ""
            parts.append(f"{keys}paused for {shown_seconds(self.paused_for)}: {self.pause_reason}")
        if self.rate is not None:
            parts.append(f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.1f}/s")  # noqa: PLR2004  two digits
        if self.seconds_left:
            parts.append(f"{timedelta(seconds=round(self.seconds_left))} left")
        return "  ".join(parts)


class Pace:
    """The looks of the last minute, of which the rate is computed."""

    __slots__ = ("_loop", "_samples")

    def __init__(self) -> None:
        self._loop: object = None  # whose clock the times are of
        self._samples: deque[tuple[float, int]] = deque()

    def rate(self, done: int) -> float | None:
        """Give the ends per second until now, and remember this look; None: not known (outside an event loop, too)."""
        try:
            loop, now = current_token(), current_time()
        except RuntimeError:
            return None
        samples = self._samples
        if loop != self._loop:
            self._loop = loop
            samples.clear()
        while len(samples) > 1 and samples[1][0] < now - SPAN:
            samples.popleft()
        then, done_then = samples[0] if samples else (now, done)
        if then < now - SPAN and len(samples) > 1 and samples[1][0] <= now - SAMPLE_INTERVAL:
            then, done_then = samples[1]  # the first within the span
        if not samples or now - samples[-1][0] >= SAMPLE_INTERVAL:
            samples.append((now, done))
        return max(done - done_then, 0) / (now - then) if now > then else None


def progress_of(
    counts: Mapping[EventStatus, int],
    removed: Mapping[EventStatus, int],
    taken_final: int,
    pace: Pace,
    processor: Processor | None,
) -> Progress:
    """Put a progress together: from how many events have each status, were removed with it, and had ended before."""
    by_status = {status: counts[status] + removed.get(status, 0) for status in EventStatus if status in TERMINAL}
    done = sum(by_status.values())
    left = counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]
    rate = pace.rate(done - taken_final)
    return Progress(
        total=done + left,
        done=done,
        pending=counts[EventStatus.PENDING],
        processing=counts[EventStatus.PROCESSING],
        by_status=by_status,
        rate=rate,
        seconds_left=(left / rate if rate else None) if left else 0.0,
        **({} if processor is None else _troubles(processor)),
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
