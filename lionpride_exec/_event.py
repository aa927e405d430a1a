"""
An event: one async operation and the record of what became of it.

A user writes a subclass with annotated fields and ``_invoke()``. Its whole life goes through two functions.
:meth:`Event.invoke` runs it and turns whatever happens into an outcome; :meth:`Event._transition` is the way from
one status to the next: synchronous, so a cancellation cannot fall between the status of an event, the progression it
stands in and the wake-up of those who wait for it. (Past that door only a record without an owner can be set by hand.)
"""

from __future__ import annotations

from contextlib import nullcontext
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, cast

import anyio
import attrs
from anyio import CancelScope, current_effective_deadline, current_time, get_cancelled_exc_class, move_on_after
from anyio.lowlevel import checkpoint

from ._chunks import ChunkReader, Feed, Idle, open_reader
from ._config import check_seconds
from ._element import Element, Mode
from ._execution import Attempt, Execution, utc_now
from ._limits import check_cost
from ._retry import Retry
from ._sentinel import Unset, UnsetType
from ._status import TERMINAL, TRANSITIONS, EventStatus
from .errors import (
    EventFailed,
    EventNotFinished,
    ExecutorClosedError,
    InvalidTransition,
    LionprideError,
    LionTimeoutError,
    RateLimited,
    Skip,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime

    from typing_extensions import TypeVar  # type checkers bring its stubs; nothing is imported

    from ._limits import Limit

    # What an event returns. The default lets `class Fetch(Event)` do without saying.
    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

# The events that run in the current context, outermost first. An event that waits for one of them, itself
# included, would wait for ever.
running_events: ContextVar[tuple[Event[Any], ...]] = ContextVar("running_events", default=())


class Owner(Protocol):
    """What an event knows of the executor it stands in."""

    def event_moved(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition; called inside it. Must not wait."""

    def refile(self, event: Event) -> None:
        """Put the event where its status says, at once."""

    def turn_to_move(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Give the locks that somebody holds at the moment and a move would need; None: nobody does."""

    def runs_again(self, event: Event, error: BaseException, *, began: float, interrupted: bool) -> bool:
        """Whether an event whose run has ended with this error goes back to PENDING; it is seen to then."""
        ...

    def settle(self, event: Event, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Give what a task waits in that waits for the executor and so reads no transitions; None: nobody does."""

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing will run here any more, unless it is started again."""
        ...


def _valid_timeout(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None:
        check_seconds(attribute.name, value, zero_allowed=False)


def _valid_retry(_instance: object, _attribute: object, value: Retry | None) -> None:
    if value is not None and not isinstance(value, Retry):
        raise ValueError(f"retry must be a Retry or None, got {value!r}")


class Event(Element, Generic[T_co]):
    """
    One async operation, run at most once. Subclass it, annotate its fields, write ``_invoke()``.

    ::

        class Fetch(Event[bytes]):
            url: str

            async def _invoke(self) -> bytes: ...

    The ``[bytes]`` tells type checkers what :meth:`result` gives; without it that is ``Any``.

    Args:
        timeout: Seconds that a run may take, from its start; None: no limit. Not serialised.
        idle_timeout: Seconds that a streaming event may take for its next chunk; waiting for slow readers does not
            count. Over it the event ends CANCELLED, as at ``timeout``. None: no limit. Not serialised.
        streaming: Whether the event is run by iterating :meth:`stream`. Not serialised.
        retry: Whether and when an executor runs it again after a failure; None: as the executor is set up. Not
            serialised.
        execution: The record of what happened.

    Raises:
        ValueError: A timeout that is not finite or not positive, at construction and at assignment.
    """

    timeout: float | None = attrs.field(default=None, validator=_valid_timeout)
    idle_timeout: float | None = attrs.field(default=None, validator=_valid_timeout)
    streaming: bool = False
    retry: Retry | None = attrs.field(default=None, validator=_valid_retry)
    execution: Execution = attrs.field(factory=Execution)
    # The executor the event stands in.
    _owner: Owner | None = attrs.field(default=None, init=False)
    # What a streaming event has produced, and its readers; made by the first reader, or the first run.
    _feed: Feed | None = attrs.field(default=None, init=False)
    # Called with the event when it ends, or when that will not come; a dict, for its keys. Most events have none.
    _at_end: dict[Callable[[Any], None], None] | None = attrs.field(default=None, init=False)

    _not_serialised: ClassVar[frozenset[str]] = frozenset(
        {"timeout", "idle_timeout", "streaming", "retry", "execution"}
    )

    # ---------------------------------------------------------------- for subclasses

    async def _invoke(self) -> T_co:
        """Do the work and return the response. Override this."""
        raise NotImplementedError("Subclasses must implement _invoke()")

    def stream(self) -> AsyncIterator[Any]:
        """
        Do the work as an async generator of chunks, for ``streaming=True``. Override this.

        ``async def stream(self) -> AsyncIterator[str]:`` with a ``yield`` in it. It is closed however the run ends.
        """
        raise NotImplementedError("Subclasses must implement stream() if streaming=True")

    def reduce(self, chunks: list[Any]) -> Any:
        """
        Make the response of all chunks, once the stream has ended: the list itself. Override this.

        Readers that come later read the same list: make another one rather than change it. What this raises makes the
        event FAILED. It is not called if the stream has set ``execution.response`` itself.
        """
        return chunks

    @property
    def request(self) -> dict[str, Any]:
        """What the gate is asked with: the keyword arguments of ``request_permission()``. Override this."""
        return {}

    # ---------------------------------------------------------------- state

    @property
    def status(self) -> EventStatus:
        """
        Where the event stands.

        Assigning a status (or its lower-case string) moves the event. An event that stands in no executor takes
        any status, as a fixture or a restored record needs; in an executor the transition table rules.

        Raises:
            ValueError: No such status.
            InvalidTransition: The executor's event cannot go there from here. Nothing has changed.
        """
        return self.execution.status

    @status.setter
    def status(self, value: EventStatus | str) -> None:
        if not isinstance(value, str):
            raise ValueError(f"Invalid status type: {type(value).__name__}")  # noqa: TRY004  the tested contract
        target = EventStatus(value)
        if self._owner is not None:
            if target is EventStatus.PENDING and self.execution._running:
                raise InvalidTransition(self.id, self.status, target)  # it would be queued while it runs
            self._transition(target)
            return
        self.execution.status = target
        if target in TERMINAL:
            self._wake()

    @property
    def response(self) -> Any:
        """What the event returned; ``Unset`` before that."""
        return self.execution.response

    def history(self) -> list[tuple[EventStatus, datetime]]:
        """Every status the event has had, with the time (UTC) it came to it, oldest first."""
        known = self.execution.history()
        return known if self.execution.queued_at else [(EventStatus.PENDING, self.created_at), *known]

    def result(self) -> T_co:
        """
        Give the response, or raise what the event ended with.

        Raises:
            EventFailed: It ended without a response; its ``__cause__`` is the event's error.
            EventNotFinished: It has not ended.
        """
        execution = self.execution
        if execution.status is EventStatus.COMPLETED:
            return cast("T_co", execution.response)
        if execution.status not in TERMINAL:
            raise EventNotFinished(f"{self!r} is {execution.status}; await wait() first")
        cause = execution.error if isinstance(execution.error, BaseException) else None
        reason = f": {cause!r}" if cause is not None else ""
        raise EventFailed(
            f"{self!r} is {execution.status}{reason}", event_id=self.id, status=execution.status
        ) from cause

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
            ended.set()

        self._call_at_end(tell)
        away = None if self._owner is None else self._owner.reader_away()
        try:
            with away or nullcontext():
                await ended.wait()
        finally:
            self._call_no_more(tell)
        self._check_ended()

    # ---------------------------------------------------------------- chunks

    def chunks(self, *, buffer: int = 16) -> ChunkReader:
        """
        Read the chunks of a streaming event while it runs: ``async for chunk in event.chunks():``.

        The reader is there from this call on, and gets every chunk: those of before it first, the others as they
        come. There may be any number of readers; each has a buffer of its own, and the event waits while one is full.
        Without readers it waits for nobody. After the end the chunks are still there, at the price of their memory.

        The loop ends when the event has COMPLETED. Otherwise it raises, after the chunks that there were, what
        :meth:`result` raises, or ``ExecutorClosedError`` where :meth:`wait` would; ``OperationError`` if the event
        completed, but elsewhere. An event is not retried once a reader has taken a chunk of the run that failed; if
        it is run again, all readers go on with the chunks of the new run.

        A loop that is left in whatever way no longer holds the event up. Give a reader that has a name of its own
        back by ``async with event.chunks() as reader:`` or ``aclose()``.

        Args:
            buffer: How many chunks, 0 or more, the event may be ahead of this reader before it waits for it, beside
                the one it holds then.

        Raises:
            TypeError: The event does not stream.
            ValueError: The buffer is no int, or negative.
            RuntimeError: At a step inside the event itself, which could never return.

        Cancellation: of a step leaves reader and event as they are; the next step goes on there.
        """
        return open_reader(self, self.stream if self.streaming and self._has_stream() else self._invoke, buffer)

    @classmethod
    def _has_stream(cls) -> bool:
        return cls.stream is not Event.stream

    def _check_outside(self, what: str) -> None:
        if any(event is self for event in running_events.get()):
            raise RuntimeError(f"{self!r} would wait for its own {what}")

    # ---------------------------------------------------------------- running

    async def invoke(self) -> None:
        """
        Run the event once and record the outcome. Read :attr:`response` or :meth:`result` afterwards.

        Any number of concurrent calls run ``_invoke()`` once; the others return when it has ended. In any status
        but PENDING nothing happens. An ``Exception`` is recorded (FAILED), the own timeout too (CANCELLED).

        Raises:
            RuntimeError: Called from inside the event itself.
            BaseException: What is no ``Exception`` is recorded, then goes on.

        Cancellation: the event ends CANCELLED, retryable, and the cancellation goes on.
        """
        execution = self.execution
        if execution._running:
            await self.wait()
        elif execution.status is EventStatus.PENDING:
            if execution._scope is None:
                try:
                    with CancelScope() as execution._scope:
                        await self._run()
                finally:
                    execution._verdict = None
            else:  # that of the worker, whose task runs one event after the other
                await self._run()

    def settle(self, actual: float, *, limit: Limit | None = None) -> None:
        """
        Correct what the running event has taken of a ``Rate``, once the truth is known; to be called inside it.

        What was taken too much can be used by others at once; for what was taken too little they wait longer.

        Args:
            actual: The true cost, finite, 0 or more; it may be above the amount of the limit.
            limit: Of which limit; None: of each that has a ``cost``.

        Raises:
            ValueError: The cost is negative or not finite. Nothing has changed.

        Outside of a run by an executor it does nothing.
        """
        check_cost(actual)
        if self._owner is not None:
            self._owner.settle(self, actual, limit)

    async def _run(self) -> None:
        began = current_time()
        late = False
        self.execution._running = True
        context = running_events.set((*running_events.get(), self))
        try:
            self._transition(EventStatus.PROCESSING)
            if self.timeout is None:
                response = await self._perform()
            else:
                response = Unset
                with move_on_after(self.timeout) as scope:
                    response = await self._perform()
                late = scope.cancelled_caught
        except Idle as exc:
            await self._settle_error(exc.error, began, EventStatus.CANCELLED)
        except Exception as exc:  # noqa: BLE001  whatever the user's code raises is the outcome
            await self._settle_error(exc, began, EventStatus.FAILED)
        except BaseException as exc:
            await self._settle_error(exc, began, EventStatus.FAILED)
            raise
        else:
            if late:
                error = LionTimeoutError(f"Operation timed out after {self.timeout}s", retryable=True)
                await self._settle_error(error, began, EventStatus.CANCELLED)
            else:
                await self._settle(EventStatus.COMPLETED, began, response=response)
        finally:
            self.execution._scope = None
            running_events.reset(context)

    async def _settle_error(self, error: BaseException, began: float, otherwise: EventStatus) -> None:
        """Record the outcome of a run that has ended with an error."""
        verdict = self.execution._verdict
        interrupted = False
        if _is_cancellation(error):
            otherwise = EventStatus.CANCELLED
            if verdict is not None:
                otherwise, error = verdict
            else:
                interrupted = current_effective_deadline() == -inf  # else it brought that about itself
                if interrupted and self._runs_again(error, began, interrupted=True):
                    otherwise = EventStatus.PENDING
        elif verdict is None:
            if _consists_of(error, Skip):
                otherwise = EventStatus.SKIPPED
            else:
                interrupted = _consists_of(error, RateLimited)
                if self._runs_again(error, began, interrupted=interrupted):
                    otherwise = EventStatus.PENDING
        await self._settle(otherwise, began, error=error, interrupted=interrupted)

    def _runs_again(self, error: BaseException, began: float, *, interrupted: bool) -> bool:
        if self._owner is None or not (interrupted or (isinstance(error, Exception) and _is_retryable(error))):
            return False
        if not interrupted and self._feed is not None and self._feed.was_taken:
            return False  # what a reader has taken cannot be taken back
        try:
            return self._owner.runs_again(self, error, began=began, interrupted=interrupted)
        except Exception as exc:  # noqa: BLE001  a function of the user's Retry; the event has ended all the same
            error.add_note(f"It was not run again, since its retry failed: {exc!r}")
            return False

    async def _perform(self) -> Any:
        work: Any = self.stream() if self.streaming and self._has_stream() else self._invoke()
        if not hasattr(work, "__anext__"):
            return await work
        if self._feed is None:
            self._feed = Feed()
        chunks = await self._feed.fill(work, self.idle_timeout)
        return self.reduce(chunks) if self.execution.response is Unset else self.execution.response

    async def _settle(
        self,
        target: EventStatus,
        began: float,
        *,
        response: Any = Unset,
        error: BaseException | UnsetType = Unset,
        interrupted: bool = False,
    ) -> None:
        """Record an outcome: now, or, while somebody holds a lock that the move needs, when it is free."""
        execution = self.execution
        execution.duration = current_time() - began
        if execution.status is not EventStatus.PROCESSING:  # decided elsewhere, or by the stream itself: that stands
            execution._running = False
            execution.finished_at = execution.finished_at or utc_now()
            self._wake()
            return
        turn = None if self._owner is None else self._owner.turn_to_move(execution.status, target)
        if turn is None or isinstance(error, GeneratorExit):  # a coroutine that is being closed cannot wait
            self._transition(target, response=response, error=error, interrupted=interrupted)
        else:
            # The event has ended, whatever becomes of this task: its outcome must not be lost. Not to a cancellation,
            # not to one that goes past the shield (asyncio's own), not to a lock that the caller itself holds.
            try:
                with CancelScope(shield=True):
                    async with turn:
                        pass
            except RuntimeError:  # AnyIO: held by this task
                pass
            finally:
                if execution.status is EventStatus.PROCESSING:
                    self._transition(target, response=response, error=error, interrupted=interrupted)
                execution._running = False

    async def _refuse(self, error: BaseException) -> None:
        """End an event that never started: ABORTED."""
        turn = None if self._owner is None else self._owner.turn_to_move(self.status, EventStatus.ABORTED)
        if turn is None:
            self._transition(EventStatus.ABORTED, error=error)
            return
        async with turn:
            if self.status is EventStatus.PENDING:
                self._transition(EventStatus.ABORTED, error=error)

    # ---------------------------------------------------------------- the one door

    def _transition(
        self,
        target: EventStatus,
        *,
        response: Any = Unset,
        error: BaseException | UnsetType = Unset,
        interrupted: bool = False,
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
        now = utc_now()
        if target is EventStatus.PROCESSING:
            execution.started_at = now
            execution.attempt += 1
        elif target is EventStatus.PENDING:
            started = execution.started_at or now
            known = None if isinstance(error, UnsetType) else error
            execution.attempts += (Attempt(execution.attempt, started, now, known, interrupted),)
            execution.attempt -= interrupted
            execution.started_at = None
        else:
            execution.finished_at = now
            execution.response = response
            completed = target is EventStatus.COMPLETED
            execution.error = None if completed else error
            execution.retryable = not completed and _is_retryable(error)
        execution.status = target
        execution._running = execution._running and target is EventStatus.PROCESSING
        try:
            if self._owner is not None:
                self._owner.event_moved(self, previous, target)
        finally:
            if target in TERMINAL:
                self._wake()

    def _refile(self) -> None:
        """Have the executor's index agree with the status, whatever was filed in advance."""
        if self._owner is not None:
            self._owner.refile(self)

    def _wake(self) -> None:
        """Tell those who wait for the end that it has come, or that it will not."""
        if self._at_end is not None:
            callbacks, self._at_end = self._at_end, None
            for callback in callbacks:
                callback(self)
        if self._feed is not None:
            self._feed.end()

    def _call_at_end(self, callback: Callable[[Any], None]) -> None:
        """
        Have ``callback(event)`` called once: when the event ends, or when it is known that it will not; now, if so.

        It runs inside the last transition, so it must neither raise nor wait. :meth:`_check_ended` tells the two apart.
        """
        is_lost = not self.execution._running and self._owner is not None and self._owner.is_abandoned
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

    # ---------------------------------------------------------------- data and copies

    def _own_to_dict(self, mode: Mode, **kwargs: Any) -> dict[str, Any]:
        return super()._own_to_dict(mode, **kwargs) | {"execution": self.execution.to_dict()}

    @classmethod
    def _own_from_dict(cls, fields: dict[str, Any], **_: Any) -> Self:
        if isinstance(fields.get("execution"), dict):
            fields["execution"] = Execution.from_dict(fields["execution"])
        return cls(**fields)

    def as_fresh_event(self, copy_meta: bool = False) -> Self:
        """
        Make a new PENDING event of the same class with the same fields, timeout and streaming.

        It has an id and a time of its own; ``metadata["original"]`` names the one it was made from.

        Args:
            copy_meta: Whether the other metadata are copied too.
        """
        kept = {"id", "created_at", "metadata", "execution"}
        fields = {
            field.alias: getattr(self, field.name)
            for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
            if field.init and field.name not in kept
        }
        fresh = type(self)(**fields)
        if copy_meta:
            fresh.metadata = dict(self.metadata)
        fresh.metadata["original"] = {"id": str(self.id), "created_at": self.created_at}
        return fresh


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Give the errors in a group, at any depth; a plain error is its own and only leaf."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from leaves(member)
    else:
        yield error


def _is_cancellation(error: BaseException) -> bool:
    return _consists_of(error, get_cancelled_exc_class())


def _consists_of(error: BaseException, kind: type[BaseException]) -> bool:
    return all(isinstance(leaf, kind) for leaf in leaves(error))


def _is_retryable(error: BaseException | UnsetType) -> bool:
    """Whether nowhere in it stands an error of the library that says it is not."""
    return isinstance(error, UnsetType) or all(
        leaf.retryable for leaf in leaves(error) if isinstance(leaf, LionprideError)
    )
