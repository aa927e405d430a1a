"""Count what has become of the lines, and tell it in one line."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._base.wording import counted, shown_clock, shown_rate
from lionpride_exec._display.parts import Part, View
from lionpride_exec._status import FAILURES, EventStatus

from .error_rules import ErrorCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lionpride_exec._executor.explanation import Statistics
    from lionpride_exec._tracking.progress import Progress


def _unknown() -> float | None:
    return None


def _unseen(_to_come: float) -> Progress | None:
    return None


def _unasked() -> Statistics | None:
    return None


def _none_left() -> Mapping[str, int]:
    return {}


@attrs.define(eq=False)
class Tally:
    """What has become of the lines so far."""

    bad: int = 0
    events: int = 0  # that were made of lines
    began: float = attrs.field(factory=time.monotonic)
    ended: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])
    again: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])  # of `ended`, those that had failed before
    before: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])  # events that ended in earlier runs
    read: int | None = None  # lines that were read, earlier runs included; if None, the sum of `events` and `bad`
    # Returns the number of events that have not ended, if `events` is not counted.
    still_open: Callable[[], int] | None = None
    # Returns the part of INPUT that has been read, from 0 to 1, if it is known.
    fraction: Callable[[], float | None] = _unknown
    # Returns how many lines stay in the journal as they are, by the reason: they neither run nor end in this run.
    left: Callable[[], Mapping[str, int]] = _none_left
    workers: int | None = None  # of a cluster, that are alive
    # Returns the number of events that run now.
    running: Callable[[], int] = lambda: 0
    # Returns the progress of the executor. Takes the number of events that are still to come.
    look: Callable[[float], Progress | None] = _unseen
    # Returns what the events of the executor wait for. Called while it runs.
    statistics: Callable[[], Statistics | None] = _unasked
    _samples: deque[tuple[float, int]] = attrs.field(factory=lambda: deque[tuple[float, int]](maxlen=60), init=False)

    @property
    def done(self) -> int:
        """The number of lines that are done: their event has ended, or they are bad."""
        return self.ended.total() + self.bad

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    @property
    def unfinished(self) -> int:
        """The number of lines that were read and are not done."""
        return self.events - self.ended.total() if self.still_open is None else self.still_open()

    @property
    def all_completed(self) -> bool:
        """Whether every line has become an event and every event COMPLETED."""
        counts = self.ended + self.before
        is_done = not (self.bad or self.unfinished or any(self.left().values()))
        return is_done and counts[EventStatus.COMPLETED] == counts.total()

    @property
    def expected(self) -> float | None:
        """The estimated number of lines in INPUT. None if the size of INPUT is unknown."""
        fraction = self.fraction()
        return self._read_so_far / fraction if fraction else None

    @property
    def _read_so_far(self) -> int:
        return self.events + self.bad if self.read is None else self.read

    @property
    def done_in_all(self) -> int:
        """The number of lines that are done, with those of earlier runs."""
        return self.done + self.before.total()

    @property
    def known(self) -> int:
        """The number of lines that were read: those that are done, those that are open, and those that are left."""
        return self.done_in_all + self.unfinished + sum(self.left().values())

    def sample_rate(self) -> float:
        """Take a sample. Return the rate per second over the last 60 samples, or over all if no event ended."""
        now, ended = time.monotonic(), self.ended.total()  # without bad lines: to read them takes no time
        then, before = self._samples[0] if self._samples else (self.began, 0)
        self._samples.append((now, ended))
        if before == ended:
            then, before = self.began, 0
        return (ended - before) / (now - then) if now > then else 0.0

    @property
    def errors(self) -> ErrorCounts:
        """
        How many lines of this run were bad, and how many events ended neither completed nor skipped.

        Events that had failed in an earlier run are left out: most of them fail again.
        """
        ended = self.ended - self.again
        failed = sum(number for status, number in ended.items() if status in FAILURES)
        return ErrorCounts(self.bad, self._read_so_far, failed, ended.total())

    @property
    def to_come(self) -> float:
        """The estimated number of lines that will become events. 0 if the size of INPUT is unknown."""
        return max((self.expected or 0) - self.known, 0)

    def view(self) -> View:
        """Return what a display shows. Take a sample."""
        from lionpride_exec._executor.progress_view import detail_lines, state_of  # noqa: PLC0415  short runs need none

        progress = self.look(self.to_come)
        statistics = None if progress is None else self.statistics()
        details = [] if progress is None else detail_lines(progress, statistics)
        # Early in a run, more of INPUT may have been read than lines were counted.
        known, expected = self.known, self.expected
        total = None if expected is None else max(expected, known)
        state = (
            self.done, self.running(), self.unfinished, self.workers, tuple(self._ended_parts()),
            tuple(self._left_parts()), state_of(statistics),
        )  # fmt: skip
        return View([self._counts(progress), *details], done=self.done_in_all, total=total, state=state)

    def _counts(self, progress: Progress | None) -> list[Part]:
        rate, running = self.sample_rate(), self.running()
        return [
            Part(f"{self.done:,} done"),
            *(Part(text, 7) for text in self._before_parts()),
            Part(shown_rate(rate), 5),
            *(Part(text, 7 if text.endswith(EventStatus.COMPLETED) else 2) for text in self._ended_parts()),
            Part(f"{running:,} running", 6),
            Part(f"{max(self.unfinished - running, 0):,} pending", 4),
            *(Part(text, 3) for text in self._left_parts()),
            *([] if self.workers is None else [Part(counted(self.workers, "worker"), 6)]),
            Part(shown_clock(self.elapsed), 1),
            *self._time_left(progress),
        ]

    def _time_left(self, progress: Progress | None) -> list[Part]:
        from lionpride_exec._tracking.progress import left_part  # noqa: PLC0415  imported by the look

        if progress is None or progress.seconds_left is None or self.expected is None or not self.done:
            return []
        return [left_part(progress, progress.seconds_left)]

    def summary(self) -> str:
        """Return how the run ended, as one line."""
        parts = [*self._before_parts(), *self._ended_parts()]
        unfinished = self.unfinished
        if unfinished:
            parts.append(f"{unfinished:,} pending")
        parts += self._left_parts()
        parts = parts or ["nothing to do"]
        if (progress := self.look(0)) is not None:
            from lionpride_exec._tracking.progress import trouble_parts  # noqa: PLC0415  imported by the look

            parts += [part.text for part in trouble_parts(progress)]
        elapsed, ended = self.elapsed, self.ended.total()
        pace = f", {shown_rate(ended / elapsed)}" if ended and elapsed > 0 else ""
        return f"{counted(self.known, 'line')}: {', '.join(parts)}; {elapsed:.1f} s{pace}"

    def _before_parts(self) -> list[str]:
        total = self.before.total()
        others = total - self.before[EventStatus.COMPLETED]
        return [f"{total:,} done before" + (f" ({others:,} not completed)" if others else "")] if total else []

    def _left_parts(self) -> list[str]:
        return [f"{number:,} {why}" for why, number in self.left().items() if number]

    def _ended_parts(self) -> list[str]:
        parts = [f"{self.ended[status]:,} {status}" for status in EventStatus if self.ended[status]]
        return [*parts, counted(self.bad, "bad line")] if self.bad else parts
