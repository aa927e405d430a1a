"""
A run that keeps what it does in a journal, so that the same command goes on where the last one was.

The journal is strict: nobody learns of an end before it is on disk, so a result that is written is in the journal. At
the start, while nothing runs yet, INPUT is compared with the journal (``known_events``), and the output is brought up
to it (``resume``). Then lines are read, some hundred at once; those whose key is known are passed over, the others are
appended in one commit. A pipe cannot be read twice: it is compared while it is read.
"""

from __future__ import annotations

import os
from contextlib import aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import checkpoint

from lionpride_exec._base.redaction import mask
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._journal import Journal
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ConfigurationError, JournalError, LionprideError

from .line_identity import Identity, Lines, line_key, recall, remember
from .line_run import LineRun
from .redacted_fields import Redaction
from .rekey import know_lines_by
from .resume import Resume
from .stored_results import line_of_event
from .target import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor

    from .known_events import Known
    from .lines import Job
    from .options import RunOptions
    from .target import Target

# Lines that are looked up, and appended, together.
BATCH = 500

# Seconds after which lines that could not be kept are tried again.
PAUSE = 1.0

TAG = "run:"


class KeyedJob(NamedTuple):
    """A job, and the key of its line."""

    job: Job
    key: str


def build_executor(target: Target, source: str, options: RunOptions, place: str) -> Executor:
    """
    Return an executor of the target with a journal.

    Args:
        target: What is run.
        source: The INPUT, as it was given.
        options: How to run.
        place: The path of the journal. Its lines are known by what the options say, from now on.

    Raises:
        UsageError: The journal cannot be used, or it does not belong to INPUT and output.
    """
    processor_type = getattr(target.executor_type, "processor_type", None)
    event_type: type[Event] | None = getattr(processor_type, "event_type", None)
    # A tag that does not tell where the target lies: files are moved.
    tag = event_type._kind.tag if event_type is not None else None
    types = {TAG + target.name: event_type} if event_type is not None and tag is None else {}
    try:
        journal = Journal(
            place, ack="strict", synchronous="NORMAL" if options.journal_sync == "normal" else "FULL", types=types
        )
        if event_type is not None:
            journal._codec._plan(event_type)  # now, not for each line
    except (ConfigurationError, TypeError) as exc:
        raise UsageError(f"--journal {place}: {exc}") from exc
    for name, other in (("--output", options.output), ("INPUT", source)):
        if os.path.realpath(other) == os.path.realpath(place):
            raise UsageError(f"--journal {place} is the file of {name}")
    _check_output(Path(options.output), journal.path)
    know_lines_by(journal.path, identity_of(options))
    return target.build(options.processor_config, journal)


def _check_output(output: Path, journal: Path) -> None:
    """Refuse results of another run, before a journal is made beside them."""
    if not journal.exists() and output.is_file() and output.stat().st_size:
        raise UsageError(
            f"{output} is not empty and there is no {journal}: its results are of another run; "
            "give another --output, or remove it"
        )


def identity_of(options: RunOptions) -> Identity:
    """Return what the lines of a run are known by."""
    field = options.record_id
    return Identity(field, is_secret=field is not None and Redaction(options.redact).covers(field))


