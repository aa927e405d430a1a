"""Count what has become of the lines, and tell it in one line."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._base.wording import counted, shown_clock, shown_rate, shown_seconds
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lionpride_exec._processing.pause_records import Pause
    from lionpride_exec._tracking.progress import Progress

# Final statuses that are no errors.
HARMLESS = (EventStatus.COMPLETED, EventStatus.SKIPPED)

# Pauses of fewer seconds are not shown: they would only flicker.
SHOWN_PAUSE = 1.0
LONGEST_REASON = 200

# To show this many columns of a tail, less important parts are left out.
SHOWN_TAIL = 24

# The rank of a part that is always shown.
NEEDED = 0


def _unknown() -> float | None:
    return None


def _unseen(_to_come: float) -> Report | None:
    return None


@attrs.frozen
class Report:
    """
    What the executor reports.

    Attributes:
        progress: Its counts, and the time left.
        pauses: The keys that are paused. The key that opens last comes first.
    """

    progress: Progress
    pauses: Sequence[Pause] = ()


@attrs.frozen
class Part:
    """
    A part of the line that shows the progress.

    Attributes:
        text: The text.
        rank: If there is not enough room, parts with the highest rank are left out first. :data:`NEEDED` parts stay.
        tail: More text, which may be cut off.
    """

    text: str
    rank: int = NEEDED
    tail: str = ""


@attrs.define(eq=False)
class Tally:
    """What has become of the lines so far."""

    bad: int = 0
    events: int = 0  # that were made of lines
    began: float = attrs.field(factory=time.monotonic)
    ended: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])
    before: Counter[EventStatus] = attrs.field(factory=Counter[EventStatus])  # events that ended in earlier runs
    read: int | None = None  # lines that were read, earlier runs included; if None, the sum of `events` and `bad`
    # Returns the number of events that have not ended, if `events` is not counted.
    still_open: Callable[[], int] | None = None
    # Returns the part of INPUT that has been read, from 0 to 1, if it is known.
    fraction: Callable[[], float | None] = _unknown
    workers: int | None = None  # of a cluster, that are alive
    # Returns the number of events that run now.
    running: Callable[[], int] = lambda: 0
    # Returns the report of the executor. Takes the number of events that are still to come.
    look: Callable[[float], Report | None] = _unseen
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
        return not self.bad and not self.unfinished and counts[EventStatus.COMPLETED] == counts.total()

    @property
    def expected(self) -> float | None:
        """The estimated number of lines in INPUT. None if the size of INPUT is unknown."""
        fraction = self.fraction()
        return (self.events + self.bad if self.read is None else self.read) / fraction if fraction else None

    @property
    def done_in_all(self) -> int:
        """The number of lines that are done, with those of earlier runs."""
        return self.done + self.before.total()

    def sample_rate(self) -> float:
        """Take a sample. Return the rate per second over the last 60 samples, or over all if no line got done."""
        now = time.monotonic()
        then, done = self._samples[0] if self._samples else (self.began, 0)
        self._samples.append((now, self.done))
        if done == self.done:
            then, done = self.began, 0
        return (self.done - done) / (now - then) if now > then else 0.0

    @property
    def errors(self) -> int:
        """The number of lines in this run that were bad, or whose event ended neither completed nor skipped."""
        return self.bad + sum(number for status, number in self.ended.items() if status not in HARMLESS)

    @property
    def to_come(self) -> float:
        """The estimated number of lines that will become events. 0 if the size of INPUT is unknown."""
        return max((self.expected or 0) - self.done_in_all - self.unfinished, 0)

    def progress(self) -> str:
        """Return the progress as one line. Take a sample."""
        return "  ".join(part.text + part.tail for part in self.parts())

    def parts(self) -> list[Part]:
        """Return the parts of the line that shows the progress. Take a sample."""
        rate, running = self.sample_rate(), self.running()
        report = self.look(self.to_come)
        return [
            Part(f"{self.done:,} done"),
            *(Part(text, 7) for text in self._before_parts()),
            Part(shown_rate(rate), 5),
            *(Part(text, 7 if text.endswith(EventStatus.COMPLETED) else 2) for text in self._ended_parts()),
            Part(f"{running:,} running", 6),
            Part(f"{max(self.unfinished - running, 0):,} pending", 4),
            *(Part(text, 3) for text in _trouble_parts(report)),
            *([] if self.workers is None else [Part(counted(self.workers, "worker"), 6)]),
            Part(shown_clock(self.elapsed), 1),
            *self._parts_ahead(report),
        ]

    def _parts_ahead(self, report: Report | None) -> Iterator[Part]:
        """Yield the parts for the time left and for pauses."""
        if report is None:
            return
        seconds = report.progress.seconds_left
        if seconds is not None and self.expected is not None and self.done:
            yield Part(f"{shown_clock(seconds)} left")
        if report.pauses and report.pauses[0].seconds >= SHOWN_PAUSE:
            yield _pause_part(report.pauses)

    def summary(self) -> str:
        """Return how the run ended, as one line."""
        parts = [*self._before_parts(), *self._ended_parts()]
        unfinished = self.unfinished
        if unfinished:
            parts.append(f"{unfinished:,} pending")
        parts = parts or ["nothing to do"]
        parts += _trouble_parts(self.look(0))
        elapsed = self.elapsed
        rate = self.done / elapsed if elapsed > 0 else 0.0
        total = self.done_in_all + unfinished
        return f"{counted(total, 'line')}: {', '.join(parts)}; {elapsed:.1f} s, {shown_rate(rate)}"

    def _before_parts(self) -> list[str]:
        total = self.before.total()
        others = total - self.before[EventStatus.COMPLETED]
        return [f"{total:,} done before" + (f" ({others:,} not completed)" if others else "")] if total else []

    def _ended_parts(self) -> list[str]:
        parts = [f"{self.ended[status]:,} {status}" for status in EventStatus if self.ended[status]]
        return [*parts, counted(self.bad, "bad line")] if self.bad else parts


def fitted(parts: Sequence[Part], width: int) -> str:
    """Return the parts as one line of at most ``width`` columns. Longer only if the needed parts are."""
    kept = list(parts)
    for tail, worth in ((SHOWN_TAIL, 3), (0, NEEDED)):
        while sum(len(part.text) + min(len(part.tail), tail) + 2 for part in kept) - 2 > width:
            least = max(kept, key=lambda part: part.rank)
            if least.rank <= worth:
                break
            kept.remove(least)
    return "  ".join(part.text + part.tail for part in kept)


def _trouble_parts(report: Report | None) -> list[str]:
    """Return the parts that count refusals by the other side, and retries. Empty if there were none."""
    if report is None:
        return []
    limited, retries = report.progress.rate_limited, report.progress.retries
    told = [f"{limited:,} rate limited"] if limited else []
    return [*told, counted(retries, "retry", "retries")] if retries else told


def _pause_part(pauses: Sequence[Pause]) -> Part:
    first = pauses[0]
    seconds = first.seconds if first.seconds < 10 else round(first.seconds)  # noqa: PLR2004  two digits
    keys = len({pause.key for pause in pauses})  # a pause for each limit of a key
    who = "" if keys == 1 else f"{keys:,} keys "
    key = "" if first.key is None else f", key {_shortened(repr(first.key))}"
    return Part(f"{who}paused {shown_seconds(seconds)}", 1, f": {_shortened(first.reason)}{key}")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"
