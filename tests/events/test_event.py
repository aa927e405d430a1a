"""An event on its own: outcomes, waiting, copies, records."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid4

import anyio
import attrs
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from support import Job, change_status, id_of, make_executor, owner_of, view

from lionpride_exec import (
    Event,
    EventFailed,
    EventNotFinished,
    EventStatus,
    Execution,
    LionprideError,
    LionTimeoutError,
    Retry,
    Unset,
)
from lionpride_exec.errors import AccessError, ExecutionError

pytestmark = pytest.mark.anyio


class Returns(Event):
    value: object = None

    async def _invoke(self):
        assert self.status is EventStatus.PROCESSING
        return self.value


class Raises(Event):
    error: BaseException = ValueError("boom")

    async def _invoke(self):
        raise self.error


class Sleeps(Event):
    seconds: float = 10.0

    async def _invoke(self):
        await anyio.sleep(self.seconds)
        return "slept"


class Counts(Event):
    gate: object = None
    calls: list = []

    async def _invoke(self):
        self.calls.append(1)
        await self.gate.wait()
        return len(self.calls)


@pytest.mark.parametrize("value", [None, 0, "x", {"a": 1}])
async def test_a_return_value_completes(value):
    """What _invoke() returns is the response, None included."""
    event = Returns(value=value)
    assert await event.invoke() is None
    execution = event.execution
    assert (event.status, event.response, execution.error, execution.retryable) == (
        EventStatus.COMPLETED,
        value,
        None,
        False,
    )
    assert event.result() == value
    assert execution.attempt == 1


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ValueError("v"), True),
        (StopIteration(), True),
        (TimeoutError("a socket's"), True),
        (LionprideError("l"), True),
        (AccessError("a"), False),
        (ExceptionGroup("g", [ValueError(), AccessError("a")]), False),
        (ExceptionGroup("g", [ExceptionGroup("inner", [AccessError("a")])]), False),
        (ExceptionGroup("g", [ValueError(), LionprideError("l")]), True),
    ],
    ids=repr,
)
async def test_an_exception_fails_and_stays_inside(error, retryable):
    """An Exception is recorded, not raised; retryable is what the library's errors in it say."""
    event = Raises(error=error)
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert event.response is Unset
    assert event.execution.retryable is retryable
    assert event.execution.duration >= 0
    if not isinstance(error, StopIteration):  # Python itself turns that into a RuntimeError
        assert event.execution.error is error
    with pytest.raises(EventFailed) as caught:
        event.result()
    assert caught.value.__cause__ is event.execution.error
    assert caught.value.status is EventStatus.FAILED


class Odd(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(3), Odd(), BaseExceptionGroup("g", [Odd()])], ids=repr
)
async def test_what_is_no_exception_is_recorded_and_goes_on(error):
    """A BaseException leaves a final status behind and is raised."""
    event = Raises(error=error)
    with pytest.raises(type(error)):
        await event.invoke()
    assert event.status is EventStatus.FAILED
    assert event.execution.error is error


async def test_own_timeout_cancels():
    """An event over its timeout ends CANCELLED, retryable, with a LionTimeoutError, after that time."""
    event = Sleeps(seconds=3600.0, timeout=60.0)
    await event.invoke()
    assert event.status is EventStatus.CANCELLED
    assert isinstance(event.execution.error, LionTimeoutError)
    assert "timed out after 60.0s" in str(event.execution.error)
    assert event.execution.retryable is True
    assert event.execution.duration == pytest.approx(60, abs=0.01)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
async def test_a_bad_timeout_is_refused(timeout):
    """Construction and assignment refuse it, and an assignment changes nothing."""
    with pytest.raises(ValueError, match="timeout must be"):
        Sleeps(timeout=timeout)
    event = Sleeps(timeout=1.0)
    with pytest.raises(ValueError, match="timeout must be"):
        event.timeout = timeout
    assert event.timeout == 1.0


