"""
Progress: how many events have ended, how fast events end, and how long the rest will take.

No event is counted for this. The numbers come from the status index, and the rate comes from comparing two looks at
them.

The time left is the longest of three times:

- What limits, capacity, gates and delays allow. This time is known (``_scheduling.forecast``).
- What the slots allow. It follows from the mean time for which an event runs.
- What the pace of the ends so far allows. The pace covers everything else: the source of the events, the work of the
  processor, retries.

A pace is misleading where limits let events through in bursts. So time in which a limit holds up everything does not
count for the pace, with one exception: one period of that limit has been seen, and events ended much more rarely than
the limits allow.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.wording import MAX_SECONDS, counted, shortened, shown_clock, shown_rate, shown_seconds
from lionpride_exec._display.parts import Part, joined
from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

# The rate is a mean over this many seconds.
SPAN = 60.0

# The longest span, in seconds, for the pace behind the time left. A cycle of a limit should fit in.
LONGEST_SPAN = 86_400.0

# The least seconds between two remembered looks, so that a display which looks at every frame costs no memory.
SAMPLE_INTERVAL = 0.5

# Limits do not explain a pace below this part of what they allow in the long run.
USUAL_SHARE = 0.75

# The rank of the parts that only a display with much room shows.
RANK_OF_COUNTS = 7

# Pauses of as many seconds are shown in whole seconds.
LEAST_ROUNDED = 10.0

# Of the reason of a pause, so many characters are shown.
LONGEST_REASON = 200

# If running events have appended others in so many seconds, or in twice the length of a run, more are likely to come.
GROWING_SPAN = 10.0

# The pace is used once the ends have been watched for this many times the length of a run.
RUNS_SEEN = 2


@attrs.frozen(kw_only=True)
class Progress:
    """
    How far an executor is, at one moment. ``str(progress)`` is one line for people.

    Attributes:
        total: Events that have ended, run, are pending, or are known to come.
        done: Events that have ended, in any final status. Events that ``cleanup_events()`` has removed are included.
        pending: Events that have not begun.
        processing: Events that run.
        by_status: The number of ended events in each of the five final statuses, zeros included.
        rate: Ends per second since the earliest call of ``progress()`` in the last 60 s. If there was none, since the
            last call before. None if this is the first call, or if no time has passed.
        seconds_left: How many seconds the rest will take, by the pace so far and by what limits, the capacity window,
            delays and the number of slots allow. 0 if nothing is left. None if the pace is not known,
            as at the first call unless limits or delays hold up everything then, if the executor is paused or does not
            run, or if ``is_total_known`` is False.
        is_total_known: False while a ``map()`` takes items from a source of unknown length. There may be more events
            than ``total`` then.
        is_growing: Whether running events have appended others of late, as those of a crawl do. More are likely to come
            then, so ``total`` and ``seconds_left`` are at least so much. The line says ``at least``. False if the
            program has said how many will come.
        retries: The number of failed runs that were followed by another run.
        rate_limited: The number of runs that have ended with ``RateLimited``.
        paused_keys: How many keys are closed, by ``RateLimited`` or ``pause(key=...)``. A key of several limits counts
            once. 1 if there are no keys and everything is closed by ``RateLimited``.
        paused_for: Seconds until the last of these keys opens. 0 if none is closed, or outside an event loop.
        pause_reason: The reason of the longest pause, as ``Pause.reason`` has it. None if no key is closed.
    """

    total: int
    done: int
    pending: int
    processing: int
    by_status: Mapping[EventStatus, int]
    rate: float | None
    seconds_left: float | None
    is_total_known: bool = True
    is_growing: bool = False
    retries: int = 0
    rate_limited: int = 0
    paused_keys: int = 0
    paused_for: float = 0.0
    pause_reason: str | None = None

    @property
    def fraction(self) -> float:
        """The part that is done, from 0 to 1. 0 if there is nothing to do."""
        return self.done / self.total if self.total else 0.0

    def __str__(self) -> str:
        pauses = [pause_part(self.paused_keys, self.paused_for, self.pause_reason or "")] if self.paused_keys else []
        return joined([*count_parts(self), *trouble_parts(self), *pauses, *pace_parts(self)])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from lionpride_exec._display.notebook import bar, bundle, frame  # noqa: PLC0415  for notebooks only

        ended = {status.value: number for status, number in self.by_status.items()}
        counts = ended | {"processing": self.processing, "pending": self.pending}
        return bundle(str(self), frame("Progress", str(self), bar(counts, {"processing": "running"})))


def count_parts(progress: Progress) -> list[Part]:
    """Return the parts of a line about how many events are where."""
    share = f" ({progress.fraction:.0%})" if progress.is_total_known else ""
    more = "" if progress.is_total_known else " or more"
    return [
        Part(f"{progress.done:,} of {progress.total:,}{more} done{share}"),
        *(
            Part(f"{number:,} {status}", 2)
            for status, number in progress.by_status.items()
            if number and status is not EventStatus.COMPLETED
        ),
        Part(f"{progress.processing:,} running", RANK_OF_COUNTS),
        Part(f"{progress.pending:,} pending", RANK_OF_COUNTS),
    ]


def pace_parts(progress: Progress) -> list[Part]:
    """Return the parts of a line about the rate and the time left, as far as they are known."""
    parts = [] if progress.rate is None else [Part(shown_rate(progress.rate), 5)]
    return [*parts, left_part(progress, progress.seconds_left)] if progress.seconds_left else parts


def left_part(progress: Progress, seconds: float) -> Part:
    """Return the part of a line about the time left."""
    return Part(f"{'at least ' if progress.is_growing else ''}{shown_clock(seconds)} left")


def trouble_parts(progress: Progress) -> list[Part]:
    """Return the parts of a line about retries and refusals by the other side. Empty if there were none."""
    retries = [Part(counted(progress.retries, "retry", "retries"), 3)] if progress.retries else []
    return [*retries, Part(f"{progress.rate_limited:,} rate limited", 3)] if progress.rate_limited else retries


def pause_part(keys: int, seconds: float, reason: str, key: Hashable = None) -> Part:
    """
    Return the part of a line about keys that are paused.

    Args:
        keys: How many.
        seconds: The longest of their pauses.
        reason: The reason of that pause.
        key: The key of that pause. None if it is not told.
    """
    rounded = round(seconds) if LEAST_ROUNDED <= seconds <= MAX_SECONDS else seconds
    who = f"{keys:,} keys " if keys > 1 else ""
    which = "" if key is None else f", key {shortened(repr(key), LONGEST_REASON)}"
    ends = "until resume" if seconds > MAX_SECONDS else f"for {shown_seconds(rounded)}"
    return Part(f"{who}paused {ends}", 1, f": {shortened(reason, LONGEST_REASON)}{which}")


@attrs.frozen
class Look:
    """
    What one look at an executor has found.

    Attributes:
        at: The time of the look, by ``current_time()``.
        done: How many events had ended.
        worked: Seconds that all events have run up to this look, added up.
        unended: The part of these seconds that belongs to events that still run.
        blocked: Seconds up to this look in which a limit held up everything.
        held: Seconds up to this look in which no event could be expected to run: paused, or everything delayed.
    """

    at: float
    done: int
    worked: float = 0.0
    unended: float = 0.0
    blocked: float = 0.0
    held: float = 0.0

    @property
    def active(self) -> float:
        """The number of seconds in which ends could be expected."""
        return self.at - self.held


class Looks:
    """The looks of the last seconds. Each step is O(1) amortised."""

    __slots__ = ("looks",)

    def __init__(self) -> None:
        self.looks: deque[Look] = deque()

    def base(self, look: Look, span: float, interval: float) -> Look:
        """
        Return the first look within the span before this look, or else the last one before the span.

        Remember this look.
        """
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
        self._loop: object = None  # the event loop whose clock the times are read from
        self._samples = Looks()  # looks of the last minute, for the rate
        self._wide = Looks()  # looks of the longest cycle of a limit, for the time left
        self._last: Look | None = None
        self._state: tuple[int, bool, bool] = (0, False, False)  # at the last look: events running, blocked, held
        self.each: float | None = None  # mean seconds of a run; None until one has ended
        self.period: float = 0.0  # seconds of the longest cycle of a limit in the last forecast

    def look(self, loop: object, look: Look, running: int, *, is_blocked: bool, is_held: bool) -> Look:
        """Return the look, with the sums continued from the last look."""
        if loop != self._loop:
            self._loop, self._last = loop, None
            self._samples, self._wide = Looks(), Looks()
            self.each = None
        last, (ran, was_blocked, was_held) = self._last, self._state
        self._state = running, is_blocked, is_held
        if last is not None:
            passed, both_held = look.at - last.at, was_held and is_held
            ran = running if both_held else ran  # events that ran when the pause began have ended soon
            look = attrs.evolve(
                look,
                worked=last.worked + passed * (ran + running) / 2,
                blocked=last.blocked + passed * (was_blocked and is_blocked),
                held=last.held + passed * both_held,
            )
        self._last = look
        return look

    def rate(self, look: Look) -> float | None:
        """Return the ends per second up to this look, and remember the look. None if no time has passed."""
        base = self._samples.base(look, SPAN, SAMPLE_INTERVAL)
        return max(look.done - base.done, 0) / (look.at - base.at) if look.at > base.at else None

    def since(self, look: Look) -> Look:
        """Return what has happened in a span that holds a cycle of the limits, up to this look. Remember the look."""
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


publish_classes(Progress)
