"""The count of what has become of the lines, and how it is told."""

from __future__ import annotations

import time
from collections import Counter, deque
from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Callable


def _unknown() -> float | None:
    return None


@attrs.define(eq=False)
class Tally:
    """What has become of the lines so far."""

    bad: int = 0
    events: int = 0  # made of a line, whatever became of them
    began: float = attrs.field(factory=time.monotonic)
    ended: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])
    before: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])  # ended in earlier runs
    read: int | None = None  # lines, those of earlier runs included; None: `events` and `bad` are all
    # Events that have not ended, where `events` is not kept.
    still_open: Callable[[], int] | None = None
    # How much of the input has been read, 0 to 1, if that is known.
    fraction: Callable[[], float | None] = _unknown
    # Events that run now.
    running: Callable[[], int] = lambda: 0
    _samples: deque[tuple[float, int]] = attrs.field(factory=lambda: deque[tuple[float, int]](maxlen=60), init=False)

    @property
    def done(self) -> int:
        """Lines that are through with: ended, or bad."""
        return self.ended.total() + self.bad

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def unfinished(self) -> int:
        """Lines that were read and have become nothing yet."""
        return self.events - self.ended.total() if self.still_open is None else self.still_open()

    @property
    def all_completed(self) -> bool:
        """Whether every line has become an event and every event COMPLETED."""
        counts = self.ended + self.before
        return not self.bad and not self.unfinished and counts[EventStatus.COMPLETED] == counts.total()

    @property
    def expected(self) -> float | None:
        """How many lines there are in all, by those read so far; None if the size is unknown."""
        fraction = self.fraction()
        return (self.events + self.bad if self.read is None else self.read) / fraction if fraction else None

    @property
    def done_in_all(self) -> int:
        """Lines that are through with, those of earlier runs included."""
        return self.done + self.before.total()

    def sample_rate(self) -> float:
        """Note how far we are; give the rate per second over the last 60 notes, or over all if none ended."""
        now = time.monotonic()
        then, done = self._samples[0] if self._samples else (self.began, 0)
        self._samples.append((now, self.done))
        if done == self.done:
            then, done = self.began, 0
        return (self.done - done) / (now - then) if now > then else 0.0

    def progress(self) -> str:
        """Tell how far we are, in one line; notes a sample."""
        rate = self.sample_rate()
        running = self.running()
        parts = [f"{self.done:,} done", *self._before_parts(), _rate(rate), *self._ended_parts()]
        parts.append(f"{running:,} running")
        parts.append(f"{max(self.unfinished - running, 0):,} pending")
        parts.append(_clock(self.elapsed))
        expected = self.expected
        if expected is not None and rate > 0:
            parts.append(f"{_clock(max(expected - self.done_in_all, 0) / rate)} left")
        return "  ".join(parts)

    def summary(self) -> str:
        """Tell how it ended, in one line."""
        parts = [*self._before_parts(), *self._ended_parts()]
        unfinished = self.unfinished
        if unfinished:
            parts.append(f"{unfinished:,} pending")
        parts = parts or ["nothing to do"]
        elapsed = self.elapsed
        rate = self.done / elapsed if elapsed > 0 else 0.0
        total = self.done_in_all + unfinished
        return f"{_count(total, 'line')}: {', '.join(parts)}; {elapsed:.1f} s, {_rate(rate)}"

    def _before_parts(self) -> list[str]:
        total = self.before.total()
        others = total - self.before[EventStatus.COMPLETED]
        return [f"{total:,} done before" + (f" ({others:,} not completed)" if others else "")] if total else []

    def _ended_parts(self) -> list[str]:
        parts = [f"{self.ended[status]:,} {status}" for status in EventStatus if self.ended[status]]
        return [*parts, _count(self.bad, "bad line")] if self.bad else parts


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"  # noqa: PLR2004  two digits


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