async def test_outer_cancellation_is_recorded_and_goes_on():
    """A cancelled scope around the event cancels it, and the scope sees its cancellation."""
    event = Sleeps()
    with anyio.move_on_after(1) as scope:
        await event.invoke()
    assert scope.cancelled_caught
    assert event.status is EventStatus.CANCELLED
    assert event.execution.retryable is True
    with pytest.raises(EventFailed):
        event.result()


async def test_outer_deadline_raises_its_timeout_error():
    """fail_after() around an event raises as it does around any call."""
    event = Sleeps()
    with pytest.raises(TimeoutError), anyio.fail_after(1):
        await event.invoke()
    assert event.status is EventStatus.CANCELLED


async def test_any_number_of_calls_run_it_once():
    """100 concurrent invoke() calls run _invoke() once, and all return after it."""
    event = Counts(gate=anyio.Event())
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(event.invoke)
        await wait_all_tasks_blocked()
        assert event.calls == [1]
        event.gate.set()
    assert event.calls == [1]
    assert event.response == 1


@pytest.mark.parametrize("status", [status for status in EventStatus if status is not EventStatus.PENDING])
async def test_invoke_does_nothing_unless_pending(status):
    """In every other status invoke() returns without a change."""
    event = Returns()
    event.status = status
    await event.invoke()
    assert event.status is status
    assert event.execution.attempt == 0


async def test_an_event_that_invokes_itself_fails():
    """Waiting for itself is an error in the event, not a hang."""

    class Selfish(Event):
        async def _invoke(self):
            await self.invoke()

    event = Selfish()
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, RuntimeError)


async def test_an_event_that_waits_for_a_caller_fails():
    """Two events that would wait for each other's end fail instead of hanging."""

    class Inner(Event):
        outer: object

        async def _invoke(self):
            await self.outer.wait()

    class Outer(Event):
        inner: object = None

        async def _invoke(self):
            self.inner = Inner(outer=self)
            await self.inner.invoke()

    event = Outer()
    await event.invoke()
    assert event.status is EventStatus.COMPLETED
    assert event.inner.status is EventStatus.FAILED


async def test_wait_returns_at_the_end():
    """wait() returns when the event has ended, and at once after that."""
    event = Sleeps()
    ended = []

    async def waiter():
        await event.wait()
        ended.append(event.status)

    async with anyio.create_task_group() as group:
        group.start_soon(waiter)
        group.start_soon(waiter)
        await wait_all_tasks_blocked()
        assert ended == []
        await event.invoke()
    assert ended == [EventStatus.COMPLETED] * 2
    await event.wait()


async def test_a_cancelled_waiter_changes_nothing():
    """Cancelling wait() leaves the event and the other waiters as they are."""
    event = Sleeps(seconds=5.0)
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        with anyio.move_on_after(1):
            await event.wait()
        assert event.status is EventStatus.PROCESSING
        await event.wait()
    assert event.status is EventStatus.COMPLETED


async def test_result_before_the_end_is_an_error():
    """result() does not wait."""
    with pytest.raises(EventNotFinished):
        Returns().result()


async def test_base_event_and_base_stream_are_not_implemented():
    """Both override points say so when they are missing."""
    event = Event()
    await event.invoke()
    assert "Subclasses must implement _invoke" in str(event.execution.error)
    with pytest.raises(NotImplementedError, match="Subclasses must implement stream"):
        await event.stream()


async def test_status_setter():
    """A free event takes any status or exact string; all else is refused."""
    event = Returns()
    event.status = "failed"
    assert event.status is EventStatus.FAILED
    with pytest.raises(ValueError, match="FAILED"):
        event.status = "FAILED"
    with pytest.raises(ValueError, match="Invalid status type"):
        event.status = 1
    assert event.status is EventStatus.FAILED
    with pytest.raises(AttributeError):
        event.response = 1


class Streams(Event):
    count: int = 3
    fail_at: int = -1
    pause: float = 0.0

    async def stream(self):
        for i in range(self.count):
            if i == self.fail_at:
                raise ValueError(i)
            await anyio.sleep(self.pause)
            yield i


