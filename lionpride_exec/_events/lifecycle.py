"""
The lifecycle of an event: its record, the transitions between statuses, and the tasks that wait for its end.

:meth:`EventLifecycle._transition` is synchronous. So no cancellation can come between the change of the status, the
move to the next progression and the wake-up of the waiting tasks. An event without an executor also takes a status by
assignment.
"""

from __future__ import annotations

from traceback import clear_frames
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._base.exception_groups import error_in, is_retryable, traceback_of
from lionpride_exec._base.json_text import shown
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._model.element import Element, to_metadata
from lionpride_exec._model.execution import Attempt, Execution
from lionpride_exec._status import COMPLETED, PENDING, PROCESSING, TERMINAL, TRANSITIONS, EventStatus
from lionpride_exec.errors import ExecutorClosedError, InvalidTransition

from .running_event import NOT_RUNNING, running_here, runs_here
from .shown_fields import shown_with_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from contextvars import ContextVar
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from .chunk_buffer import ChunkBuffer
    from .host import EventHost, FailureCount
    from .intake import Intake
    from .running_event import RunningEvent

# An event that RateLimited delays again and again remembers this many attempts.
MAX_ATTEMPTS_KEPT = 100


_NOT_GIVEN: Any = Unset


def _event_metadata(value: Any) -> dict[str, Any]:
    """Return metadata as a new dict. Unlike for other elements, a value without a dict form raises ValueError."""
    if value is Unset or value is None:
        return {}
    metadata = to_metadata(value)
    if not metadata and value != {} and not hasattr(value, "keys") and not hasattr(value, "to_dict"):
        raise ValueError(f"metadata must be a dict or have a dict form, got {shown(value)}")
    return metadata


# The attributes of EventLifecycle that nearly every event gets after its construction.
_SET_LATER = ("_host", "_current_run")


def _reserve_attributes(cls: type[EventLifecycle]) -> None:
    """
    Make room in the instances of a class for the attributes that are set later.

    In CPython the instances of a class share one table of attribute names. After some 20 instances only one more name
    has room in the table. An instance with another name gets a dict of its own, of some 350 bytes. That would be each
    event of a list that is made before the first of them is run.
    """
    if hasattr(cls, "__del__"):
        return  # it would be called for the instance below, which has no fields
    instance = object.__new__(cls)
    for name in _SET_LATER:
        object.__setattr__(instance, name, None)


