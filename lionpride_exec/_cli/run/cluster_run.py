"""
A run whose lines go into the queue of a cluster, where the workers of all processes run them.

The server knows each line by its key. So the same command goes on where the last run was stopped. Two runs of the same
lines share the work: if another run has submitted the event of a line, this run follows the event too. At the start,
the results in the output are compared with the server. If the event of a result was retried, or has another end by now,
the result is removed. A result whose event the server has forgotten stays.

Unlike a journal, the server has no list of the lines that it knows. It is asked about the lines that are read, and
about those that have a result.
"""

from __future__ import annotations

import fcntl
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cluster import Cluster
from lionpride_exec._events.event import Event
from lionpride_exec._executor.cluster_access import ClusterAccess
from lionpride_exec._journal.codec import Unreadable, encode_key
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._tracking.progress import Progress
from lionpride_exec.errors import ClusterError, ConfigurationError, ExistsError, LionprideError

from .kept_results import KeptResults
from .keyed_run import PAUSE, KeyedJob, KeyedRun
from .known_events import HAD, Known
from .line_identity import line_key, mark_of_key
from .line_run import LineRun
from .read_ahead import OpenLines
from .stored_results import duration_of, line_of_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from uuid import UUID

    from lionpride_exec._executor.executor import Executor

    from .keyed_run import Line
    from .options import RunOptions
    from .stored_results import Told
    from .target import Target

# Lines of this run that may be in the queue and not ended. More are read as these end.
MAX_OPEN = 10_000

# Keys that the server is asked about at a time.
KEYS = 2000

# How many events of each level are looked at before the first line, to see whether they are those of another target.
LOOKED_AT = 20

# Seconds between two looks at the workers.
LOOK = 5.0


def build_cluster_executor(target: Target, options: RunOptions, url_file: str) -> Executor:
    """
    Return an executor of the target with a cluster.

    Args:
        target: What to run.
        options: How to run.
        url_file: The file with the URL of the server.

    Raises:
        UsageError: The cluster cannot be used, or cannot keep the events.
    """
    more: dict[str, Any] = {} if options.lease is None else {"lease": options.lease}
    name = "default" if options.queue is None else options.queue
    try:
        cluster = Cluster(url_file=url_file, queue=name, work=not options.no_work, types=target.types, **more)
    except ConfigurationError as exc:
        raise UsageError(f"--cluster {url_file}: {exc}") from exc
    executor = target.build(options.processor_config, cluster=cluster)
    try:
        ClusterAccess(executor).check_class()  # once, instead of a refusal for each line
    except TypeError as exc:
        raise UsageError(f"--cluster {url_file}: {exc}") from exc
    return executor


