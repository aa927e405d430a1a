"""
The life of an event: its record, the way from one status to the next, and those who wait for its end.

:meth:`EventLifecycle._transition` is synchronous, so a cancellation cannot fall between the status of an event, the
progression it stands in and the wake-up of those who wait for it. (Past that door only the record of an event that
belongs to no executor can be set by hand.)
"""

from __future__ import annotations

from contextvars import ContextVar
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._base.exception_groups import error_in, is_retryable, traceback_of
from lionpride_exec._base.json_text import shown
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._model.element import Element, to_metadata
from lionpride_exec._model.execution import Attempt, Execution, utc_now
from lionpride_exec._status import TERMINAL, TRANSITIONS, EventStatus
from lionpride_exec.errors import ExecutorClosedError, InvalidTransition

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from .chunk_buffer import ChunkBuffer
    from .host import EventHost, FailureCount

# The events that run in the current context, outermost first. An event that waits for one of them, itself
# included, would wait for ever.
running_events: ContextVar[tuple[EventLifecycle, ...]] = ContextVar("running_events", default=())


def running_here() -> list[EventLifecycle]:
    """Give the events that run, or whose gate is asked, in the current context and have not ended."""
    # A task that outlives the event in which it was started goes on having it in its context.
    return [event for event in running_events.get() if event.execution.status not in TERMINAL]


# Of an event that is put off again and again by RateLimited the last ones are remembered.
MAX_ATTEMPTS_KEPT = 100


_NOT_GIVEN: Any = Unset


def _event_metadata(value: Any) -> dict[str, Any]:
    """Return metadata as a new dict; unlike those of other elements, what is given is never dropped."""
    if value is Unset or value is None:
        return {}
    metadata = to_metadata(value)
    if not metadata and value != {} and not hasattr(value, "keys") and not hasattr(value, "to_dict"):
        raise ValueError(f"metadata must be a dict or have a dict form, got {shown(value)}")
    return metadata


