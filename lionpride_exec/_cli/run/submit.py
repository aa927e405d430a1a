"""
``lionpride-exec submit``: hand the lines of INPUT to the process that runs a journal.

Lines become events as those of ``run`` do, and have the keys that ``run`` gives them. So a line that the journal knows
is not run again, whether it was submitted or read by ``run``.
"""

from __future__ import annotations

from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import anyio
import attrs

from lionpride_exec._base.redaction import mask
from lionpride_exec._base.wording import counted
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE
from lionpride_exec._cli.streams import say
from lionpride_exec._events.call import Call, lasting_name_of
from lionpride_exec._journal import Journal
from lionpride_exec._journal.codec import Codec
from lionpride_exec.errors import JournalError, LionprideError

from .input_files import expand
from .keyed_run import BATCH, identity_of
from .line_identity import PLACE, SUBMITTED, Lines, remember
from .opening import open_input, redacted_in_event
from .options import check_not_an_option
from .redacted_fields import redacting
from .target import MODULE_PREFIX, describe, load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lionpride_exec._events.event import Event

    from .input_files import InputFiles
    from .inputs.records import Record
    from .lines import Job, JobMaker
    from .options import RunOptions
    from .target import Target

# For how long the key of a line is taken. "no": it has no key.
LineUnique = Literal["ever", "open", "no"]


def submit(
    journal: str,
    target_text: str,
    source_texts: Sequence[str],
    options: RunOptions,
    *,
    unique: LineUnique = "ever",
    as_calls: bool = False,
) -> int:
    """
    Submit the lines of the source to a journal. Return the exit status.

    Args:
        journal: Path of the journal.
        target_text: ``module:name`` or ``path/to/file.py:name``.
        source_texts: Paths, patterns of paths, or "-" for standard input.
        options: How INPUT is read, and what becomes of a record. The rest is not used.
        unique: For how long the key of a line is taken.
        as_calls: Whether the events are calls of the target, as those of an ``Executor.of()`` the target.

    Raises:
        UsageError: The target or INPUT cannot be opened, or an option is wrong, or there is no such journal.
        JournalError: The journal could not be written. How many lines were submitted is told.
    """
    options.check_input()
    if as_calls and options.redact:
        raise UsageError("--calls and --redact exclude each other: the owner would not know what is secret")
    for text in source_texts:
        check_not_an_option("INPUT", text)
    paths = expand(source_texts)
    target = load_target(target_text)
    event_type = target.event_type
    if event_type is None:
        raise UsageError(f"{target.name} has no class of events")
    types = _types_of(target, event_type, as_calls=as_calls)
    with redacting(event_type, redacted_in_event(options), is_function=target.is_function):
        maker, source = open_input(event_type, target, paths, options)
        make_event = _itself if target.function is None or not as_calls else partial(_call_of, target.function)
        with closing(source):
            return Submission(journal, maker, source, options, unique, types, make_event).run()


def _types_of(target: Target, event_type: type[Event], *, as_calls: bool) -> dict[str, Any]:
    """Return what the events are stored under, by tag."""
    if as_calls:
        if target.function is None:
            raise UsageError(f"--calls needs a function, and {target.name} is a class")
        # The owner has imported the module under its own name, or runs it.
        return {lasting_name_of(target.function).removeprefix(MODULE_PREFIX): target.function}
    try:
        Codec(target.types).check_class(event_type)  # once, instead of a refusal for each line
    except TypeError as exc:
        raise UsageError(str(exc)) from exc
    return dict(target.types)


def _itself(event: Event) -> Event:
    return event


def _call_of(function: Callable[[Any], Any], event: Any) -> Event:
    """Return a call of the function with the record of an event, and with the fields that the record has set."""
    metadata = {name: value for name, value in event.metadata.items() if name not in {PLACE, SUBMITTED}}
    fields = {name: getattr(event, name) for name in ("id", "created_at", "timeout", "idle_timeout")}
    return Call(function=function, args=(event.record,), metadata=metadata, **fields)


class Entry(NamedTuple):
    """A line that is submitted: its number, its event, the job that was made of it, and its key."""

    number: int
    event: Event
    job: Job
    key: str | None


