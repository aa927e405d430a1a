"""``lionpride-exec worker``: work on the events of a queue, until a signal comes."""

from __future__ import annotations

import inspect
import os
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio

from lionpride_exec._base.exception_groups import is_of, leaves
from lionpride_exec._base.wording import counted, shown_rate
from lionpride_exec._executor.cluster_access import ClusterAccess
from lionpride_exec._executor.executor import Executor
from lionpride_exec._status import PENDING, TERMINAL, EventStatus
from lionpride_exec._validation import check_seconds
from lionpride_exec.errors import ClusterError, LionprideError, RateLimited

from .errors import UsageError
from .exit_status import COMPLETED, INTERRUPTED
from .run.display import CommandDisplay
from .run.error_report import user_traceback_of
from .run.log_display import showing_logs
from .run.stopping import StopSignals, status_after
from .run.target import describe, load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec._events.event import Event

    from .run.options import Backend

EXPECTED = (
    "an Executor with a cluster, such as Executor.of(Fetch, cluster=Cluster(...)), or a function without arguments "
    "that returns one"
)


def work(target: str, concurrency: int | None, grace: float, backend: Backend) -> int:
    """
    Work until a signal comes. Return the exit status.

    Args:
        target: ``module:name`` or ``path/to/file.py:name`` of the executor.
        concurrency: How many events may run at the same time. None if the executor decides.
        grace: Seconds that running events may take after the first signal.
        backend: The event loop to run on.

    Raises:
        UsageError: The target is no executor with a cluster, or an argument is out of range.
        ClusterError: The server is not reached, refuses the user, or refuses the queue.
    """
    try:
        check_seconds("--grace", grace, infinite_allowed=True)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    executor = load_executor(target)
    if concurrency is not None:
        try:
            executor.resize(concurrency_limit=concurrency)
        except ValueError as exc:
            raise UsageError(f"--concurrency {concurrency}: {exc}") from exc
    return Worker(executor, grace).run(backend)


def load_executor(text: str) -> Executor:
    """
    Load the executor that becomes a worker.

    Raises:
        UsageError: The object does not exist, or is no executor with a cluster.
    """
    found = load_object(text)
    if not isinstance(found, Executor):
        found = _called(found, text)
    if found.cluster is None:
        raise UsageError(f"{text} has no cluster; expected {EXPECTED}")
    found.cluster.work = True  # the same object may only submit in other processes, such as a web server
    return found


def _called(found: Any, text: str) -> Executor:
    """Return the executor that a function returns."""
    if isinstance(found, type) or not callable(found):
        what = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        raise UsageError(f"{text} is {what}; expected {EXPECTED}")
    try:
        inspect.signature(found).bind()
    except TypeError as exc:
        raise UsageError(f"{text} is a function with arguments ({exc}); expected {EXPECTED}") from exc
    try:
        made = found()
    except Exception as exc:
        raise UsageError(f"cannot call {text}: {describe(exc)}", user_traceback_of(exc)) from exc
    if not isinstance(made, Executor):
        if inspect.iscoroutine(made):
            made.close()  # else Python warns that it was never awaited
        raise UsageError(f"{text}() returns a {type(made).__name__}; expected {EXPECTED}")
    return made


