"""
A run whose lines have keys, so that the same command goes on where the last run was stopped.

A key says what a line is known by (``line_identity``). What keeps the events knows their keys: the journal of a
``JournaledRun``, or the server of a ``ClusterRun``. A line whose key is known is not run again. Lines are read, some
hundred at once, and those that are new are appended together.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from anyio import CapacityLimiter, to_thread

from lionpride_exec._base.redaction import mask
from lionpride_exec._cli.errors import BadLineError
from lionpride_exec._status import EventStatus

from .line_identity import Identity, Lines, is_in_field, recall_event, remember
from .line_run import LineRun
from .redacted_fields import Redaction
from .target import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
    from uuid import UUID

    from lionpride_exec._events.event import Event

    from .inputs.records import Record
    from .known_events import Known
    from .lines import Job
    from .options import RunOptions

T = TypeVar("T")

# Lines that are looked up, and whose events are appended, together.
BATCH = 500

# Seconds after which lines that could not be kept are tried again.
PAUSE = 1.0


class Line(NamedTuple):
    """A line that was read: its number, its record, and the record as JSON."""

    number: int
    value: Any
    record: bytes


class KeyedJob(NamedTuple):
    """A job, and the key of its line."""

    job: Job
    key: str


def identity_of(options: RunOptions) -> Identity:
    """Return what the lines of a run are known by."""
    field = options.line_id
    return Identity(field, is_secret=field is not None and Redaction(options.redact).covers(field))


class KeyedRun(LineRun):
    """A run whose lines have keys."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tally.read = 0
        self.tally.still_open = self._count_open
        self._identity = identity_of(self.options)
        self._lines = Lines(self._identity, self.source.place_beside)
        # What was known at the start. None once INPUT has been compared with it.
        self._known: Known | None = None

    def _tell_of_a_stop(self) -> None:
        pass  # the summary says how to go on

    def _has_begun(self) -> bool:
        return True  # the events are kept, and so is the output

    def _summary(self) -> str:
        summary = super()._summary()
        is_over = not self.tally.unfinished and not self.interrupts and self._has_read_all
        if not self._has_read_all:
            summary = f"{summary}; INPUT was not read to its end"
        return summary if is_over else f"{summary}; run the same command again to go on"

    def _count_open(self) -> int:
        counts = self.executor.status_counts()
        return counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]

    @staticmethod
    def _renumber(event: Event, number: int) -> None:
        """Tell an event where its line is now."""
        _, record = recall_event(event)
        remember(event, number, record, is_field=is_in_field(event))

    @staticmethod
    async def _steps(steps: Generator[T]) -> AsyncGenerator[T]:
        """Yield what a generator yields, each step of which blocks: it runs in a thread."""
        limiter, is_over = CapacityLimiter(1), object()
        with closing(steps):
            while (found := await to_thread.run_sync(next, steps, is_over, limiter=limiter)) is not is_over:
                yield cast("T", found)

    # ---------------------------------------------------------------- reading

    async def _read_lines(self) -> None:
        async with aclosing(self.source.batches(BATCH)) as batches:
            async for batch in batches:
                lines = [(number, line) for number, line in batch if not self.maker.is_blank(line)]
                self.tally.read = (self.tally.read or 0) + len(lines)
                await self._take_all(await self._todo_of(lines))
                await self.output.wait_for_room()
        if self._known is not None and self._known.missing:
            told = f"{self._known.missing:,} of the {self._known.lines:,} lines that {self._keeper} knew"
            self.display.message(f"{told} were not in {self.source.name}")

    @property
    @abstractmethod
    def _keeper(self) -> str:
        """The name of what knows the lines of earlier runs."""

    async def _todo_of(self, lines: Sequence[Record]) -> dict[str, Line]:
        """Return lines by their keys. A line that cannot be read is refused."""
        todo: dict[str, Line] = {}
        for number, text in lines:
            try:
                record = self.maker.record_of(text)
                line = Line(number, self.maker.value_of(record if self.options.field is None else text), record)
                todo[self._lines.key_of_value(line.value, record, number)] = line
            except BadLineError as exc:
                await self._refuse(number, exc)
        return todo

    @abstractmethod
    async def _take_all(self, todo: dict[str, Line]) -> None:
        """Append the events of lines that are not known yet. Wait as long as they cannot be kept."""

    async def _refuse_event(self, todo: dict[str, Line], job: KeyedJob, exc: Exception) -> None:
        """Take a line out of ``todo`` whose event was refused."""
        number = todo.pop(job.key).number
        await self._refuse(number, BadLineError(mask(describe(exc), job.job.secrets)))

    async def _events_of(
        self, lines: Iterator[tuple[str, Line]], todo: dict[str, Line], jobs: dict[UUID, KeyedJob]
    ) -> AsyncGenerator[Event]:
        """Make the events of lines, each once the read-ahead has room for it."""
        for key, (number, value, record) in lines:
            try:
                job = self.maker.make_of(value, record)
            except BadLineError as exc:
                del todo[key]
                await self._refuse(number, exc)
                continue
            if not self._ahead.has_room:
                await self._ahead.wait()
            remember(job.event, number, job.record, is_field=self.maker.keeps_record)
            jobs.pop(job.event.id, None)  # two records may give their events one id
            jobs[job.event.id] = KeyedJob(job, key)
            yield job.event
