"""
One run: from lines to events to results, and what Ctrl-C does.

The reader appends events to the executor, whose queue is bounded, and waits for room in the queue. An observer makes a
line for the output of each event that ends. The executor forgets events that have ended before lines are written, and
when there are many. So the options bound what is in memory, however long INPUT is.
"""

from __future__ import annotations

from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._base.redaction import NO_SECRETS, mask, secrets_of
from lionpride_exec._cli.errors import BadLineError, OutputError, UsageError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE, INTERRUPTED, MISUSED
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import LionprideError

from .display import make_display
from .error_report import Failures, user_traceback_of
from .exit_exceptions import silence_asyncio
from .in_order import InOrder
from .lines import result_line
from .log_lines import showing_log
from .read_ahead import ReadAhead
from .result_shapes import shape_of
from .stopping import StopSignals, status_after
from .summary import Tally
from .summary_file import summary_of, write_summary
from .target import describe

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._tracking.progress import Progress

    from .input_files import InputFiles
    from .inputs.records import Line
    from .lines import Job, JobMaker
    from .options import RunOptions
    from .output import Output

# How many events that have ended are kept until the next write at most.
ENDED_KEPT = 256


class LineRun:
    """
    A run and its parts.

    Args:
        executor: Runs the events. It has not been started.
        maker: Makes events of lines.
        source: INPUT. The caller closes it.
        output: Takes the results. :meth:`run` closes it.
        options: ``backend``, ``progress`` and ``quiet`` are used.
    """

    def __init__(
        self, executor: Executor, maker: JobMaker, source: InputFiles, output: Output, options: RunOptions
    ) -> None:
        self.executor = executor
        self.maker = maker
        self.source = source
        source.tell = self._tell_of_unread
        self.output = output
        self.options = options
        self.failures = Failures()
        self.tally = Tally(
            fraction=lambda: source.fraction,
            running=self._count_running,
            look=self._look,
            statistics=executor.statistics,
        )
        self.display = make_display(options)
        self._signals = StopSignals(executor, self.display, self._stop_reading)
        self._is_started = False
        self._has_read_all = True  # so far; at the end, whether all of INPUT was read
        self._is_at_end = False  # no line of INPUT is left to be read
        self._last_line = 0  # the number of the line that was read last
        # Line number and record of each event that has not ended. Events that other events append are not here.
        self._open: dict[UUID, tuple[int, bytes]] = {}
        self._ahead = ReadAhead(executor, options.max_waiting)
        self._shape = shape_of(options)
        self._order = InOrder(self._write_result) if options.ordered else None
        self._ended = 0  # events that ended since the executor last forgot events
        self._reading: anyio.CancelScope  # made in the event loop
        self._bound = options.error_bound
        self._giving_up: anyio.Event  # set once there are more errors
        self._lifetime: anyio.CancelScope  # of the executor; made in the event loop

    def run(self) -> int:
        """
        Run to the end and show the summary. Return the exit status.

        Raises:
            UsageError: The executor cannot be started.
            ClusterError: The server of its cluster is not reached, or refuses.
        """
        status = MISUSED
        try:
            with showing_log(self.options, self.executor, self.display.message, lambda: self._is_telling):
                status = self._run_loop()
        finally:
            if self._order is not None:
                self._order.flush()
            self._has_read_all = self._has_read_all and self._is_at_end
            has_run = self._is_started and (self._has_begun() or not (self.interrupts or status == INTERRUPTED))
            status = max(status, self._close_output(has_run=has_run))
            self.display.close()
        if not self.options.quiet:
            self.display.message(self._summary())
            self._tell_of_left()
            if self.interrupts or status == INTERRUPTED:
                self._tell_of_a_stop()
            is_brief = not (self.options.tells_traceback or self.options.traceback)
            self.failures.tell(self.source.place, is_brief=is_brief)
            if (message := self._shape.message()) is not None:
                self.display.message(message)
        status = max(status, COMPLETED if self._is_complete() else INCOMPLETE)
        return self._write_summary(INTERRUPTED if self.interrupts else status)

    def _write_summary(self, status: int) -> int:
        """Write the file of ``--summary``. Return the exit status."""
        path, counts = self.options.summary, self.failures.counts
        if path is not None:
            try:
                write_summary(path, summary_of(self.tally, counts, status, has_read_all=self._has_read_all))
            except OSError as exc:
                self.display.message(f"cannot write {path}: {exc.strerror or exc}")
                return status or INCOMPLETE
        return status

    def _tell_of_left(self) -> None:
        """Tell how to go on with lines that this run has left as they are."""

    def _tell_of_a_stop(self) -> None:
        place = "before the first line"
        if self._last_line:
            file, unit, number = self.source.find(self._last_line)
            place = f"after {unit} {number:,} of {file}"
        self.display.message(
            f"stopped {place}: a line without a result is not done; "
            "with --journal FILE the same command goes on where it was stopped"
        )

    @property
    def _is_telling(self) -> bool:
        """Whether log messages are shown."""
        return True

    def _has_begun(self) -> bool:
        """Whether a line has become an event."""
        return self.tally.events > 0

    def _summary(self) -> str:
        return self.tally.summary()

    def _is_complete(self) -> bool:
        return self.tally.all_completed and self._has_read_all

    @property
    def interrupts(self) -> int:
        """How many signals to stop have come."""
        return self._signals.count

    # ---------------------------------------------------------------- around the event loop

    def _run_loop(self) -> int:
        backend, _, uvloop = self.options.backend.partition("+")
        backend_options = {"use_uvloop": True} if uvloop else {}
        try:
            anyio.run(self._main, backend=backend, backend_options=backend_options)
        except BaseException as exc:
            first = next(leaves(exc))
            if isinstance(first, UsageError):
                raise first from exc
            if not self._is_started and isinstance(exc, Exception):
                raise self._refusal(first) from exc
            return status_after(exc, self.display)
        return COMPLETED

    @staticmethod
    def _refusal(leaf: BaseException) -> Exception:
        """Return the error to raise for an executor that cannot be started."""
        return UsageError(f"cannot start: {describe(leaf)}", user_traceback_of(leaf))

    def _close_output(self, *, has_run: bool) -> int:
        try:
            self.output.close(has_run=has_run)
        except OutputError as exc:
            self.display.message(str(exc))
            return INCOMPLETE
        return COMPLETED

    # ---------------------------------------------------------------- inside the event loop

    async def _main(self) -> None:
        self._reading = anyio.CancelScope()
        self._giving_up = anyio.Event()
        self.executor.observe(self._follow)
        async with anyio.create_task_group() as helpers:
            await helpers.start(self._signals.watch)
            helpers.start_soon(self._show_progress)
            helpers.start_soon(self._give_up)
            if self.options.web is not None:
                from .beside import show_dashboard  # noqa: PLC0415  needs the extra

                await helpers.start(show_dashboard, self.executor, self.options, self.display.message)
            with self._reading:
                await self.source.check_streams()
            self._reading = anyio.CancelScope(deadline=-inf if self.interrupts else inf)
            with anyio.CancelScope() as self._lifetime:
                async with self._running():
                    with self._reading:
                        await self._get_ready()
                        self._is_started = True
                        helpers.start_soon(self.output.run, self._forget_ended)
                        await self._read()
                        self._is_at_end = True
                    await self._finish()
            helpers.cancel_scope.cancel()

    def _running(self) -> AbstractAsyncContextManager[object]:
        """Return a context in which the executor runs."""
        return self.executor

    async def _finish(self) -> None:
        """Do what is left after the last line, while the executor runs."""
        if self.interrupts:  # the first Ctrl-C may have come before the executor was started
            await self.executor.stop()

    async def _get_ready(self) -> None:
        """Prepare the run, between the start of the executor and the first event."""

    async def _read(self) -> None:
        if self.source.is_empty and not self.options.quiet:
            self.display.message(f"{self.source.name} is empty")
        await self._read_lines()

    def _tell_of_unread(self, message: str) -> None:
        """Write a message about a file that cannot be read to its end."""
        self._has_read_all = False
        self.display.message(message)

    async def _read_lines(self) -> None:
        async with aclosing(self.source.lines()) as lines:
            async for number, line in lines:
                if not self.maker.is_blank(line):
                    await self._take(number, line)

    async def _take(self, number: int, line: Line) -> None:
        self._last_line = number
        try:
            await self._append(number, self.maker.make(line, number))
        except BadLineError as exc:
            await self._refuse(number, exc)
        if self._ended >= ENDED_KEPT:
            await self._forget_ended()
        await self.output.wait_for_room()
        if self._order is not None:
            await self._order.wait_for_room()

    async def _refuse(self, number: int, reason: BadLineError) -> None:
        self.tally.bad += 1
        self.display.message(f"{self.source.place(number)}: {reason}")
        self._check_errors(reason)
        await checkpoint()  # many bad lines in a row must not block the event loop

    async def _append(self, number: int, job: Job) -> None:
        if not self._ahead.has_room:
            await self._ahead.wait()
        event_id = job.event.id
        if event_id in self._open:
            raise BadLineError(f"there is an event with the id {event_id} already")
        self._open[event_id] = (number, job.record)
        self.tally.events += 1
        if self._order is not None:
            self._order.expect(number)
        try:
            await self.executor.append(job.event, job.priority, wait=True)
        except (LionprideError, TypeError, ValueError) as exc:
            del self._open[event_id]
            self.tally.events -= 1
            if self._order is not None:
                self._order.put(number, None)
            raise BadLineError(mask(describe(exc), job.secrets)) from exc

    def _follow(self, event: Event, _previous: EventStatus, status: EventStatus) -> None:
        """Write the result of an event that has ended. Called inside its transition."""
        self._ahead.reconsider()
        if not status.is_terminal:
            return
        number, record = self._open.pop(event.id, (None, b"null"))
        if number is None:  # another event, or the executor itself, has appended it
            self.tally.events += 1
        self._ended += 1
        line = result_line(event, record, number, with_traceback=self.options.traceback)
        self._note_end(event, number, status, line)

    def _note_end(self, event: Event, number: int | None, status: EventStatus, line: bytes) -> None:
        """Count an event that has ended, and put its result into the output."""
        error = event.execution.error
        self.tally.ended[status] += 1
        self.failures.note(event, number)
        if self._order is None:
            self._write_result(line)
        else:
            self._order.put(number, line)
        self._check_errors(error, secrets_of(event))
        if isinstance(error, SystemExit | KeyboardInterrupt) and self.options.backend != "trio":
            silence_asyncio()

    def _write_result(self, line: bytes) -> None:
        self.output.put(self._shape.convert(line))

    async def _forget_ended(self) -> None:
        self._ended = 0
        await self.executor.cleanup_events(TERMINAL)

    def _check_errors(self, error: object, secrets: frozenset[str] = NO_SECRETS) -> None:
        """Start nothing more once there are too many errors. ``error`` is the last one."""
        bound = self._bound
        if bound is None or self._giving_up.is_set() or not bound.is_exceeded(self.tally.errors):
            return
        self.executor.pause()
        self._reading.cancel()
        last = f"; the last one: {mask(describe(error), secrets)}" if isinstance(error, BaseException) else ""
        self.display.message(f"stopping: {bound.too_many(self.tally.errors)}{last}")
        self.display.message(f"{self._count_running():,} running may finish, nothing more is started; {self._way_on()}")
        self._giving_up.set()

    def _way_on(self) -> str:
        """Return how to go on after a run with too many errors."""
        return "with --journal FILE a run goes on where it was stopped"

    async def _give_up(self) -> None:
        await self._giving_up.wait()
        await self.executor.stop()

    def _look(self, to_come: float) -> Progress:
        return self.executor.progress(to_come=to_come)

    def _count_running(self) -> int:
        return self.executor.status_counts()[EventStatus.PROCESSING]

    async def _show_progress(self) -> None:
        while True:
            await anyio.sleep(self.display.interval)
            self.display.update(self.tally)

    def _stop_reading(self) -> str:
        """Read no more lines. Return the message about that."""
        self._reading.cancel()
        return f"stopping; {self._count_running()} running may finish, Ctrl-C again cancels"