class JournaledRun(LineRun):
    """A run whose executor has a journal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tally.read = 0
        self.tally.still_open = self._count_open
        self._is_open = False  # the journal
        self._left = 0  # events that stay in the journal as they are
        self._identity = identity_of(self.options)
        self._lines = Lines(self._identity)
        # What the journal knew at the start, while INPUT is still to be compared with it.
        self._known: Known | None = None
        self.executor.pause()

    @property
    def _journal(self) -> Journal:
        assert self.executor.journal is not None
        return self.executor.journal

    # ---------------------------------------------------------------- around the event loop

    def _run_loop(self) -> int:
        try:
            return super()._run_loop()
        finally:
            if not self._is_started:
                self.output.forget()  # what has ended before is in the journal

    @staticmethod
    def _refusal(leaf: BaseException) -> UsageError:
        if isinstance(leaf, UsageError):
            return leaf
        return UsageError(str(leaf)) if isinstance(leaf, JournalError) else LineRun._refusal(leaf)

    @property
    def _is_telling(self) -> bool:
        return self._is_open  # what is left in the journal at the start is told in one line

    def _tell_of_a_stop(self) -> None:
        pass  # the summary says how to go on

    def _has_begun(self) -> bool:
        return True  # the journal is there, and the output with it

    def _summary(self) -> str:
        summary = super()._summary()
        is_over = not self.tally.unfinished and not self.interrupts and self._has_read_all
        return summary if is_over else f"{summary}; run the same command again to go on"

    def _way_on(self) -> str:
        return (
            "the same command does the lines that are left; to run failed ones again, put them back first: "
            f"lionpride-exec retry {self.options.journal} --status failed"
        )

    def _is_complete(self) -> bool:
        return super()._is_complete() and not self._left

    # ---------------------------------------------------------------- inside the event loop

    async def _get_ready(self) -> None:
        """Bring the output up to the journal, then let events start."""
        book = self.executor._book
        assert book is not None
        self._is_open = True
        await book.writer.wait_committed()
        while self.executor._put_off:  # what comes after something that failed ends now, one after the other
            await book.writer.wait_committed()
        known = await self._compare()
        self.tally.before = known.before
        self._left = sum(self._journal.left.values())
        if self.source.can_look_ahead:
            self._follow_input(known)
        else:
            self._known = known
        if self._left:
            told = ", ".join(f"{number:,} {why}" for why, number in self._journal.left.items())
            held = "; lionpride-exec retry JOURNAL --status held lets those go on" if "held" in told else ""
            self.display.message(f"events that stay in {self.options.journal} as they are: {told}{held}")
        self.executor.resume()

    async def _compare(self) -> Known:
        """Compare journal, INPUT and output, and bring the output up to the journal."""
        resume = Resume(
            self._journal.path,
            self.output,
            self._tag(),
            self._identity,
            goes_on=self.options.changed_input,
            with_traceback=self.options.traceback,
        )
        limiter = CapacityLimiter(1)
        with closing(resume.steps(self.source, self.maker)) as steps:
            is_over = object()
            while await to_thread.run_sync(next, steps, is_over, limiter=limiter) is not is_over:
                pass
        if resume.message is not None:
            self.display.message(resume.message)
        return resume.known

    def _follow_input(self, known: Known) -> None:
        """Have events that are open know where their lines are now; those whose lines are gone stay in the file."""
        book = self.executor._book
        assert book is not None
        let_go = 0
        for event in self.executor.pending_events:
            key = self._key_of(event)
            if key is None:
                continue
            number = known.number_of(key)
            if number is not None:
                self._renumber(event, number)
            else:
                self.executor._let_go(event)
                book.forget(event)
                let_go += 1
        # What cannot be read, or is held, is no business of this run either if INPUT has it no more.
        self._left -= known.open_lines - known.open_seen - let_go

    def _key_of(self, event: Event) -> str | None:
        """Return the key of the line that an event was made of. None if there was none."""
        return line_key(self.executor._agenda._key_of.get(event.id))

    @staticmethod
    def _renumber(event: Event, number: int) -> None:
        _, record = recall(event.metadata, str(event.id))
        remember(event, number, record)

    def _tag(self) -> str:
        codec, event_type = self._journal._codec, self.executor.event_type
        return codec._tag_of.get(event_type) or event_type._kind.tag or ""

    async def _read_lines(self) -> None:
        async with aclosing(self.source.batches(BATCH)) as batches:
            async for batch in batches:
                lines = [(number, line) for number, line in batch if not self.maker.is_blank(line)]
                self.tally.read = (self.tally.read or 0) + len(lines)
                await self._take_all(lines)
                await self.output.wait_for_room()
        if self._known is not None and self._known.missing:
            told = f"{self._known.missing:,} of the {self._known.lines:,} lines that {self.options.journal} knew"
            self.display.message(f"{told} were not in {self.source.name}")

    async def _take_all(self, lines: Sequence[tuple[int, bytes]]) -> None:
        """Append those that are not known yet; while the journal cannot be written, wait until it can."""
        todo: dict[str, tuple[int, bytes]] = {}
        for number, line in lines:
            try:
                todo[self._lines.key_of(self.maker.record_of(line))] = number, line
            except BadLineError as exc:
                await self._refuse(number, exc)
        while todo:
            try:
                for key in await self.executor.known_keys(todo):
                    self._pass_over(str(key), todo.pop(str(key))[0])
                await self._append_all(todo)
            except JournalError:  # it is told where the first one is noticed
                await anyio.sleep(PAUSE)
            else:
                return

    def _pass_over(self, key: str, number: int) -> None:
        """Take note of a line that the journal knows, where INPUT could not be compared with it before."""
        if self._known is None:
            return
        self._known.see(key, number)
        event = self.executor._known_under(self.executor._key_of(key))
        if event is not None and not event.status.is_terminal:
            self._renumber(event, number)

    async def _append_all(self, todo: dict[str, tuple[int, bytes]]) -> None:
        """Append the events of these lines. A line that is refused is taken out of ``todo``."""
        lines = iter(list(todo.items()))
        jobs: dict[UUID, KeyedJob] = {}  # the last one is that of the event which is being appended
        is_done = False
        while not is_done:
            try:
                await self.executor.extend(
                    self._events_of(lines, todo, jobs),
                    lambda event: jobs[event.id].job.priority,
                    key=lambda event: jobs[event.id].key,
                )
                is_done = True
            except JournalError:
                raise
            except (LionprideError, TypeError, ValueError) as exc:
                refused = next(reversed(jobs.values()))
                number, _ = todo.pop(refused.key)
                await self._refuse(number, BadLineError(mask(describe(exc), refused.job.secrets)))

    async def _events_of(
        self, lines: Iterator[tuple[str, tuple[int, bytes]]], todo: dict[str, Any], jobs: dict[UUID, KeyedJob]
    ) -> AsyncGenerator[Event]:
        """Make the events of lines, each when there is room for it in the read-ahead."""
        for key, (number, line) in lines:
            try:
                job = self.maker.make(line)
            except BadLineError as exc:
                del todo[key]
                await self._refuse(number, exc)
                continue
            await self._ahead.wait()
            remember(job.event, number, job.record)
            jobs.pop(job.event.id, None)  # two records may give their events one id
            jobs[job.event.id] = KeyedJob(job, key)
            yield job.event

    def _follow(self, event: Event, _previous: EventStatus, status: EventStatus) -> None:
        """Write the result of an event that has ended, if it is in the journal. Called inside its transition."""
        self._ahead.reconsider()
        if not status.is_terminal or not self._is_started:
            return
        book = self.executor._book
        if book is None or not book.is_outcome_committed(event):
            return  # the journal was closed without it: the next run has it run again
        key = self.executor._agenda._key_of.get(event.id)
        known_by = key if isinstance(key, str) else None
        line = line_of_event(event, status, known_by, with_traceback=self.options.traceback)
        self._note_end(event, recall(event.metadata, str(event.id))[0], status, line)

    async def _forget_ended(self) -> None:
        await checkpoint()  # with a journal they leave by themselves

    def _count_open(self) -> int:
        counts = self.executor.status_counts()
        return counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]