async def test_a_stream_completes_with_its_chunks():
    """A streaming event's response is the list of its chunks."""
    event = Streams(streaming=True)
    await event.invoke()
    assert (event.status, event.response) == (EventStatus.COMPLETED, [0, 1, 2])


async def test_a_stream_fails_as_any_event():
    """An error in a stream is recorded."""
    event = Streams(streaming=True, fail_at=1)
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert event.response is Unset


async def test_a_stream_has_a_timeout():
    """The timeout covers the whole stream."""
    event = Streams(streaming=True, pause=10.0, timeout=15.0)
    await event.invoke()
    assert event.status is EventStatus.CANCELLED


async def test_a_stream_may_settle_itself():
    """Status and response that a stream sets stand."""

    class Settles(Event):
        streaming = True

        async def stream(self):
            yield 1
            self.execution.response = "mine"
            self.execution.status = EventStatus.COMPLETED

    event = Settles()
    await event.invoke()
    assert (event.status, event.response) == (EventStatus.COMPLETED, "mine")
    assert event.execution.finished_at is not None


async def test_an_async_generator_invoke_is_iterated():
    """_invoke() may itself be an async generator."""

    class Generates(Event):
        async def _invoke(self):
            yield "a"
            await checkpoint()
            yield "b"

    for streaming in (True, False):
        event = Generates(streaming=streaming)
        await event.invoke()
        assert event.response == ["a", "b"]


async def test_a_fresh_event_is_a_pending_copy():
    """Fields, timeout and streaming are kept; identity, record and metadata are new."""
    event = Returns(value=[1], timeout=5.0, streaming=True, metadata={"k": "v"})
    await event.invoke()
    fresh = event.as_fresh_event()
    assert type(fresh) is Returns
    assert fresh.id != event.id
    assert fresh.status is EventStatus.PENDING
    assert (fresh.value, fresh.timeout, fresh.streaming) == ([1], 5.0, True)
    assert fresh.metadata == {"original": {"id": str(event.id), "created_at": event.created_at}}
    copied = event.as_fresh_event(copy_meta=True)
    assert copied.metadata["k"] == "v"
    copied.metadata["k"] = "changed"
    assert event.metadata == {"k": "v"}


async def test_history_lists_every_status_with_its_time():
    """The audit trail: each status in order, with UTC times that do not go back."""
    event = Returns()
    await event.invoke()
    statuses, times = zip(*event.history(), strict=True)
    assert statuses == ("pending", "processing", "completed")
    assert list(times) == sorted(times)
    assert all(time.tzinfo is UTC for time in times)


async def test_an_interrupted_attempt_is_recorded():
    """Going back to PENDING keeps the attempt in the record and in the history."""
    event = Returns()
    change_status(event, EventStatus.PROCESSING)
    change_status(event, EventStatus.PENDING, error=ValueError("interrupted"))
    await event.invoke()
    execution = event.execution
    assert execution.attempt == 2
    assert [attempt.number for attempt in execution.attempts] == [1]
    assert isinstance(execution.attempts[0].error, ValueError)
    assert [status for status, _ in event.history()] == [
        "pending", "processing", "pending", "processing", "completed",
    ]  # fmt: skip
    restored = Execution.from_dict(json.loads(json.dumps(execution.to_dict())))
    assert restored.history() == execution.history()
    assert "interrupted" in str(restored.attempts[0].error)


async def test_add_error_collects():
    """The first error stands alone, later ones form a group, of BaseExceptions if need be."""
    execution = Execution(error=None)
    first, second, third = ValueError(1), ValueError(2), KeyboardInterrupt()
    execution.add_error(first)
    assert execution.error is first
    execution.add_error(second)
    assert type(execution.error) is ExceptionGroup
    assert execution.error.message == "multiple errors"
    execution.add_error(third)
    assert execution.error.exceptions == (first, second, third)