class Worker:
    """
    An executor that works until a signal comes.

    Args:
        executor: It has a cluster, and has not been started.
        grace: Seconds that running events may take after the first signal.
    """

    def __init__(self, executor: Executor, grace: float) -> None:
        self._executor = executor
        self._access = ClusterAccess(executor)
        self._access.expect_no_look()
        self._grace = grace
        self._display = CommandDisplay()
        self._signals = StopSignals(executor, self._display, self._stop, grace=grace)
        self._tally = Tally()
        self._is_started = False
        self._starting: anyio.CancelScope  # made in the event loop
        self._stopping: anyio.Event

    def run(self, backend: Backend) -> int:
        """
        Work. Return the exit status.

        Raises:
            UsageError: The executor cannot be started.
            ClusterError: The server is not reached, refuses the user, or refuses the queue.
        """
        status = COMPLETED
        name, _, uvloop = backend.partition("+")
        try:
            with showing_logs(self._display.message, lambda: True):
                anyio.run(self._main, backend=name, backend_options={"use_uvloop": True} if uvloop else {})
        except BaseException as exc:
            if not self._is_started and isinstance(exc, Exception):
                raise _refusal(exc) from exc
            status = status_after(exc, self._display)
        if self._is_started:
            self._display.message(self._tally.summary(self._access.passed_on, self._access.unrecorded))
        return INTERRUPTED if self._signals.count and status == COMPLETED else status

    async def _main(self) -> None:
        self._stopping = anyio.Event()
        async with anyio.create_task_group() as helpers:
            await helpers.start(self._signals.watch)
            with anyio.CancelScope() as self._starting:
                async with self._executor:
                    self._begin()
                    await self._stopping.wait()
                    await self._executor.stop(self._grace)
            helpers.cancel_scope.cancel()

    def _begin(self) -> None:
        self._is_started = True
        self._tally.began = time.monotonic()
        self._access.observe_work(self._tally.note)
        settings, limit = self._access.settings, self._executor.statistics().concurrency_limit
        self._display.message(
            f"worker {self._access.worker_name} ({socket.gethostname()}:{os.getpid()}): queue {settings.queue} on "
            f"{settings.shown_url}, concurrency {limit}"
        )

    def _stop(self) -> str:
        """Take no more events. Return the message for the terminal."""
        if not self._is_started:
            self._starting.cancel()
            return "stopping before the first event"
        self._executor.pause()  # events that wait here are given back
        self._stopping.set()
        running = self._executor.statistics().running
        within = "" if self._grace == float("inf") else f" within {self._grace:g} s"
        return f"stopping; {running} running may finish{within}, Ctrl-C again cancels"


def _refusal(exc: Exception) -> Exception:
    """Return the error for an executor that cannot be started."""
    first = next(leaves(exc))
    if isinstance(first, ClusterError):
        return ClusterError(str(first), retryable=first.retryable)
    if isinstance(first, LionprideError):
        return UsageError(f"cannot start: {first}")
    return UsageError(f"cannot start: {describe(first)}", user_traceback_of(first))


class Tally:
    """What this process has done."""

    def __init__(self) -> None:
        self.began = 0.0
        self._ended = Counter[EventStatus]()
        self._again = Counter[str]()  # runs that were followed by another one, or will be

    def note(self, event: Event, _previous: EventStatus, status: EventStatus) -> None:
        """Count a run that has ended. Called at each transition of an event that this process works on."""
        if status in TERMINAL:
            self._ended[status] += 1
        elif status is PENDING and event.execution.attempts:
            last = event.execution.attempts[-1]
            is_refused = last.error is not None and any(is_of(leaf, RateLimited) for leaf in leaves(last.error))
            self._again["rate limited" if is_refused else "given back" if last.interrupted else "run again"] += 1

    def summary(self, passed_on: Mapping[str, int], unrecorded: Mapping[EventStatus, int]) -> str:
        """
        Return what this process has done, as one line.

        Args:
            passed_on: How many events other workers have to run, by reason.
            unrecorded: How many ends the server has not recorded, by status. These events have not ended.
        """
        ended, seconds = self._ended - Counter(unrecorded), time.monotonic() - self.began
        total = ended.total()
        parts = [f"{ended[status]:,} {status}" for status in EventStatus if ended[status]]
        parts += [f"{number:,} {what}" for what, number in [*self._again.items(), *passed_on.items()]]
        rate = shown_rate(total / seconds if seconds > 0 else 0.0)
        return f"{counted(total, 'event')}: {', '.join(parts or ['nothing done'])}; {seconds:.1f} s, {rate}"