def _taking(entries: Sequence[Entry], taken: list[Entry]) -> Iterator[Event]:
    """Yield the events of entries. The entry of the event that was yielded last is the last one in ``taken``."""
    for entry in entries:
        taken.append(entry)
        yield entry.event


@attrs.define(eq=False)
class Submission:
    """
    One pass through INPUT.

    Args:
        journal: Path of the journal.
        maker: Makes events of lines.
        source: INPUT. The caller closes it.
        options: ``line_id``, ``field``, ``redact`` and ``quiet`` are used.
        unique: For how long the key of a line is taken.
        types: What the events are stored under, by tag.
        make_event: Returns the event that is submitted for the event of a line.
    """

    journal: str
    maker: JobMaker
    source: InputFiles
    options: RunOptions
    unique: LineUnique
    types: dict[str, Any]
    make_event: Callable[[Event], Event]
    _lines: Lines = attrs.field(init=False)
    _good: int = attrs.field(default=0, init=False)  # lines that are on disk
    _bad: int = attrs.field(default=0, init=False)
    _has_begun: bool = attrs.field(default=False, init=False)  # there is a journal
    _has_read_all: bool = attrs.field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._lines = Lines(identity_of(self.options), self.source.place_beside)
        self.source.tell = self._tell_of_unread

    def run(self) -> int:
        """
        Submit all lines, and tell how many. Return the exit status: 1 if one is bad, or not all was read.

        Raises:
            UsageError: There is no such journal, or a pipe is in no format that can be read.
            JournalError: The journal could not be written.
        """
        try:
            anyio.run(self._submit_all)
        finally:
            if self._has_begun and not self.options.quiet:
                bad = f", {counted(self._bad, 'bad line')}" if self._bad else ""
                say(f"{counted(self._good, 'line')} submitted to {self.journal}{bad}")
        return INCOMPLETE if self._bad or not self._has_read_all else COMPLETED

    async def _submit_all(self) -> None:
        try:
            await Journal.submit_many(self.journal, ())  # is there a journal?
        except JournalError as exc:
            raise UsageError(str(exc)) from exc
        self._has_begun = True
        await self.source.check_streams()
        async with aclosing(self.source.batches(BATCH)) as batches:
            async for batch in batches:
                entries = self._entries_of(batch)
                while entries:
                    entries = entries[await self._submit(entries) :]

    def _entries_of(self, batch: Iterable[Record]) -> list[Entry]:
        """Return what is submitted for some lines. A line that cannot be read is told."""
        entries: list[Entry] = []
        for number, text in batch:
            if self.maker.is_blank(text):
                continue
            try:
                record = self.maker.record_of(text)
                value = self.maker.value_of(record if self.options.field is None else text)
                key = self._lines.key_of_value(value, record, number)
                job = self.maker.make_of(value, record)
            except BadLineError as exc:
                self._refuse(number, exc)
                continue
            remember(job.event, number, job.record, is_field=self.maker.keeps_record)
            job.event.metadata[SUBMITTED] = True
            entries.append(Entry(number, self.make_event(job.event), job, None if self.unique == "no" else key))
        return entries

    async def _submit(self, entries: Sequence[Entry]) -> int:
        """
        Submit the events of some lines, up to one that cannot be stored, which is told.

        Return how many lines were dealt with.
        """
        taken: list[Entry] = []
        try:
            self._good += await Journal.submit_many(
                self.journal,
                _taking(entries, taken),
                lambda _: taken[-1].job.priority,
                key=lambda _: taken[-1].key,
                unique="open" if self.unique == "open" else "ever",
                types=self.types,
            )
        except JournalError:
            raise
        except (LionprideError, TypeError, ValueError) as exc:
            self._good += len(taken) - 1
            self._refuse(taken[-1].number, BadLineError(mask(describe(exc), taken[-1].job.secrets)))
        return len(taken)

    def _refuse(self, number: int, reason: BadLineError) -> None:
        self._bad += 1
        say(f"{self.source.place(number)}: {reason}")

    def _tell_of_unread(self, message: str) -> None:
        self._has_read_all = False
        say(message)
