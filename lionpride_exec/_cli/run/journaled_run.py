"""
A run that keeps its state in a journal, so that the same command goes on where the last run was stopped.

The journal is strict: nobody learns of an end before it is on disk. So each result in the output is in the journal.
At the start, before any event runs, INPUT is compared with the journal (``known_events``), and the output is brought up
to the journal (``resume``). Then lines are read, some hundred at once. Lines whose key is known are passed over; the
events of the others are written in commits of up to a hundred. A pipe cannot be read twice, so it is compared with the
journal while it is read.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from contextlib import aclosing
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cli.errors import OutputError, UsageError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE
from lionpride_exec._executor.journal_access import JournalAccess
from lionpride_exec._journal import Journal
from lionpride_exec._journal.recovery import AFTER_LEFT
from lionpride_exec._status import FAILURES, HELD
from lionpride_exec.errors import ConfigurationError, JournalError, LionprideError

from .given import with_bad_lines
from .journal_messages import (
    changed_failures_message,
    changed_lines_message,
    changed_results_message,
    failed_before_message,
    left_messages,
    put_back_message,
)
from .keyed_run import PAUSE, KeyedRun, identity_of
from .known_events import UNREADABLE
from .line_identity import SUBMITTED, line_key, recall_event
from .line_run import LineRun
from .put_back import put_back
from .rekey import know_lines_by
from .resume import Resume, drop_replaced
from .stored_results import line_of_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._status import EventStatus

    from .changed_records import ChangedRecords
    from .keyed_run import KeyedJob, Line
    from .known_events import Known
    from .options import RunOptions
    from .target import Target


def build_executor(target: Target, paths: Sequence[str], options: RunOptions, place: str) -> Executor:
    """
    Return an executor of the target with a journal.

    The lines that the journal has already are known by what the options say, from now on.

    Args:
        target: What to run.
        paths: The files of INPUT.
        options: How to run.
        place: Path of the journal.

    Raises:
        UsageError: The journal cannot be used, or INPUT or the output does not fit it.
    """
    sync: Literal["NORMAL", "FULL"] = "NORMAL" if options.journal_sync == "normal" else "FULL"
    try:
        journal = Journal(place, ack="strict", synchronous=sync, types=target.types)
        if target.event_type is not None:
            journal._check_class(target.event_type)  # once, instead of a refusal for each line
    except (ConfigurationError, TypeError) as exc:
        raise UsageError(f"--journal {place}: {exc}") from exc
    for name, other in (("--output", options.output), *(("INPUT", path) for path in paths)):
        if os.path.realpath(other) == os.path.realpath(place):
            raise UsageError(f"--journal {place} is the file of {name}")
    _check_output(Path(options.output), journal.path)
    know_lines_by(journal.path, identity_of(options))
    return target.build(options.processor_config, journal=journal)


def _check_output(output: Path, journal: Path) -> None:
    """Refuse an output with the results of another run, before a journal is made beside it."""
    if not journal.exists() and output.is_file() and output.stat().st_size:
        raise UsageError(
            f"{output} is not empty and there is no {journal}: its results are of another run; "
            "give another --output, or remove it"
        )


class JournaledRun(KeyedRun):
    """
    A run whose executor has a journal.

    Args:
        given: What was given to the run, as JSON. The journal keeps it.
    """

    def __init__(self, *args: Any, given: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given = given
        self._again = set[str]()  # keys of the lines that --resume-failed has put back
        self._again_from_pipe = 0  # how many events --resume-failed has put back while a pipe was read
        self._access = JournalAccess(self.executor)
        self._is_open = False  # whether the journal is
        self._left = Counter[str]()  # events that stayed in the journal as they were when the run began, by the reason
        self._may_know_lines = True  # if not, the journal had no line when the run began
        # Likewise, in the words of the journal. INPUT may lack the lines of some.
        self._left_at_begin: Mapping[str, int] = {}
        self._began = inf  # seconds since 1970
        self._has_retried = False  # an event that had a result in the output has run again
        self.tally.left = self._count_left
        self._access.watch_retries(self._follow_retry)
        self._access.hold()

    # ---------------------------------------------------------------- around the event loop

    def _run_loop(self) -> int:
        try:
            if self.options.resume_failed and self.source.can_look_ahead:
                self._put_back()
            return super()._run_loop()
        finally:
            if not self._is_started:
                self.output.forget()  # events that ended while the journal was opened: the next run writes them

    def _put_back(self) -> None:
        """Have lines of INPUT that did not complete be run again."""
        number, keys = put_back(self._access.journal.path, self.source, self.maker, self._identity)
        self._again |= keys
        if number and not self.options.quiet:
            self.display.message(put_back_message(number))

    @staticmethod
    def _refusal(leaf: BaseException) -> Exception:
        if isinstance(leaf, UsageError):
            return leaf
        return UsageError(str(leaf)) if isinstance(leaf, JournalError) else LineRun._refusal(leaf)

    @property
    def _is_telling(self) -> bool:
        return self._is_open  # one message tells what is left in the journal, instead of a log line for each event

    @property
    def _keeper(self) -> str:
        return self.options.journal or ""

    def _way_on(self) -> str:
        return (
            "the same command does the lines that are left, and with --resume-failed also those that did not complete"
        )

    def _count_left(self) -> Mapping[str, int]:
        """Return how many events stay in the journal, by the reason. Some may have been decided about meanwhile."""
        now = self._access.journal.left
        decided = {reason: number - now.get(reason, 0) for reason, number in self._left_at_begin.items()}
        of_held, after_held = decided.get(HELD, 0), decided.get(AFTER_LEFT, 0)
        return {
            HELD: max(self._left[HELD] - of_held, 0),
            UNREADABLE: max(self._left[UNREADABLE] - after_held, 0),
        }

    def _tell_of_left(self) -> None:
        failed = None if self.interrupts else failed_before_message(self.tally.before, self._keeper)
        for message in (*([] if failed is None else [failed]), *left_messages(self._count_left(), self._keeper)):
            self.display.message(message)

    def _close_output(self, *, has_run: bool) -> int:
        status = COMPLETED
        if self._has_retried:
            try:
                self.output.flush()
                drop_replaced(self._access.journal.path, self.output, self._identity)
            except (UsageError, OutputError) as exc:  # the next run drops them
                self.display.message(str(exc))
                status = INCOMPLETE
        return max(status, super()._close_output(has_run=has_run))

    # ---------------------------------------------------------------- before the first event

    async def _get_ready(self) -> None:
        """Bring the output up to the journal, then let events start."""
        self._is_open = True
        await self._access.catch_up()
        await self._access.note_run(self._given)
        known = await self._compare()
        self._may_know_lines = known.lines > 0
        left = self._access.journal.left
        self._left_at_begin, self._began = left, wall_clock.seconds()
        self.tally.before = known.before
        self._left = known.left
        if self.source.can_look_ahead:
            self._follow_input(known)
        else:
            self._known = known
        if left:
            told = ", ".join(f"{number:,} {why}" for why, number in left.items())
            self.display.message(f"events that stay in {self._keeper} as they are: {told}")
        self._access.release()

    async def _compare(self) -> Known:
        """Compare journal, INPUT and output, and bring the output up to the journal."""
        resume = Resume(
            self._access.journal.path,
            self.output,
            self._access.tag(),
            self._identity,
            self._access.is_here,
            goes_on=self.options.changed_input,
            with_traceback=self.options.traceback,
        )
        async with aclosing(self._steps(resume.steps(self.source, self.maker))) as steps:
            async for _ in steps:
                pass
        if resume.message is not None:
            self.display.message(resume.message)
        self._tell_of_results(resume.changed)
        return resume.known

    def _tell_of_results(self, changed: ChangedRecords) -> None:
        if changed.failed:
            self.display.message(changed_failures_message(changed.failed))
        if changed.done:
            command = f"retry {shlex.quote(self._keeper)} {changed.name}"
            place = self.source.place(changed.number)
            self.display.message(changed_results_message(changed.done, place, command))

    def _follow_input(self, known: Known) -> None:
        """
        Tell open events where their lines are now.

        Events whose lines are gone stay in the file, and do not run. Events that were submitted run, without a line.
        With ``--resume-failed``, an event whose record has changed under its id makes room for the record as it is now,
        also if this run has not put it back: a run that was killed may have done so.
        """
        changed, corrected = list[int](), list[int]()
        for event in self.executor.pending_events:
            key = line_key(self._access.key_of(event))
            if key is None:
                continue
            number = known.number_of(key)
            if number is not None:
                if known.has_changed(key, recall_event(event)[1]):
                    if self.options.resume_failed and self._access.drop(event):
                        corrected.append(number)
                        continue
                    changed.append(number)
                self._renumber(event, number)
                continue
            if SUBMITTED not in event.metadata:
                self._access.leave_on_disk(event)
        if corrected:
            self._tell_of_changed(corrected, "the record is run as it is now, since the earlier one has not completed")
        if changed:
            way = "" if self.options.resume_failed else "; --resume-failed runs the record as it is now"
            self._tell_of_changed(changed, f"what {self._keeper} has is run{way}")

    def _tell_of_changed(self, numbers: Sequence[int], what: str) -> None:
        place = self.source.place(min(numbers))
        self.display.message(changed_lines_message(len(numbers), place, what))

    async def _finish(self) -> None:
        if not self.interrupts:
            await self._access.wait_submissions()  # those that came before the last line
        if self.tally.bad:  # no event tells of them
            await self._access.note_run(with_bad_lines(self._given, self.tally.bad))
        await super()._finish()

    # ---------------------------------------------------------------- reading

    async def _take_all(self, todo: dict[str, Line]) -> None:
        """Append the events of lines that are not known yet. Wait as long as the journal cannot be written."""
        while todo:
            try:
                if self._may_know_lines:
                    for key in await self.executor.known_keys(todo):
                        await self._pass_over(str(key), todo[str(key)].number)
                        del todo[str(key)]
                await self._append_all(todo)
            except JournalError:  # a warning in the log has told it
                self._may_know_lines = True  # some of these lines may be in the journal by now
                await anyio.sleep(PAUSE)
            else:
                return

    async def _read_lines(self) -> None:
        try:
            await super()._read_lines()
        finally:
            if self._again_from_pipe and not self.options.quiet:
                self.display.message(put_back_message(self._again_from_pipe))

    async def _pass_over(self, key: str, number: int) -> None:
        """Take note of a line that the journal knows, if INPUT could not be compared with the journal before."""
        if self._known is None:
            return
        had_failed = self.options.resume_failed and self._known.status_of(key) in FAILURES
        self._known.see(key, number)
        if had_failed:
            if not self._ahead.has_room:
                await self._ahead.wait()
            self._again.add(key)
            self._again_from_pipe += len(await self.executor.retry(status=FAILURES, key=key))
        event = self._access.find(key)
        if event is not None and not event.status.is_terminal:
            self._renumber(event, number)

    async def _append_all(self, todo: dict[str, Line]) -> None:
        """Append the events of these lines. A line that is refused is taken out of ``todo``."""
        lines = iter(list(todo.items()))
        jobs: dict[UUID, KeyedJob] = {}  # the last one belongs to the event that is being appended
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
                await self._refuse_event(todo, next(reversed(jobs.values())), exc)

    # ---------------------------------------------------------------- ends

    def _follow(self, event: Event, _previous: EventStatus, status: EventStatus) -> None:
        """Write the result of an event whose end is in the journal. Called inside the event's transition."""
        self._ahead.reconsider()
        if not status.is_terminal or not self._is_started:
            return
        is_committed, outcome = self._access.committed_outcome(event)
        if not is_committed:
            return  # the journal was closed before it: the next run has the event run again
        number, line = line_of_event(
            event, status, outcome, self._access.key_of(event), with_traceback=self.options.traceback
        )
        if line_key(self._access.key_of(event)) in self._again:
            self.tally.again[status] += 1
        self._note_end(event, number, status, line)

    def _follow_retry(self, status: EventStatus, finished: float | None) -> None:
        """Forget the result of an event that runs again. Its line in the output is removed at the end of the run."""
        counts = self.tally.ended if finished is not None and finished >= self._began else self.tally.before
        if counts[status]:
            counts[status] -= 1
        self._has_retried = True

    async def _forget_ended(self) -> None:
        await checkpoint()  # with a journal, events that have ended leave memory by themselves
