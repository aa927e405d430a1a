"""What a report shows of a run: the times of its events, their errors by shape, the slowest events, the limits."""

from __future__ import annotations

from array import array
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._status import FINAL

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

# Each final status as a small number.
CODES: Final = {status: code for code, status in enumerate(FINAL)}

# How a run ended, or that it goes on: by small numbers, of which the first are those of ``CODES``.
RUN_KINDS: Final = (*FINAL, "repeated", "processing")
REPEATED: Final = RUN_KINDS.index("repeated")

# Seconds since 1970 that a date can have: up to the year 9999. What is beyond is no time, and no duration.
MAX_TIME: Final = 253_402_300_799.0

# Keys whose starts are counted apart, for each limit. Other keys are left out.
MAX_KEYS: Final = 10_000


@attrs.frozen
class Window:
    """
    The time that a report is about. Seconds since 1970.

    Attributes:
        since: When it begins.
        until: When it ends. What happens just then is outside.
    """

    since: float = -inf
    until: float = inf

    @property
    def is_all(self) -> bool:
        """Whether it has no ends."""
        return self.since == -inf and self.until == inf

    @property
    def has_begin(self) -> bool:
        """Whether it begins at some time."""
        return self.since > -inf

    @property
    def has_end(self) -> bool:
        """Whether it ends at some time."""
        return self.until < inf

    def has(self, at: float) -> bool:
        """Return whether a time is in it."""
        return self.since <= at < self.until


ALL_TIME: Final = Window()


@attrs.frozen
class ShapeGroup:
    """
    Events that ended with errors of one shape.

    Attributes:
        status: How they ended.
        shape: What their errors have in common, in the words of ``group_words()``.
        count: How many there are.
        first: The first of them: its number in the journal, or its id.
        example: The first line of its error, at most 200 characters.
        line_id: The id of the line that the first of them was made of. None without one.
    """

    status: str
    shape: str
    count: int
    first: int | str
    example: str
    line_id: str | None = None


@attrs.frozen
class SlowRun:
    """
    An event whose last run took long.

    Attributes:
        number: Its number in the journal. None without one.
        id: Its id, as text.
        kind: The tag of its class, or the name of its function. None if it is not known.
        status: How it ended.
        duration: Seconds.
    """

    number: int | None
    id: str
    kind: str | None
    status: str
    duration: float


@attrs.frozen
class OpenRun:
    """
    An event that runs.

    Attributes:
        number: Its number in the journal. None without one.
        id: Its id, as text.
        kind: As of a :class:`SlowRun`.
        attempt: The number of the run.
        age: For how many seconds it has run. None if it is not known.
    """

    number: int | None
    id: str
    kind: str | None
    attempt: object
    age: float | None


@attrs.frozen
class Given:
    """What was given to a run of the command: when it began, and the words for a shell."""

    at: float
    command_line: str


def key_text(key: Hashable) -> str:
    """Return the key of a limit as people read it."""
    return key if isinstance(key, str) else repr(key)


@attrs.define(eq=False)
class LimitStarts:
    """
    A limit of starts in a time, and the starts that count for it.

    Attributes:
        per: Seconds.
        amount: How many starts are allowed in any ``per`` seconds. None if each key has its own amount, or if it is not
            known.
        key: What the limit counts by, in words. None if it counts all starts together.
        amounts: Amounts of single keys, as texts.
        key_of: Returns the key of what the collector was given with an event. None if the limit has no key, or the
            keys cannot be known. A key of None means that the limit does not apply.
        starts: When runs began, by key.
        left_out: Starts whose key was one too many.
    """

    per: float
    amount: float | None
    key: str | None = None
    amounts: Mapping[str, float] = attrs.field(factory=dict[str, float])
    key_of: Callable[[Any], Hashable] | None = None
    starts: dict[str, array[float]] = attrs.field(factory=dict[str, "array[float]"])
    left_out: int = 0

    def add(self, item: Any, begins: Sequence[float]) -> None:
        """Count the runs of an event that began at these times."""
        assert self.key_of is not None
        key = self.key_of(item)
        if key is None:
            return
        name = key_text(key)
        found = self.starts.get(name)
        if found is None:
            if len(self.starts) >= MAX_KEYS:
                self.left_out += len(begins)
                return
            found = self.starts[name] = array("d")
        found.extend(begins)