class ClusterRun(KeyedRun):
    """A run whose executor has a cluster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._access = ClusterAccess(self.executor)
        self._ahead = OpenLines(self.executor, MAX_OPEN)
        self._results = Known()  # of the events that have a result in the output
        self._forgotten = 0  # of these, events that the server does not know
        self._is_connected = False
        self._began_at = wall_clock.now()  # what has ended by then was done by earlier runs
        self._numbers: dict[str, int] = {}  # of the lines that are being appended, by their keys
        self._ended_of_batch: set[str] = set()  # keys of lines whose result was written meanwhile
        self._is_told_of_no_workers = False
        self.executor.pause()  # until the output has been compared with the server

    # ---------------------------------------------------------------- around the event loop

    @staticmethod
    def _refusal(leaf: BaseException) -> Exception:
        if isinstance(leaf, ClusterError):
            return ClusterError(str(leaf), retryable=leaf.retryable)
        return UsageError(str(leaf)) if isinstance(leaf, ConfigurationError) else LineRun._refusal(leaf)

    @property
    def _keeper(self) -> str:
        return self.output.name

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        async with self.executor:
            self._is_connected = True
            async with anyio.create_task_group() as watchers:
                watchers.start_soon(self._watch_workers)
                yield
                watchers.cancel_scope.cancel()

    async def _finish(self) -> None:
        """Wait until all lines have ended in any worker. After a Ctrl-C: until no line runs here."""
        await self.executor.join()
        await self.executor.stop()
        await self._access.catch_up()  # events that have ended here just now

    def _stop_reading(self) -> str:
        self._reading.cancel()
        if not self._is_connected:
            self._lifetime.cancel()
            return "stopping before the first line"
        self.executor.pause()  # events that wait here are given back
        here = self.executor.statistics().running
        return f"stopping; {here} running here may finish, Ctrl-C again cancels; what is in the queue goes on elsewhere"

    async def _watch_workers(self) -> None:
        """Count the workers now and then. Write a message if there are none, since no line would run."""
        while True:
            try:
                workers = [worker for worker in await self._access.queries.workers() if worker.alive]
                is_paused = await self._access.queries.is_paused()
            except ClusterError:  # it is told where it matters
                pass
            else:
                self.tally.workers = len(workers)
                why = "is paused" if is_paused else "" if workers else "has no worker"
                if why and not self._is_told_of_no_workers:
                    name = self._access.settings.queue
                    self.display.message(f"queue {name} {why}: lines wait there until that changes")
                self._is_told_of_no_workers = bool(why)
            await anyio.sleep(LOOK)

    def _look(self, to_come: float) -> Progress:
        done, left = self.tally.done, self.tally.unfinished
        rate = done / self.tally.elapsed if done and self.tally.elapsed > 0 else None
        seconds = None if rate is None else (left + to_come) / rate
        running = self._count_running()
        return Progress(
            total=done + left + round(to_come),
            done=done,
            pending=left - running,
            processing=running,
            by_status=self.tally.ended,
            rate=rate,
            seconds_left=seconds,
        )

    # ---------------------------------------------------------------- before the first event

    async def _get_ready(self) -> None:
        """Bring the output up to the server."""
        self._lock_output()
        await self._check_queue()
        known, kept = self._results, KeptResults(self.output, self._identity, self._results)
        try:
            async with aclosing(self._steps(kept.read(decides=False))) as steps:
                async for told in steps:
                    await self._ask_about(told)
            await self._check_input(known)
            for again in (kept.read, kept.settle) if known.lines else (kept.settle,):
                async with aclosing(self._steps(again())) as steps:
                    async for _ in steps:
                        pass
        except OSError as exc:
            raise UsageError(f"cannot go on with {self.output.name}: {exc.strerror or exc}") from exc
        self._lock_output()  # it may be another file by now
        self._began_at = wall_clock.now()
        self.executor.resume()
        self.tally.before = known.before
        if self._forgotten:
            are = "result is" if self._forgotten == 1 else "results are"
            self.display.message(
                f"{self._forgotten:,} {are} in {self.output.name} of lines that queue {self._access.settings.queue} "
                "does not know, or not any more: they count as done"
            )
        if not self.source.can_look_ahead:
            self._known = known

    async def _check_queue(self) -> None:
        """
        Refuse a queue with events that this process would take, and could not run.

        Raises:
            UsageError: Events of another target wait in the queue.
        """
        if not self._access.settings.work:
            return
        found = await self._access.find_foreign(LOOKED_AT)
        if found is not None:
            raise UsageError(
                f"in queue {self._access.settings.queue} wait events of another target ({found}): this process would "
                "take them, and cannot run them. Give another --queue; or --no-work, if lionpride-exec worker runs both"
            )

    def _lock_output(self) -> None:
        """Lock the output until its end, or the end of the process: two runs would mix their results."""
        try:
            fcntl.flock(self.output.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(f"another run writes {self.output.name}; give another --output") from exc

    async def _ask_about(self, results: Sequence[Told]) -> None:
        """Take note of results, and of what the server knows of their events."""
        for first in range(0, len(results), KEYS):
            told = [one for one in results[first : first + KEYS] if one.mark is not None]
            if len(told) < len(results[first : first + KEYS]):
                raise UsageError(
                    f"{self.output.name} has results whose lines are known by something else: give --id (or leave it "
                    "out) as in the run before, or give another --output"
                )
            keyed = [(one.mark, one.key, one) for one in told if one.mark is not None and one.key is not None]
            ends = await self._access.ends([encode_key(key) for _, key, _ in keyed])
            for (mark, _, one), (status, outcome) in zip(keyed, ends, strict=True):
                self._forgotten += not status
                # An event that was put back and has failed again has another duration.
                is_same = not status or (status == one.status and duration_of(outcome) == one.duration)
                self._results.add_result(mark, one.status if is_same else None)

    async def _check_input(self, known: Known) -> None:
        """
        Compare INPUT with the results, if it can be read twice.

        Raises:
            UsageError: INPUT has none of the lines that have a result.
        """
        if not (known.lines and self.source.can_look_ahead):
            return
        async with aclosing(self._steps(known.read_input(self.source, self.maker, self._identity))) as steps:
            async for _ in steps:
                pass
        if not (known.seen or self.options.changed_input or self.source.is_part):
            known.refuse_input(f"that have a result in {self.output.name}", "another --output", self.source.place)
        if known.missing:
            are = "line is" if known.missing == 1 else "lines are"
            where = "in the part of INPUT that is read" if self.source.is_part else "in INPUT any more"
            self.display.message(f"{known.missing:,} {are} in {self.output.name} but not {where}: not run, not counted")

    # ---------------------------------------------------------------- reading

    async def _take_all(self, todo: dict[str, Line]) -> None:
        """Submit the events of lines that have no result. Wait as long as the server cannot take them in."""
        for key, line in list(todo.items()):
            if self._known is not None:
                self._known.see(key, line.number)
            if (self._results.marks.get(mark_of_key(key)) or 0) & HAD:
                del todo[key]
        self._numbers, self._ended_of_batch = {key: line.number for key, line in todo.items()}, set()
        while todo:
            try:
                await self._take_ended(todo)
                await self._append_all(todo)
            except ClusterError as exc:
                if not exc.retryable:
                    raise
                self.display.message(f"lines {_shown(todo)} were not taken in: {exc}; they are tried again")
                await anyio.sleep(PAUSE)
            else:
                return

    async def _take_ended(self, todo: dict[str, Line]) -> None:
        """Write the results of lines whose events have ended, and take the lines out of ``todo``."""
        ended = await self._access.find_ended([encode_key(key) for key in todo])
        for key, event in zip(list(todo), ended, strict=True):
            if event is not None:
                await self._check_target(key, event)
                self._take_known(key, event)
                del todo[key]

    async def _append_all(self, todo: dict[str, Line]) -> None:
        """Append the events of these lines. A line that is refused is taken out of ``todo``."""
        jobs: dict[UUID, KeyedJob] = {}
        try:
            found: list[Any] = await self.executor.extend(
                self._events_of(iter(list(todo.items())), todo, jobs),
                lambda event: jobs[event.id].job.priority,
                key=lambda event: jobs[event.id].key,
            )
        except ClusterError:
            raise
        except (LionprideError, TypeError, ValueError):  # a line was refused; others may be in the queue by now
            await self._append_each(todo)
        else:
            for job, event in zip(jobs.values(), found, strict=True):
                await self._take_if_known(job, event)

    async def _append_each(self, todo: dict[str, Line]) -> None:
        """Append the events of these lines, each by itself, so that it is known which one is refused."""
        jobs: dict[UUID, KeyedJob] = {}
        async with aclosing(self._events_of(iter(list(todo.items())), todo, jobs)) as events:
            async for event in events:
                job = jobs[event.id]
                try:
                    found: Any = await self.executor.append(event, job.job.priority, wait=True, key=job.key)
                except ClusterError:
                    raise
                except (LionprideError, TypeError, ValueError) as exc:
                    if _is_of_another_class(exc):
                        raise UsageError(await self._other_target(job.key)) from exc
                    await self._refuse_event(todo, job, exc)
                else:
                    await self._take_if_known(job, found)

    async def _take_if_known(self, job: KeyedJob, found: object) -> None:
        """Take note that a line has an event that was submitted before, here or elsewhere."""
        if found is not job.job.event and isinstance(found, Event):
            await self._check_target(job.key, found)
            self._take_known(job.key, found)

    def _take_known(self, key: str, event: Event) -> None:
        """Write the result of an event that has the key of a line, if it has ended."""
        number = self._numbers[key]
        self._renumber(event, number)
        status = event.execution.status
        if status in TERMINAL and key not in self._ended_of_batch:
            self._ended_of_batch.add(key)
            line = self._line_of(event, status, encode_key(key))[1]
            ended_at = event.execution.finished_at
            if ended_at is not None and ended_at >= self._began_at:
                # A worker, perhaps this process, took the event while it stood in the queue before its line was read.
                self._note_end(event, number, status, line)
            else:
                self.tally.before[status] += 1
                self.output.put(line)

    async def _check_target(self, key: str, event: object) -> None:
        """
        Check that the event of a line is one of the target.

        Raises:
            UsageError: It is not.
        """
        if type(event) is not self.executor.event_type:
            raise UsageError(await self._other_target(key))

    async def _other_target(self, key: str) -> str:
        return (
            f"queue {self._access.settings.queue} knows line {self._numbers[key]:,} as that of another target "
            f"({await self._access.shown_of(encode_key(key))}): give another --queue; and another --output, if "
            f"{self.output.name} has the results of that target"
        )

    # ---------------------------------------------------------------- ends

    def _follow(self, event: Event, _previous: EventStatus, status: EventStatus) -> None:
        """Write the result of an event of a line that has ended somewhere. Called inside its transition."""
        self._ahead.reconsider()
        stored = self._access.key_of(event)
        key = line_key(stored)
        if status not in TERMINAL or key is None:
            return
        if key in self._numbers:
            self._renumber(event, self._numbers[key])
            self._ended_of_batch.add(key)
        number, line = self._line_of(event, status, stored)
        self._note_end(event, number, status, line)

    def _line_of(self, event: Event, status: EventStatus, key: str | None) -> tuple[int | None, bytes]:
        """Return the number of the line of an event that has ended, and its result, as the server has it."""
        outcome = self._access.stored_outcome(event)
        return line_of_event(event, status, outcome, key, with_traceback=self.options.traceback)


def _is_of_another_class(exc: Exception) -> bool:
    """Return whether an event was refused since the one with its key is of another class, or of an unknown one."""
    cause = exc.__cause__ if isinstance(exc, ExistsError) else None
    return isinstance(cause, TypeError) or (cause is not None and isinstance(cause.__cause__, Unreadable))


def _shown(todo: dict[str, Line]) -> str:
    numbers = [line.number for line in todo.values()]
    return f"{min(numbers):,} to {max(numbers):,}"