async def test_a_fresh_record_has_five_null_keys():
    """Unset becomes None in the dict form."""
    assert Execution().to_dict() == {
        "status": "pending",
        "duration": None,
        "response": None,
        "error": None,
        "retryable": None,
    }


@pytest.mark.parametrize("status", EventStatus)
async def test_round_trip_of_every_status(status):
    """to_dict → JSON → from_dict gives class, fields, status, times and error back."""
    event = Returns(value={"n": 1})
    if status is EventStatus.COMPLETED:
        await event.invoke()
    elif status is EventStatus.FAILED:
        event = Raises(error=ExceptionGroup("g", [ValueError("inner"), AccessError("no", details={"d": 1})]))
        await event.invoke()
        event.error = ValueError("not JSON")
    elif status is not EventStatus.PENDING:
        event.execution.status = status
        event.execution.finished_at = datetime(2026, 1, 2, tzinfo=UTC)
    restored = Event.from_dict(json.loads(json.dumps(event.to_dict(mode="json"))))
    assert type(restored) is type(event)
    assert (restored.id, restored.created_at, restored.status) == (event.id, event.created_at, status)
    assert restored.execution.response == event.execution.response
    assert restored.history() == event.history()
    if status is EventStatus.FAILED:
        inner, denied = restored.execution.error.exceptions
        assert isinstance(inner, ExecutionError)
        assert "inner" in str(inner)
        assert denied.details["d"] == 1
    else:
        assert restored.value == {"n": 1}


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), float("nan"), [b"x"]], ids=id_of)
async def test_json_mode_never_raises_for_a_response(value):
    """Whatever an event returned, its record can be written."""
    event = Returns(value=value)
    await event.invoke()
    data = event.to_dict(mode="json", exclude={"value"})
    json.dumps(data)


def test_an_event_has_no_room_for_options_that_it_was_not_given():
    """They are read from the class, where a subclass may have another default. Those that were given are its own."""

    class Slow(Job):
        timeout: float | None = 5.0
        metadata: dict = {"slow": True}

    class Endless(Slow):
        timeout = None

    options = {"metadata", "timeout", "idle_timeout", "retry", "streaming"}
    assert not options & vars(Job()).keys()
    assert (Job().timeout, Slow().timeout, Endless().timeout, Slow(timeout=None).timeout) == (None, 5.0, None, None)
    assert Endless().metadata == {"slow": True}
    assert Endless().metadata is not Endless().metadata
    given = Job(timeout=1, idle_timeout=2, retry=Retry(), streaming=True, metadata={"a": 1})
    assert options <= vars(given).keys()
    assert copy.copy(given).timeout == pickle.loads(pickle.dumps(given)).timeout == 1  # noqa: S301  our own


async def test_timeout_and_streaming_are_not_serialised():
    """They configure a run; they are not part of the record."""
    data = Returns(timeout=1.0, streaming=True).to_dict()
    assert {"timeout", "streaming"}.isdisjoint(data)


# -------------------------------------------------------------------- names, copies


PUBLIC = {name for name in dir(Event) if not name.startswith("_")}


@pytest.mark.parametrize("name", [*sorted(PUBLIC - {field.name for field in attrs.fields(Event)}), "_transition"])
def test_a_field_cannot_hide_what_every_event_has(name):
    """The class is refused when it is made. The message has the name, and the public class that has it."""
    with pytest.raises(TypeError, match=rf"Made\.{name} cannot be a field: Event has a (method|property) {name};"):
        type("Made", (Event,), {"__annotations__": {name: int}})


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda event: pickle.loads(pickle.dumps(event))])  # noqa: S301  our own
async def test_an_event_in_an_executor_can_be_copied(copied):
    """The copy has the record, and nothing of the executor or of the run."""
    executor = make_executor()
    async with executor:
        event = await executor.append(Job(name="a", seconds=5))
        await wait_all_tasks_blocked()
        twin = copied(event)
        assert (twin.id, twin.name, twin.status) == (event.id, "a", EventStatus.PROCESSING)
        assert owner_of(twin) is None
        assert not view.is_running(twin)
    assert event.status is EventStatus.COMPLETED
    assert twin.status is EventStatus.PROCESSING
    again = copied(event)
    assert (again.response, again.history()) == ("a", event.history())