class EventLifecycle(Element):
    """
    What an event is beside what it does.

    Args:
        metadata: A dict, or an object with a dict form; None becomes ``{}``.
        execution: The record of what happened.

    Raises:
        ValueError: The metadata have no dict form.
    """

    _keeps_names: ClassVar[bool] = True

    metadata: dict[str, Any] = attrs.field(default=_NOT_GIVEN, converter=_event_metadata)

    execution: Execution = attrs.field(factory=Execution)
    # What most events never have is no field: the garbage collector looks at each field of each event there is.
    if TYPE_CHECKING:
        # What it sees of the executor that it belongs to. None if it belongs to none.
        _host: EventHost | None = attrs.field(default=None, init=False)
        # What a streaming event has produced, and its readers; made by the first reader, or the first run.
        _feed: ChunkBuffer | None = attrs.field(default=None, init=False)
        # Called with the event when it ends, or when that will not come; a dict, for its keys.
        _at_end: dict[Callable[[Any], None], None] | None = attrs.field(default=None, init=False)
        # How a run that is being cancelled is to end, and its error then.
        _verdict: tuple[EventStatus, BaseException] | None = attrs.field(default=None, init=False)
        # Its number in the journal of its executor; 0: it has none.
        _seq: int = attrs.field(default=0, init=False)
        # It was open when a process died, and may be what it died of.
        _is_suspect: bool = attrs.field(default=False, init=False)
        # The file of the journal that has its end, once the event stands in no executor any more; else None.
        _kept_in: Path | None = attrs.field(default=None, init=False)
        # The count of failures in which it stands. None if it has not failed, or somebody has looked at it.
        _unseen: FailureCount | None = attrs.field(default=None, init=False)
    else:
        _host = _feed = _at_end = _verdict = _kept_in = _unseen = None
        _seq, _is_suspect = 0, False

    def __getstate__(self) -> dict[str, Any]:
        """Give what a pickle or a copy has: all but what ties the event to this process and its executor."""
        kept = self.__dict__ | {
            "_host": None,
            "_feed": None,
            "_at_end": None,
            "_verdict": None,
            "_seq": 0,
            "_is_suspect": False,
            "_kept_in": None,
            "_unseen": None,
        }
        return kept | {"execution": attrs.evolve(self.execution)}  # without its run, which goes on here only

    @property
    def status(self) -> EventStatus:
        """
        Where the event stands.

        Assigning a status (or its lower-case string) moves the event. An event that stands in no executor takes
        any status, as a fixture or a restored record needs; in an executor the transition table rules.

        Raises:
            ValueError: No such status.
            InvalidTransition: The executor's event cannot go there from here, or it has ended and a journal has it.
                Nothing has changed.
        """
        return self.execution.status

    @status.setter
    def status(self, value: EventStatus | str) -> None:
        if not isinstance(value, str):
            raise ValueError(f"Invalid status type: {type(value).__name__}")  # noqa: TRY004  the tested contract
        target = EventStatus(value)
        if self._host is not None:
            would_run_twice = target is EventStatus.PENDING and self.execution._running  # it would be queued
            if would_run_twice or self._host.is_end_noted(self):
                raise InvalidTransition(self.id, self.status, target)
            self._transition(target)
            return
        if self._kept_in is not None and self.execution.status in TERMINAL:
            raise InvalidTransition(self.id, self.status, target)  # its executor has let it go, but not its journal
        self.execution.status = target
        if target in TERMINAL:
            self._wake()

    def _set(self, name: str, value: Any) -> None:
        """Set an attribute that is no field, such as ``_host``, past the hooks that attrs runs at each assignment."""
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
        now = at or utc_now()
        if target is EventStatus.PROCESSING:
            execution.started_at = now
            execution.attempt += 1
        elif target is EventStatus.PENDING:
            started = execution.started_at or now
            known = error_in(error)
            if known is not None and (trace := traceback_of(known)) is not None:
                clear_frames(trace)  # a record of a run must not keep its variables alive
            attempt = Attempt(execution.attempt, started, now, known, interrupted)
            execution.attempts = (*execution.attempts[1 - MAX_ATTEMPTS_KEPT :], attempt)
            execution.attempt = max(execution.attempt - interrupted, 0)
            execution.started_at = None
        else:
            execution.finished_at = now
            execution.response = response
            completed = target is EventStatus.COMPLETED
            execution.error = None if completed else error
            execution.retryable = not completed and is_retryable(error)
        execution.status = target
        execution._running = execution._running and target is EventStatus.PROCESSING
        try:
            if self._host is not None:
                self._host.moved(self, previous, target)
        finally:
            if target in TERMINAL:
                self._wake()

    def _refile(self) -> None:
        """Have the executor's index agree with the status, whatever was filed in advance."""
        if self._host is not None:
            self._host.refile(self)

    def _wake(self) -> None:
        """Tell those who wait for the end that it has come, or that it will not."""
        if self._at_end is not None:
            callbacks, self._at_end = self._at_end, None
            for callback in callbacks:
                callback(self)
        if self._feed is not None:
            self._feed.end()

    # ---------------------------------------------------------------- waiting for the end

    async def wait(self) -> None:
        """
        Return once the event has ended, however it ended.

        Raises:
            ExecutorClosedError: Its executor was left, or removed the event, before it ended.
            RuntimeError: Called from inside the event itself, which could never return.

        Cancellation: leaves the event as it is.
        """
        self._check_outside("end")
        if self.execution.status in TERMINAL:
            await checkpoint()
            return
        ended = anyio.Event()

        def tell(_: object) -> None:
            """Learn that it has ended, or never will."""
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
        """Return the context of a task that waits for the event. None if there is nothing to enter."""
        return None if self._host is None else self._host.reader_away()

    def _may_produce(self) -> bool:
        """Return whether the event runs, or may still be run. If not, :meth:`wait` does not wait."""
        execution, host = self.execution, self._host
        return execution._running or (execution.status not in TERMINAL and (host is None or not host.is_abandoned))

    def _check_outside(self, what: str) -> None:
        """Raise ``RuntimeError`` if the caller runs inside the event, which would then wait for itself."""
        if any(event is self for event in running_here()):
            raise RuntimeError(f"{self!r} would wait for its own {what}")

    def _call_at_end(self, callback: Callable[[Any], None]) -> None:
        """
        Have ``callback(event)`` called once: when the event ends, or when it is known that it will not; now, if so.

        It runs inside the last transition, so it must neither raise nor wait. :meth:`_check_ended` tells the two apart.
        """
        is_lost = not self.execution._running and self._host is not None and self._host.is_abandoned
        if is_lost or self.execution.status in TERMINAL:
            callback(self)
        elif self._at_end is None:
            self._at_end = {callback: None}
        else:
            self._at_end[callback] = None

    def _call_no_more(self, callback: Callable[[Any], None]) -> None:
        """Take back :meth:`_call_at_end`; nothing of it stays behind."""
        if self._at_end is not None:
            self._at_end.pop(callback, None)
            if not self._at_end:
                self._at_end = None

    def _check_ended(self) -> None:
        """
        Speak up for whoever waited until the event was to end.

        Raises:
            ExecutorClosedError: It has not, and will not.
        """
        if self.execution.status not in TERMINAL:
            raise ExecutorClosedError(
                f"{self!r} did not end: its executor was left with it, or removed it; "
                "if it is still there it stays PENDING and runs when the executor is started again"
            )