class EventLifecycle(Element):
    """
    The part of an event that holds its status and record, and lets tasks wait for its end.

    Args:
        metadata: A dict, or an object with a dict form. None becomes ``{}``.
        execution: The record of what has happened to the event.

    Raises:
        ValueError: The metadata have no dict form.
    """

    _keeps_names: ClassVar[bool] = True

    metadata: dict[str, Any] = attrs.field(default=_NOT_GIVEN, converter=_event_metadata)

    execution: Execution = attrs.field(factory=Execution)
    # These are class attributes until they are set, because the garbage collector visits each field of each event.
    if TYPE_CHECKING:
        # The interface of the executor. None if the event belongs to no executor.
        _host: EventHost | None = attrs.field(default=None, init=False)
        # The chunks of a streaming event and its readers. Made by the first reader or the first run.
        _feed: ChunkBuffer | None = attrs.field(default=None, init=False)
        # What is called with the event when it ends, or when it is known that it will not end. Nearly always one
        # function at most. Several are the keys of a dict, in their order.
        _at_end: Callable[[Any], None] | dict[Callable[[Any], None], None] | None = attrs.field(
            default=None, init=False
        )
        # The run of the event. NOT_RUNNING while no task runs it.
        _current_run: RunningEvent = attrs.field(default=NOT_RUNNING, init=False)
        # The number of the row of the event in the journal. 0 if it has none.
        _seq: int = attrs.field(default=0, init=False)
        # Whether the event was running when a process died, and so may have caused the crash.
        _is_suspect: bool = attrs.field(default=False, init=False)
        # The journal file with the end of the event, once the event has left the executor. None before that.
        _kept_in: Path | None = attrs.field(default=None, init=False)
        # The count of unseen failures. None if the event has not failed, or its failure was seen.
        _unseen: FailureCount | None = attrs.field(default=None, init=False)
        # The events that this one comes after, or their ids. After its end the ids, in case it runs again; () if it has
        # completed.
        _after: tuple[Any, ...] = attrs.field(default=(), init=False)
        # The ids of the events that had to end first, in any way, likewise.
        _any_end: frozenset[UUID] = attrs.field(default=frozenset(), init=False)
        # The context variables that the caller of ``append()`` has passed on, with their values.
        _carried: tuple[tuple[ContextVar[Any], Any], ...] = attrs.field(default=(), init=False)
        # How the event came in. None if nobody observed that.
        _intake: Intake | None = attrs.field(default=None, init=False)
    else:
        _host = _feed = _at_end = _kept_in = _unseen = _intake = None
        _after = _carried = ()
        _any_end = frozenset()
        _current_run = NOT_RUNNING
        _seq, _is_suspect = 0, False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _reserve_attributes(cls)

    def __repr__(self) -> str:
        return shown_with_fields(self)

    def __str__(self) -> str:
        # A class with a ``__repr__()`` of its own is shown by that method in messages too.
        is_plain = type(self).__repr__ is EventLifecycle.__repr__
        return f"{type(self).__name__}(id={self.id})" if is_plain else repr(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from .event_notebook import event_bundle  # noqa: PLC0415  for notebooks only

        return event_bundle(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a pickle or a copy, without the ties to this process and to the executor."""
        kept = self.__dict__ | {
            "_host": None,
            "_feed": None,
            "_at_end": None,
            "_seq": 0,
            "_is_suspect": False,
            "_kept_in": None,
            "_unseen": None,
        }
        kept.pop("_current_run", None)
        kept.pop("_carried", None)
        kept.pop("_intake", None)
        kept.pop("_after", None)
        kept.pop("_any_end", None)
        return kept | {"execution": attrs.evolve(self.execution)}  # a copy has a record of its own

    @property
    def status(self) -> EventStatus:
        """
        The status of the event.

        Assign a status, or its lower-case string, to move the event. In an executor the transition table decides which
        statuses are allowed. An event without an executor takes any status, for fixtures and restored records.

        Raises:
            ValueError: There is no such status.
            InvalidTransition: The event is in an executor, and the table does not allow the transition. Or the event
                has ended, and a journal has its end. Or workers of a cluster run it. Nothing has changed.
            RuntimeError: This is not the thread of the executor's event loop. Nothing has changed.
        """
        return self.execution.status

    @status.setter
    def status(self, value: EventStatus | str) -> None:
        if not isinstance(value, str):
            raise ValueError(f"Invalid status type: {type(value).__name__}")  # noqa: TRY004  the tested contract
        target = EventStatus(value)
        if self._host is not None:
            if self._host.runs_elsewhere:
                refusal = InvalidTransition(self.id, self.status, target)
                refusal.add_note("Workers of a cluster run the event. Executor.cancel() and skip() ask them to end it.")
                raise refusal
            self._host.coordination.check_thread()
            would_run_twice = target is PENDING and self._current_run.is_active  # PENDING would queue it
            if would_run_twice or self._host.has_unreported_outcome(self):
                raise InvalidTransition(self.id, self.status, target)
            self._transition(target)
            return
        if self._kept_in is not None and self.execution.status in TERMINAL:
            raise InvalidTransition(self.id, self.status, target)  # its journal has its end
        self.execution.status = target
        if target in TERMINAL:
            self._wake()

    def _set(self, name: str, value: Any) -> None:
        """Set an attribute like ``_host``, which is not a field, without the hooks of attrs for assignments."""
        object.__setattr__(self, name, value)

    # ---------------------------------------------------------------- the one door

    def _transition(
        self,
        target: EventStatus,
        *,
        response: Any = Unset,
        error: BaseException | UnsetType = Unset,
        interrupted: bool = False,
        at: datetime | None = None,
    ) -> None:
        """
        Move to another status: check, change, move the index, wake.

        Raises:
            InvalidTransition: The table does not allow it. Nothing has changed.
        """
        execution = self.execution
        previous = execution.status
        if target not in TRANSITIONS[previous]:
            raise InvalidTransition(self.id, previous, target)
        now = at or wall_clock.now()
        if target is PROCESSING:
            execution.started_at = now
            execution.attempt += 1
        elif target is PENDING:
            self._keep_attempt(error, now, interrupted=interrupted)
        else:
            execution.finished_at = now
            execution.response = response
            if target is COMPLETED:
                execution.error, execution.retryable = None, False
            else:
                execution.error, execution.retryable = error, is_retryable(error)
        execution.status = target
        if target is not PROCESSING:
            self._current_run.is_active = False
        try:
            if self._host is not None:
                self._host.moved(self, previous, target)
        finally:
            if target in TERMINAL and (self._at_end is not None or self._feed is not None):
                self._wake()

    def _forget_predecessors(self, target: EventStatus) -> None:
        """Keep what another run needs, at the end. Otherwise the last event of a chain would keep all before it."""
        if target is COMPLETED:
            self._set("_after", ())
            self._set("_any_end", frozenset())
        else:
            self._set("_after", tuple(getattr(one, "id", one) for one in self._after))

    def _keep_attempt(self, error: BaseException | UnsetType, now: datetime, *, interrupted: bool) -> None:
        """Add the run that has ended to the attempts of the record, because the event goes back to PENDING."""
        execution = self.execution
        known = error_in(error)
        if known is not None and (trace := traceback_of(known)) is not None:
            clear_frames(trace)  # a record of a run must not keep its variables alive
        attempt = Attempt(execution.attempt, execution.started_at or now, now, known, interrupted)
        execution.attempts = (*execution.attempts[1 - MAX_ATTEMPTS_KEPT :], attempt)
        execution.attempt = max(execution.attempt - interrupted, 0)
        execution.started_at = None

    def _refile(self) -> None:
        """Make the index of the executor agree with the status."""
        if self._host is not None:
            self._host.refile(self)

    def _wake(self) -> None:
        """Wake the tasks that wait for the end. The end has come, or is known not to come."""
        callbacks = self._at_end
        if callbacks is not None:
            object.__setattr__(self, "_at_end", None)  # as _set() does it, without the call
            if isinstance(callbacks, dict):
                for callback in callbacks:
                    callback(self)
            else:
                callbacks(self)
        if self._feed is not None:
            self._feed.end()

    # ---------------------------------------------------------------- waiting for the end

    async def wait(self) -> None:
        """
        Wait until the event has ended, in whichever final status. Read :meth:`result` afterwards.

        Raises:
            ExecutorClosedError: The executor was left, or removed the event, before the event ended. An event that is
                still in the executor stays PENDING.
            ClusterError: The server of the cluster refuses, or has lost the event.
            RuntimeError: Called inside the event, which would wait for itself.

        Cancellation: ends the wait only. The event goes on.
        """
        if runs_here.get():
            self._check_outside("end")
        if self.execution.status in TERMINAL:
            await checkpoint()
            return
        ended = anyio.Event() if self._host is None else self._host.new_signal()

        def tell(_: object) -> None:
            """Wake this task: the event has ended, or will not end."""
            ended.set()

        self._call_at_end(tell)
        away = self._reader_away()
        try:
            if away is None:
                await ended.wait()
            else:
                with away:
                    await ended.wait()
        finally:
            self._call_no_more(tell)
        self._check_ended()

    def _reader_away(self) -> AbstractContextManager[None] | None:
        """Return a context for a task that waits for the event. None if no context is needed."""
        return None if self._host is None else self._host.reader_away()

    def _may_produce(self) -> bool:
        """Return whether the event runs, or may still be run. If not, :meth:`wait` does not wait."""
        host = self._host
        may_run = self.execution.status not in TERMINAL and (host is None or not host.is_abandoned)
        return may_run or self._current_run.is_active

    def _check_outside(self, what: str) -> None:
        """Raise ``RuntimeError`` if the caller runs inside the event, which would then wait for itself."""
        if runs_here.get() and any(event is self for event in running_here()):
            raise RuntimeError(f"{self} would wait for its own {what}")

    def _call_at_end(self, callback: Callable[[Any], None]) -> None:
        """
        Call ``callback(event)`` once, when the event ends or is known not to end. If it has ended, call it at once.

        The callback runs inside the last transition, so it must neither raise nor wait. :meth:`_check_ended` raises
        if the event has not ended.
        """
        is_lost = not self._current_run.is_active and self._host is not None and self._host.is_abandoned
        if is_lost or self.execution.status in TERMINAL:
            callback(self)
        elif self._at_end is None:
            object.__setattr__(self, "_at_end", callback)  # as _set() does it, without the call
        elif isinstance(self._at_end, dict):
            self._at_end[callback] = None
        else:
            self._set("_at_end", {self._at_end: None, callback: None})

    def _call_no_more(self, callback: Callable[[Any], None]) -> None:
        """Remove a callback of :meth:`_call_at_end`."""
        if isinstance(self._at_end, dict):
            self._at_end.pop(callback, None)
            if not self._at_end:
                self._set("_at_end", None)
        elif self._at_end == callback:
            self._set("_at_end", None)

    def _check_ended(self) -> None:
        """
        Check that the event has ended. Called after a wait.

        Raises:
            ExecutorClosedError: The event has not ended, and is known not to end.
            ClusterError: The same, since the cluster has failed for good.
        """
        if self.execution.status not in TERMINAL:
            if self._host is not None:
                self._host.raise_lost()
            raise ExecutorClosedError(
                f"{self} did not end: its executor was left, or removed the event; "
                "an event that is still there stays PENDING and runs when the executor is started again"
            )