@pytest.mark.parametrize(
    ("name", "annotation"),
    [
        ("id", str), ("id", int), ("id", "str"), ("id", "str | None"), ("id", object), ("metadata", str),
        ("created_at", "str"), ("created_at", float), ("timeout", str), ("idle_timeout", "list[int]"),
        ("streaming", str), ("retry", int), ("execution", dict), ("execution", "Unknown"),
    ],
)  # fmt: skip
def test_a_field_that_every_event_has_keeps_its_type(name, annotation):
    """A column of a data set with that name is refused when the class is made; the message says what to do."""
    with pytest.raises(TypeError, match=rf"Made\.{name} cannot be a field of type .*rename the field.*row_{name}"):
        type("Made", (Event,), {"__annotations__": {name: annotation}})


@pytest.mark.parametrize(
    ("name", "annotation", "default"),
    [
        ("id", UUID, attrs.field(factory=uuid4)), ("id", "UUID", attrs.field(factory=uuid4)),
        ("id", "uuid.UUID", attrs.field(factory=uuid4)), ("metadata", dict, {}),
        ("metadata", "dict[str, str]", {}), ("timeout", float, 5.0), ("timeout", "float | None", None),
        ("timeout", int | None, 3), ("timeout", "Optional[float]", 3.0), ("streaming", bool, True),
        ("streaming", Literal[True], True), ("retry", "Retry | None", None), ("idle_timeout", Any, 1.0),
    ],
)  # fmt: skip
def test_a_field_that_every_event_has_can_get_a_new_default(name, annotation, default):
    """Whatever way its own type is written."""
    made = type("Made", (Event,), {"__annotations__": {name: annotation}, name: default})
    assert name in {field.name for field in attrs.fields(made)}
    made()


@pytest.mark.parametrize(
    "name", ["_run", "_wake", "_transition", "wait", "result", "invoke", "status", "history", "settle"]
)
def test_a_method_cannot_hide_what_the_package_calls(name):
    """A helper of that name, or a mixin's, is refused when the class is made."""
    with pytest.raises(TypeError, match=rf"Made\.{name} hides the (method|property) Event\.{name}, .*rename it"):
        type("Made", (Event,), {name: lambda _self: None})
    mixin = type("Mixin", (), {name: lambda _self: None})
    with pytest.raises(TypeError, match=rf"Made\.{name} hides"):
        type("Made", (mixin, Event), {})


@pytest.mark.parametrize("annotation", [ClassVar[str], "ClassVar[str]", "typing.ClassVar"])
def test_a_class_variable_cannot_hide_what_the_package_calls(annotation):
    """It is no field, and hides as any other attribute of the class does."""
    with pytest.raises(TypeError, match=r"Made\.status hides the property \w+\.status.*rename it"):
        type("Made", (Event,), {"__annotations__": {"status": annotation}, "status": "open"})
    assert type("Made", (Event,), {"__annotations__": {"source": annotation}, "source": "a"})().source == "a"


async def test_a_method_that_goes_on_with_super_may_stand_in_its_place():
    """It hides nothing."""

    class Loud(Returns):
        async def invoke(self):
            await super().invoke()
            self.value = "done"

        def result(self):
            return [super().result()]

    event = Loud(value=1)
    await event.invoke()
    assert (event.value, event.result()) == ("done", [1])


@pytest.mark.parametrize("metadata", ["text", 5, ["a"], [("a", 1)]], ids=repr)
def test_metadata_without_a_dict_form_are_refused(metadata):
    """They are not dropped."""
    with pytest.raises(ValueError, match="metadata must be a dict or have a dict form, got"):
        Event(metadata=metadata)


def test_an_id_that_is_none_is_named():
    """The message tells the field and the value."""
    with pytest.raises(ValueError, match=r"id must be a UUID.*got 'q0'"):
        Event(id="q0")