@attrs.define(eq=False)
class Times:
    """
    The times of events, one place for each event. Seconds; points in time are since 1970.

    Attributes:
        ends: When each event ended that has ended.
        codes: How it ended: its place in ``FINAL``.
        begins: When each run began that has ended: the last one of each event, and those before.
        stops: When this run ended.
        repeated: How many of these runs were followed by another one, or will be.
        running: When the last run began, of each event that runs, or ran when the process was cut off.
        durations: How long the last run took, of each completed or failed event.
        waits: From the time when the event was queued to the beginning of its last run, at least 0.
        first: The first time of all. None if there is none.
        last: The last one. None if there is none.
        undated: How many events have ended at a time that nobody knows, by status.
        kinds: How each run ended: its place in ``RUN_KINDS``. Empty unless each run is shown.
        numbers: The number of the event of each run, likewise. 0 without one.
        running_numbers: The numbers of the events that run, likewise.
    """

    ends: array[float] = attrs.field(factory=lambda: array("d"))
    codes: bytearray = attrs.field(factory=bytearray)
    begins: array[float] = attrs.field(factory=lambda: array("d"))
    stops: array[float] = attrs.field(factory=lambda: array("d"))
    running: array[float] = attrs.field(factory=lambda: array("d"))
    durations: array[float] = attrs.field(factory=lambda: array("d"))
    waits: array[float] = attrs.field(factory=lambda: array("d"))
    repeated: int = 0
    first: float | None = None
    last: float | None = None
    undated: dict[str, int] = attrs.field(factory=dict[str, int])
    kinds: bytearray = attrs.field(factory=bytearray)
    numbers: array[int] = attrs.field(factory=lambda: array("I"))
    running_numbers: array[int] = attrs.field(factory=lambda: array("I"))

    def runs(self, window: Window) -> Iterator[tuple[float, float]]:
        """Return when each run began and ended, as far as it was in the window. What runs is drawn up to the end."""
        last = self.last or 0.0
        runs = chain(zip(self.begins, self.stops, strict=True), ((begin, last) for begin in self.running))
        if window.is_all:
            return runs
        first = self.first or 0.0
        return ((max(begin, first), min(stop, last)) for begin, stop in runs)

    def reach(self, at: float) -> None:
        """Remember a time as the first or the last one, if it is."""
        if self.first is None or at < self.first:
            self.first = at
        if self.last is None or at > self.last:
            self.last = at


@attrs.frozen(kw_only=True)
class RunReport:
    """
    What a report shows of a run. Times are seconds since 1970, durations are seconds.

    Attributes:
        name: The file, or the name of the executor.
        show_command: The command that shows an event of a journal, without its number. "" if there is none.
        at: When it was read.
        state: How far the run is, in words.
        notes: What else there is to know, a sentence each.
        window: The time that the report is about.
        counts: Events by status, "held" included.
        times: The times of the events.
        errors: The most frequent shapes of errors, most frequent first.
        other_errors: Events with an error of another shape.
        slowest: The slowest completed or failed events, slowest first.
        running: The events that run, longest first.
        given: What was given to the last runs of the command, newest first.
        limits: The limits of starts that are known.
        slots: How many events may run at the same time. None if it is not known.
        bad_lines: How many bad lines the last run of the command has found, which are no events.
    """

    name: str
    show_command: str = ""
    at: float
    state: str
    notes: tuple[str, ...] = ()
    window: Window
    counts: Mapping[str, int]
    times: Times
    errors: tuple[ShapeGroup, ...]
    other_errors: int
    slowest: tuple[SlowRun, ...]
    running: tuple[OpenRun, ...]
    given: tuple[Given, ...] = ()
    limits: tuple[LimitStarts, ...]
    slots: int | None
    bad_lines: int = 0
