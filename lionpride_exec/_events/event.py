"""
An event: one async operation and the record of its outcome.

A user writes a subclass with annotated fields and ``_invoke()``. ``_events.running`` runs it, and ``_events.lifecycle``
takes it from one status to the next.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast

import attrs

from lionpride_exec._base.exception_groups import error_in, repr_of, text_of
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._base.sentinel import Unset
from lionpride_exec._model.execution import Execution
from lionpride_exec._model.limits import Rate, check_cost
from lionpride_exec._model.quota import Quota
from lionpride_exec._model.unknown_fields import make_instance
from lionpride_exec._offload.settings import RunIn  # noqa: TC001  codecs resolve the annotations of the class
from lionpride_exec._status import COMPLETED, PENDING, TERMINAL
from lionpride_exec.errors import ConfigurationError, EventFailed, EventNotFinished

from .before import results_before
from .chunk_buffer import ChunkBuffer
from .place_options import call_outside, check_is_no_copy, invoke_plain, set_place
from .running import RunnableEvent
from .storage_options import OnCrash, StorageOptions, check_options, class_with_tag, register
from .streaming import ChunkReader, check_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Coroutine
    from datetime import datetime

    from typing_extensions import TypeVar  # type checkers bring its stubs; nothing is imported

    from lionpride_exec._model.element import Mode
    from lionpride_exec._status import EventStatus

    # What an event returns. The default lets `class Fetch(Event)` do without saying.
    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)


# The options of a class statement: ``class Fetch(Event, tag="app.fetch", on_crash="fail")``.
_KIND_WORDS = ("tag", "version", "on_crash", "max_attempts")
_PLACE_WORDS = ("run_in", "abandon_on_cancel")


class Event(RunnableEvent, Generic[T_co]):
    """
    One async operation. Subclass it, annotate its fields, write ``_invoke()``.

    An event runs once, unless a :class:`Retry` makes it run again after a failure.

    ::

        class Fetch(Event[bytes]):
            url: str

            async def _invoke(self) -> bytes: ...

    The ``[bytes]`` tells type checkers what :meth:`result` returns. Without it that is ``Any``.

    Options of the class statement say how a journal keeps the events: ``class Fetch(Event, tag="app.fetch")``.

    - ``tag``: The text by which a journal finds the class.
    - ``version`` (1): The version of the fields, see :meth:`_upgrade`.
    - ``on_crash``: What happens after a crash to an event that was running: "rerun" (the default), "fail" or "hold".
    - ``max_attempts`` (5): How many runs a crash may interrupt before the event ends FAILED instead of running again.
      Both are inherited.

    Options of the class statement also say where a plain ``def _invoke(self)`` runs. Without them it must be async.

    - ``run_in``: "thread", "process" or "interpreter". A process works on a copy of the event: it sees the fields, and
      only what it returns comes back. Inherited.
    - ``abandon_on_cancel``: Whether a cancelled event ends at once while its thread goes on. Default: what the executor
      says, and without an executor no. Inherited.

    A field with ``attrs.field(metadata={"redact": True})`` is secret. Stars replace its value in the message of
    ``EventFailed``, in ``explain()`` and ``statistics()``, in logged tracebacks, in errors that a journal keeps, in
    results of the command, and in what its commands for journals print. ``to_dict()`` and the file of the journal
    contain the value, because the event is restored from them.

    A journal keeps ``timeout``, ``idle_timeout``, ``streaming`` and ``retry``. ``to_dict()`` does not have them.

    Args:
        timeout: How many seconds a run may take, positive. An event that takes longer ends CANCELLED. None for no
            limit.
        idle_timeout: How many seconds a streaming event may take for its next chunk, positive. The time in which the
            event waits for slow readers does not count. An event that takes longer ends CANCELLED. None for no limit.
        streaming: Whether a run of the event iterates :meth:`stream` instead of calling ``_invoke()``.
        retry: Whether and when an executor runs the event again after a failure. None for the retry of the executor.
        execution: The record of what has happened to the event.

    Raises:
        ValueError: A timeout is not finite or not positive, at construction and at assignment.
        TypeError: At the class statement. A field or method hides a name that the package uses, for instance
            ``status``, ``history`` or ``_run()``. (A method that calls ``super()`` is allowed.) Or a field of every
            event, for instance ``id`` or ``metadata``, is declared with another type. A new default is allowed. Or
            ``run_in`` is given, and ``_invoke()`` is async.
        ConfigurationError: At the class statement. There is no such place as ``run_in``, or this Python lacks it.
    """

    streaming: bool = False

    # The options of the class statement.
    _kind: ClassVar[StorageOptions] = StorageOptions()
    _run_in: ClassVar[RunIn | None] = None
    _abandon_on_cancel: ClassVar[bool | None] = None

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            tag: str | None = None,
            version: int = 1,
            on_crash: OnCrash = ...,
            max_attempts: int = ...,
            run_in: RunIn = ...,
            abandon_on_cancel: bool = ...,
        ) -> None: ...

    else:

        def __init_subclass__(cls, **kwargs: Any) -> None:
            given = {name: kwargs.pop(name) for name in _KIND_WORDS if name in kwargs}
            place = {name: kwargs.pop(name) for name in _PLACE_WORDS if name in kwargs}
            check_options(cls, Event, kwargs, (*_KIND_WORDS, *_PLACE_WORDS))
            super().__init_subclass__(**kwargs)
            cls._kind = register(cls, cls._kind, given)
            set_place(cls, place)

    _not_serialised: ClassVar[frozenset[str]] = frozenset(
        {"timeout", "idle_timeout", "streaming", "retry", "execution"}
    )

    # ---------------------------------------------------------------- for subclasses

    if TYPE_CHECKING:

        def _invoke(self) -> Awaitable[T_co] | T_co:
            """Do the work and return the response. Override this, async, or with ``run_in`` plain."""
            ...

    else:

        async def _invoke(self) -> Any:
            """Do the work and return the response. Override this, async, or with ``run_in`` plain."""
            raise NotImplementedError("Subclasses must implement _invoke()")

    def stream(self) -> AsyncIterator[Any]:
        """
        Do the work as an async generator of chunks, for ``streaming=True``. Override this.

        Write it as ``async def stream(self) -> AsyncIterator[str]:`` with a ``yield``. The generator is closed at the
        end of each run, also after an error or a cancellation.
        """
        raise NotImplementedError("Subclasses must implement stream() if streaming=True")

    def reduce(self, chunks: list[Any]) -> Any:
        """
        Return the response for the list of all chunks, after the stream has ended. Override this.

        By default the response is the list itself. Do not change the list: later readers read it too. An exception
        makes the event FAILED. This method is not called if the stream has set ``execution.response``.
        """
        return chunks

    @property
    def request(self) -> dict[str, Any]:
        """The keyword arguments of ``request_permission()`` for this event. Override this."""
        return {}

    def _has_to_be_seen(self) -> bool:
        return self._is_suspect or self._kind.on_crash != "rerun"

    def _perform(self) -> Awaitable[Any]:
        if self.streaming and self._has_stream():
            work: Any = self.stream()
        elif self._run_in is not None and not iscoroutinefunction(self._invoke):
            return call_outside(self, invoke_plain, (self,), kind=type(self))
        else:
            work = self._invoke()
        if type(work) is CoroutineType:  # nearly always
            return work
        if hasattr(work, "__anext__"):
            return self._perform_stream(work)
        if not hasattr(work, "__await__"):
            raise TypeError(
                f"{type(self).__name__}._invoke() must be async (async def), or the class needs run_in='thread'"
            )
        return cast("Awaitable[Any]", work)

    async def _perform_stream(self, work: Any) -> Any:
        if self._feed is None:
            self._feed = ChunkBuffer()
        chunks = await self._feed.fill(work, self.idle_timeout)
        return self.reduce(chunks) if self.execution.response is Unset else self.execution.response

    @classmethod
    def _upgrade(cls, data: dict[str, Any], version: int) -> dict[str, Any]:
        """
        Convert the fields that a journal has stored for an older version of the class. Return the current fields.

        Override this when you write ``version=2`` in the class statement.

        Args:
            data: The fields as JSON data. It may be changed.
            version: The version of the class that wrote them.

        Raises:
            Exception: Any exception leaves the event in the journal, counted as unreadable.
        """
        raise NotImplementedError(f"version {version} is stored, and {cls.__qualname__} has no _upgrade()")

    # ---------------------------------------------------------------- the outcome

    @property
    def response(self) -> Any:
        """What the event returned. ``Unset`` before the event has returned."""
        return self.execution.response

    def history(self) -> list[tuple[EventStatus, datetime]]:
        """Return every status that the event has had, with the time (UTC) of the change, oldest first."""
        known = self.execution.history()
        return known if self.execution.queued_at else [(PENDING, self.created_at), *known]

    def result(self) -> T_co:
        """
        Return the response, or raise an error if there is none. Does not wait.

        Raises:
            EventFailed: The event ended without a response. ``__cause__`` is the error of the event. ``retryable`` says
                whether another run may succeed.
            EventNotFinished: The event has not ended. Wait for it with :meth:`wait`.
        """
        execution = self.execution
        if execution.status is COMPLETED:
            response: T_co = execution.response
            return response
        if execution.status not in TERMINAL:
            raise EventNotFinished(f"{self} is {execution.status}; await wait() first")
        if self._unseen is not None:
            self._unseen.look_at(self)
        reason = reason_of(self)
        raise EventFailed(
            f"{self} is {execution.status}{reason and f': {reason}'}",
            event_id=self.id,
            status=execution.status,
            retryable=execution.retryable is not False,
        ) from error_in(execution.error)

    def chunks(self, *, buffer: int = 16) -> ChunkReader:
        """
        Read the chunks of a streaming event while it runs: ``async for chunk in event.chunks():``.

        A reader gets every chunk: first the chunks produced before this call, then each new chunk. There may be any
        number of readers. Each reader has its own buffer, and the event waits while one of the buffers is full. An
        event without readers does not wait. The chunks stay in memory after the end of the event.

        The loop ends when the event has COMPLETED. If the event ends otherwise, the loop raises, after the last chunk,
        what :meth:`result` raises. It raises ``ExecutorClosedError`` if the event will not end. It raises
        ``OperationError`` if the event completed in another process. An event is not retried once a reader has taken a
        chunk of the failed run. If the event runs again, all readers go on with the chunks of the new run.

        A reader whose loop was left no longer makes the event wait. If you keep the reader in a variable, close it: use
        ``async with event.chunks() as reader:`` or ``aclose()``.

        Args:
            buffer: How many chunks the event may be ahead of this reader, 0 or more. The chunk that the event holds
                while it waits is not counted.

        Raises:
            TypeError: The event does not stream.
            ConfigurationError: The event is in the queue of a cluster. Workers run it, and its chunks stay there.
            ValueError: The buffer is not an int, or is negative.
            RuntimeError: At a step of the loop, if the loop runs inside the event, which would wait for itself.

        Cancellation: a cancelled step changes neither the reader nor the event. No chunk is lost.
        """
        if self._host is not None and self._host.runs_elsewhere:
            raise ConfigurationError(f"{self} runs in a worker of its cluster: its chunks can be read there only")
        check_reader(self, self.stream if self.streaming and self._has_stream() else self._invoke, buffer)
        if self._feed is None:
            self._feed = ChunkBuffer()
        return ChunkReader(self, self._feed, buffer)

    @classmethod
    def _has_stream(cls) -> bool:
        return cls.stream is not Event.stream

    # ---------------------------------------------------------------- while it runs

    def settle(self, actual: float, *, limit: Rate | Quota | None = None) -> None:
        """
        Replace the cost that the running event has taken from its limits by the actual cost. Call this in the event.

        If the actual cost is lower, other events can use the difference at once. If it is higher, they wait longer.
        Nothing happens if no executor has the event.

        Args:
            actual: The actual cost, finite, 0 or more. It may be above the amount of the limit.
            limit: The limit to correct. None for each limit that has a ``cost``.

        Raises:
            ValueError: The cost is negative or not finite. Nothing has changed.
            TypeError: The limit is neither a ``Rate`` nor a ``Quota``. Nothing has changed.
            RuntimeError: This is the copy of the event in a process or an interpreter.
        """
        actual = check_cost(actual)
        if limit is not None and not isinstance(limit, Rate | Quota):
            raise TypeError(f"limit must be a Rate or a Quota, got {limit!r}: no other limit has a cost")
        if self._host is not None:
            self._host.settle_cost(self, actual, limit)
        else:
            check_is_no_copy(self, "settle")

    def after_results(self) -> Coroutine[Any, Any, list[Any]]:
        """
        Return the results of the events of ``append(after=)``, in this order. Those of ``after_any_end`` are left out.

        Call this in ``_invoke()``; in a function, by ``current_event()``. With a journal, a result that has left memory
        is read from the file, and from the queue with a cluster. Then it has the form that the response has there.

        Raises:
            RuntimeError: The event does not run, or this is its copy in a process or an interpreter. The call itself
                raises this, before it is awaited.
            EventFailed: One of them has no result, since its status was set by hand.
            NotFoundError: One of them was deleted.
            JournalError: The journal cannot be read.
            ClusterError: The server was not reached.

        Cancellation: nothing has changed.
        """
        check_is_no_copy(self, "after_results")
        if not self._current_run.is_active:
            raise RuntimeError(f"{self} does not run: only a running event has the results of those before it")
        return results_before(self)

    # ---------------------------------------------------------------- data and copies

    def _own_to_dict(self, mode: Mode, **kwargs: Any) -> dict[str, Any]:
        return super()._own_to_dict(mode, **kwargs) | {"execution": self.execution.to_dict()}

    @classmethod
    def _own_from_dict(cls, fields: dict[str, Any], **_: Any) -> Self:
        if isinstance(fields.get("execution"), dict):
            fields["execution"] = Execution.from_dict(fields["execution"])
        return cast("Self", make_instance(cls, fields))

    def as_fresh_event(self, copy_meta: bool = False) -> Self:
        """
        Return a new PENDING event of the same class with the same fields, timeouts, streaming and retry.

        The new event has a new id and creation time. Its ``metadata["original"]`` has the id and the creation time of
        this event.

        Args:
            copy_meta: Whether to copy the metadata of this event.
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


def reason_of(event: Event) -> str:
    """Return the error of an event as a text, with stars in place of secrets. Empty if there is no error."""
    error = error_in(event.execution.error)
    if error is None:
        return ""
    if event._redacted:
        return f"{type(error).__name__}: {mask(text_of(error), secrets_of(event))}"
    return repr_of(error)


def tag_of(cls: type[Event]) -> str | None:
    """Return the tag of a class. None if the class statement has no tag."""
    return cls._kind.tag


def find_tagged(tag: str) -> type[Event] | None:
    """Return the event class with a tag. None if this process has no such class."""
    return cast("type[Event] | None", class_with_tag(tag))
