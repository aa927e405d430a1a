"""
Running an event once, and recording the outcome of the run.

Every run ends in ``_finish()``, by a transition of ``_events.lifecycle``. The outcome is decided before that, in
one step. It depends on what the run returned or raised, who cancelled the run, and whether the event runs again.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import attrs

from lionpride_exec._base.backend import current_time, timeout_deadline
from lionpride_exec._base.ctrl_c import is_of_ctrl_c
from lionpride_exec._base.exception_groups import (
    add_note,
    consists_of,
    is_cancellation,
    is_of,
    is_retryable,
    recorded,
    repr_of,
)
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._model.retry import Retry
from lionpride_exec._offload.pausable_timeout import PausableTimeout
from lionpride_exec._status import (
    ABORTED,
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    PROCESSING,
    SKIPPED,
    TERMINAL,
    EventStatus,
)
from lionpride_exec._validation import check_seconds
from lionpride_exec.errors import (
    ConfigurationError,
    EventCancelled,
    LionTimeoutError,
    PauseTooLong,
    RateLimited,
    Skip,
)

from .chunk_buffer import Idle
from .lifecycle import EventLifecycle
from .running_event import NOT_RUNNING, RunningEvent, runs_here

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from datetime import datetime

    from .host import EventHost


def _new_timeout(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> float | None:
    if value is not None:
        check_seconds(attribute.name, value, zero_allowed=False)
    return value


def _valid_options(event: RunnableEvent, _attribute: object, retry: Retry | None) -> None:
    """Check the timeouts and the retry of a new event, or a new retry. One call, since it runs for each event."""
    if event.timeout is not None:
        check_seconds("timeout", event.timeout, zero_allowed=False)
    if event.idle_timeout is not None:
        check_seconds("idle_timeout", event.idle_timeout, zero_allowed=False)
    if retry is not None and not isinstance(retry, Retry):
        raise ValueError(f"retry must be a Retry or None, got {retry!r}")


def is_closing(error: BaseException | UnsetType) -> bool:
    """Return whether the error closes the coroutine, which therefore cannot wait."""
    return issubclass(type(error), GeneratorExit)


class Unconfirmed(Exception):
    """The journal could not record the start of an event, so the event does not run."""


class RunnableEvent(EventLifecycle):
    """
    The part of an event that runs it once and records the outcome.

    Args:
        timeout: How many seconds a run may take. None for no limit.
        retry: Whether and when the event runs again.
    """

    _left_out: ClassVar[frozenset[str]] = frozenset({"metadata", "timeout", "idle_timeout", "retry", "streaming"})

    timeout: float | None = attrs.field(default=None, on_setattr=_new_timeout)
    idle_timeout: float | None = attrs.field(default=None, on_setattr=_new_timeout)
    retry: Retry | None = attrs.field(default=None, validator=_valid_options)

    def _perform(self) -> Awaitable[Any]:
        """Begin the work. Return an awaitable of the response."""
        raise NotImplementedError

    def _has_to_be_seen(self) -> bool:
        """Return whether a journal has to record the start before the run begins, because a crash depends on it."""
        return False

    async def invoke(self) -> None:
        """
        Run the event once and record the outcome. Read :attr:`response` or :meth:`result` afterwards.

        If several tasks call this at the same time, one of them runs the event, and the others wait for the end of the
        run. Nothing happens if the event is not PENDING. An ``Exception`` is recorded (FAILED), and so is the timeout
        of the event (CANCELLED).

        Raises:
            ConfigurationError: The event is in the queue of a cluster, whose workers run it.
            RuntimeError: Called inside the event, which would wait for itself.
            BaseException: An exception that is not an ``Exception`` is recorded and then raised again.

        Cancellation: the event ends CANCELLED and retryable, and the cancellation goes on.
        """
        host, run = self._host, self._current_run
        if host is not None and host.runs_elsewhere and self.execution.status not in TERMINAL:
            raise ConfigurationError(f"{self} is run by the workers of its cluster: await wait() instead of invoke()")
        if run.is_active or (host is not None and host.is_strict and host.has_unreported_outcome(self)):
            await self.wait()
        elif self.execution.status is PENDING:
            if run.scope is not None:
                # The scope belongs to the worker, whose task runs one event after the other.
                try:
                    await self._run(run)
                finally:
                    if run.is_given_up and self._current_run is run:
                        self._set("_current_run", NOT_RUNNING)
            else:
                await self._run_alone()

    def observe_response(self, response: object) -> None:
        """
        Let the :class:`Adaptive` limits of the running event know what is left, as an answer says in its headers.

        Read are the headers of OpenAI, Anthropic, GitHub and the drafts of the IETF: see ``docs/changing-limits.md``.
        Until the reset, the calls that are left are spread evenly. Nothing happens if the headers do not say, if the
        event has no such limit, or if no executor runs it. O(running events).

        Args:
            response: The answer of any client, with its headers as ``headers``; or the headers: a mapping or pairs.
        """
        if self._host is not None:
            from lionpride_exec._clients.allowance import allowance_of  # noqa: PLC0415  few events need it

            if (allowance := allowance_of(response)) is not None:
                self._host.observe_allowance(self, allowance)

    async def _run_alone(self) -> None:
        """Run the event for a caller who is no worker."""
        run = RunningEvent(self)
        self._set("_current_run", run)
        try:
            with anyio.CancelScope() as run.scope:
                await self._run(run)
        finally:
            if self._current_run is run:
                self._set("_current_run", NOT_RUNNING)

    async def _run(self, run: RunningEvent) -> None:
        host, late, scope = self._host, False, None
        began, around = (current_time(), None) if host is None else (host.clock(), host.around)
        timeout = self.timeout or run.timeout
        run.is_active = True
        context = runs_here.set((*runs_here.get(), run))
        try:
            waits = host is not None and host.is_recording and host.waits_to_begin(self)
            self._transition(PROCESSING)  # after the line above: the journal forgets what was written ahead
            if waits and host is not None:
                await host.confirm_start(self)
            if timeout is None:
                response = await (self._perform() if around is None else around(self))
            else:
                response = Unset
                with anyio.CancelScope(deadline=timeout_deadline(timeout)) as scope:
                    run.time_left = PausableTimeout(scope)
                    response = await (self._perform() if around is None else around(self))
                late = scope.cancelled_caught
        except Idle as exc:
            await self._finish_failed(run, exc.error, began, CANCELLED)
        except Exception as exc:  # noqa: BLE001  every exception of user code is an outcome
            if scope is not None and scope.cancel_called:
                _note_timeout(exc, timeout)
            await self._finish_failed(run, exc, began, FAILED)
        except BaseException as exc:
            await self._finish_failed(run, exc, began, FAILED)
            raise
        else:
            if late:
                error = LionTimeoutError(f"Operation timed out after {timeout}s", retryable=True)
                await self._finish_failed(run, error, began, CANCELLED)
            else:
                waiting = self._finish(run, COMPLETED, began, response=response)
                if waiting is not None:
                    await waiting
        finally:
            run.scope = None
            runs_here.reset(context)

    async def _finish_failed(
        self, run: RunningEvent, error: BaseException, began: float, otherwise: EventStatus
    ) -> None:
        """Record the outcome of a run that has ended with an error."""
        forced = run.forced_outcome
        interrupted = False
        has_ctrl_c = is_of_ctrl_c(error)
        if has_ctrl_c or is_cancellation(error):
            otherwise = CANCELLED
            if has_ctrl_c:
                error = EventCancelled("interrupted by Ctrl-C", retryable=True)
            if forced is not None:
                otherwise, error = forced
            else:
                interrupted = has_ctrl_c or self._is_interrupted()  # otherwise the event cancelled itself
                if interrupted and self._give_back(error, began, interrupted=True):
                    otherwise = PENDING
        elif forced is None:
            if consists_of(error, Skip):
                otherwise = SKIPPED
            else:
                interrupted = consists_of(error, (RateLimited, Unconfirmed))
                try:
                    if self._give_back(error, began, interrupted=interrupted):
                        otherwise = PENDING
                except PauseTooLong as exc:
                    error = exc.with_traceback(
                        None
                    )  # the cause has the traceback; a second one would make a reference cycle
        waiting = self._finish(run, otherwise, began, error=recorded(error), interrupted=interrupted)
        if waiting is not None:
            await waiting

    def _is_interrupted(self) -> bool:
        return anyio.current_effective_deadline() == -inf or (self._host is not None and self._host.is_interrupted)

    def _give_back(self, error: BaseException, began: float, *, interrupted: bool) -> bool:
        """Offer the event to its executor for another run. Return whether it runs again."""
        if self._host is None or not (interrupted or (is_of(error, Exception) and is_retryable(error))):
            return False
        # A reader keeps the chunks that it has taken, so no other run may follow. RateLimited still closes the keys.
        was_taken = self._feed is not None and self._feed.was_taken
        is_final = was_taken and (not interrupted or consists_of(error, RateLimited))
        try:
            return self._host.plan_retry(self, error, began=began, interrupted=interrupted, is_final=is_final)
        except PauseTooLong:
            raise
        except Exception as exc:  # noqa: BLE001  a function of the Retry failed; keep the outcome
            add_note(error, f"It was not run again, since its retry failed: {repr_of(exc)}")
            return False

    def _finish(
        self,
        run: RunningEvent,
        target: EventStatus,
        began: float,
        *,
        response: Any = Unset,
        error: BaseException | UnsetType = Unset,
        interrupted: bool = False,
    ) -> Coroutine[Any, Any, None] | None:
        """
        Record an outcome, and return None. If recording has to wait, return a coroutine that records the outcome.

        Recording waits while a task holds a lock that the move needs, or if the journal has to write the end first.
        """
        execution, host = self.execution, self._host
        execution.duration = (current_time() if host is None else host.clock()) - began
        if execution.status is not PROCESSING:  # another task, or the stream itself, has set the status
            self._leave_as_decided(run)
        elif host is not None and host.is_strict:
            return self._finish_on_disk(run, host, target, response, error, interrupted=interrupted)
        # A coroutine that is being closed cannot wait.
        elif (
            host is None
            or not host.coordination.locks_in_use  # asked first: the call costs more than all else here
            or host.locks_needed(execution.status, target) is None
            or is_closing(error)
        ):
            self._transition(target, response=response, error=error, interrupted=interrupted)
        else:
            return self._finish_unlocked(run, host, target, response, error, interrupted=interrupted)
        return None

    def _leave_as_decided(self, run: RunningEvent) -> None:
        execution = self.execution
        run.is_active = False
        execution.finished_at = execution.finished_at or wall_clock.now()
        self._wake()

    async def _finish_on_disk(
        self,
        run: RunningEvent,
        host: EventHost,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType,
        *,
        interrupted: bool,
    ) -> None:
        """Record an outcome that must be on disk before any task can see it."""
        at, cut = await self._confirm(host, target, response, error)
        if self.execution.status is not PROCESSING:
            self._leave_as_decided(run)
        elif not host.coordination.locks_in_use:
            self._transition(target, response=response, error=error, interrupted=interrupted, at=at)
        else:
            await self._finish_unlocked(run, host, target, response, error, interrupted=interrupted, at=at)
        if cut is not None:
            raise cut

    async def _finish_unlocked(
        self,
        run: RunningEvent,
        host: EventHost,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType,
        *,
        interrupted: bool,
        at: datetime | None = None,
    ) -> None:
        """Wait until no task holds a lock that the last transition needs. Then make that transition."""
        execution = self.execution
        turn = host.locks_needed(execution.status, target)
        if turn is None or is_closing(error):
            self._transition(target, response=response, error=error, interrupted=interrupted, at=at)
            return
        # The run has ended, and its outcome must be recorded: also after a cancellation, after one of asyncio's own,
        # which passes the shield, and when this task itself holds the lock.
        try:
            with anyio.CancelScope(shield=True):
                async with turn:
                    pass
        except RuntimeError:  # from AnyIO: this task holds the lock
            pass
        finally:
            if run.forced_outcome is not None and target is PENDING:
                target, error = run.forced_outcome  # cancelled meanwhile, so the event does not run again
            if execution.status is PROCESSING:
                self._transition(target, response=response, error=error, interrupted=interrupted, at=at)
            run.is_active = False

    async def _confirm(
        self, host: EventHost, target: EventStatus, response: Any, error: BaseException | UnsetType
    ) -> tuple[datetime, BaseException | None]:
        """
        Wait until the end is on disk, unless the event runs again.

        Returns:
            The time of the end, and the exception that interrupted the wait. The caller raises it after the transition.
        """
        at = wall_clock.now()
        if target is PENDING or isinstance(error, GeneratorExit):  # a coroutine that is being closed cannot wait
            return at, None
        try:
            await host.confirm_end(self, target, response, error, at)
        except BaseException as exc:  # noqa: BLE001  raised by the caller
            return at, exc
        return at, None

    async def _refuse(self, error: BaseException) -> None:
        """End an event that never started as ABORTED."""
        at, cut = None, None
        if self._host is not None and self._host.is_strict:
            at, cut = await self._confirm(self._host, ABORTED, Unset, error)
        turn = None if self._host is None else self._host.locks_needed(self.status, ABORTED)
        async with turn or nullcontext():
            if self.status is PENDING:
                self._transition(ABORTED, error=error, at=at)
        if cut is not None:
            raise cut


def _note_timeout(error: Exception, timeout: float | None) -> None:
    """Add a note on the timeout to an error of cleanup code, which replaced the timeout."""
    with suppress(Exception):  # an error may refuse notes
        error.add_note(f"The event was over its timeout of {timeout} s when this was raised.")
