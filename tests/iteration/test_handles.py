"""Handles on events: generic results, calls, executors without classes, extend() and as_completed()."""

import gc
import pickle
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar
from unittest.mock import AsyncMock

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from support import Job, JobProcessor, callbacks_of, check_invariants, counts, id_of, make_executor, with_processor

from lionpride_exec import (
    Call,
    ConfigurationError,
    Deny,
    Event,
    EventFailed,
    EventStatus,
    ExecutionError,
    Executor,
    ExecutorClosedError,
    ExistsError,
    Flow,
    Processor,
    QueueFullError,
    Wait,
)

pytestmark = pytest.mark.anyio

V = TypeVar("V")


class Twice(Event[int]):
    """A typed event."""

    number: int

    async def _invoke(self):
        return 2 * self.number


class Boxed(Event[list[V]], Generic[V]):
    """An event that is generic itself."""

    value: V

    async def _invoke(self):
        return [self.value]


async def double(number, *, plus=0):
    return 2 * number + plus


class Doubler:
    async def __call__(self, number):
        return 2 * number

    async def method(self, number):
        return 2 * number


# -------------------------------------------------------------------- generic events


@pytest.mark.parametrize("event", [Twice(number=3), Boxed[int](value=3), Boxed(value=3)], ids=id_of)
async def test_a_parametrised_event_is_an_event_like_any_other(event):
    """Fields, run, record, registry, pickle and fresh copy work for a subclass of Event[int]."""
    for copied in (type(event).from_json(event.to_json()), pickle.loads(pickle.dumps(event)), event.as_fresh_event()):  # noqa: S301  our own
        assert type(copied) is type(event)
        await copied.invoke()
        assert copied.result() in (6, [3])
    assert Event.from_dict(event.to_dict("json")) == event


async def test_wait_leaves_nothing_in_the_event():
    """Ended or cancelled, a wait leaves no callback; any number of tasks may wait."""
    event = Job(gate=anyio.Event())
    ended = []

    async def waiter(seconds):
        with anyio.move_on_after(seconds):
            await event.wait()
            ended.append(seconds)

    async with make_executor() as executor, anyio.create_task_group() as group:
        await executor.append(event)
        for seconds in (1, 2, 100, 200):
            group.start_soon(waiter, seconds)
        await anyio.sleep(10)
        assert callbacks_of(event) == 2
        event.gate.set()
    assert sorted(ended) == [100, 200]
    assert callbacks_of(event) == 0


# -------------------------------------------------------------------- Call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (double, "double"),
        (partial(double, plus=0), "double"),
        (partial(partial(double), plus=0), "double"),
        (Doubler(), "Doubler"),
        (partial(Doubler()), "Doubler"),
        (Doubler().method, "Doubler.method"),
        (AsyncMock(return_value=6), "AsyncMock"),
    ],
)
async def test_a_call_calls(function, name):
    """An async function, method, partial or object is called with the arguments, and named in its text."""
    call = Call.of(function, 3)
    assert str(call) == f"Call({name}, id={call.id})"
    await call.invoke()
    assert call.result() == 6
    fresh = call.as_fresh_event()
    await fresh.invoke()
    assert fresh.result() == 6
    assert call.to_dict("json")["function"].endswith(name)


async def test_a_call_takes_all_arguments():
    """Positional and keyword arguments of any name, also by the constructor."""

    async def collect(*args, **kwargs):
        return args, kwargs

    call = Call.of(collect, 1, function=2, cls=3)
    await call.invoke()
    assert call.result() == ((1,), {"function": 2, "cls": 3})
    assert Call(function=collect, args=[1, 2]).args == (1, 2)
    assert Call(function=collect).kwargs is not Call(function=collect).kwargs


async def _generator():
    yield 1


@pytest.mark.parametrize("function", [Doubler, None, 3, "double", _generator, partial(_generator), Event])
def test_what_is_no_function_is_no_call(function):
    """A TypeError at construction and at assignment; nothing has changed then."""
    with pytest.raises(TypeError, match="must be a function, async or not|is an async generator"):
        Call.of(function)
    with pytest.raises(TypeError):
        Call(function=function)
    call = Call.of(double, 1)
    with pytest.raises(TypeError):
        call.function = function
    assert call.function is double


async def test_a_record_of_a_call_has_the_name_of_its_function():
    """JSON: the name; a restored call says so when it runs, until it is given the function."""
    call = Call.of(double, 3, plus=1)
    record = call.to_dict("json")
    assert (record["function"], record["args"], record["kwargs"]) == (f"{__name__}.double", [3], {"plus": 1})
    restored = Call.from_json(call.to_json())
    assert restored.to_dict("json") == record
    assert repr(restored) == repr(call)
    await restored.invoke()
    with pytest.raises(EventFailed, match="a record has kept only the name") as caught:
        restored.result()
    assert isinstance(caught.value.__cause__, ExecutionError)
    assert restored.execution.retryable is False
    again = Call.from_json(call.to_json())
    again.function = double
    await again.invoke()
    assert again.result() == 7
    assert pickle.loads(pickle.dumps(call)).function is double  # noqa: S301  our own
    assert Call.from_dict(call.to_dict()).function is double


async def test_a_record_of_a_call_never_raises():
    """Whatever the function and its arguments are; a whole executor's too."""
    async with Executor.of(double) as executor:
        await executor.extend(
            [Call.of(AsyncMock(return_value=1), object()), Call.of(partial(double, 1)), Call.of(lambda_())]
        )
    data = executor.states.to_dict("json")
    assert len(Flow.from_dict(data).items) == 3


def lambda_():
    async def inner():
        pass

    return inner


# -------------------------------------------------------------------- Executor.of


async def test_an_executor_of_a_function_takes_calls():
    """Any call, with generous limits, or those given."""
    async with Executor.of(double, concurrency_limit=2, name="mine") as executor:
        assert await executor.invoke(Call.of(double, 1)) == 2
        assert await executor.invoke(Call.of(Doubler(), 2)) == 4
        with pytest.raises(TypeError):
            await executor.append(Twice(number=1))
        assert executor.processor.concurrency_limit == 2
        assert executor.processor.queue_capacity == 10_000
        assert executor.states.name == "mine"


async def test_an_executor_of_an_event_class_takes_its_events():
    """Subclasses too, unless it is strict."""

    class Thrice(Twice):
        pass

    async with Executor.of(Twice, queue_capacity=1, capacity_refresh_time=1.0) as executor:
        assert await executor.invoke(Twice(number=1)) == 2
        assert await executor.invoke(Thrice(number=1)) == 2
        assert executor.processor.queue_capacity == 1
    strict = Executor.of(Twice, strict_event_type=True)
    with pytest.raises(TypeError, match="strict_type"):
        await strict.append(Thrice(number=1))


async def test_of_keeps_the_processor_of_a_subclass():
    """Its gate is asked, its own keywords are taken."""

    class Gated(Processor):
        event_type = Event

        def __init__(self, *, answer, **kwargs):
            super().__init__(**kwargs)
            self.answer = answer

        async def request_permission(self, **_):
            return self.answer

    class GatedExecutor(Executor):
        processor_type = Gated

    executor = GatedExecutor.of(Twice, answer=Deny("no"))
    assert isinstance(executor, GatedExecutor)
    async with executor:
        await executor.append(Twice(number=1))
    assert counts(executor) == {"aborted": 1}
    assert GatedExecutor.processor_type is Gated
    assert Gated.event_type is Event


@pytest.mark.parametrize("target", [Job(), int, "double", None, _generator])
def test_of_refuses_other_targets(target):
    """With a TypeError that says what would do."""
    with pytest.raises(TypeError, match="target must be an Event subclass or a function"):
        Executor.of(target)


def test_of_refuses_unknown_keywords_at_once():
    """They are named, and so are the known ones."""
    with pytest.raises(ConfigurationError, match="has unknown keys: concurency_limit .*known: .*concurrency_limit"):
        Executor.of(double, concurency_limit=3)

    class Created(JobProcessor):
        @classmethod
        async def create(cls, *, own, **kwargs):
            return await super().create(**kwargs, concurrency_limit=own)

    assert with_processor(Created).of(Job, own=3).processor_config["own"] == 3


# -------------------------------------------------------------------- extend


async def jobs(number, closed=None):
    """Give jobs as an async generator that tells when it is closed."""
    try:
        for i in range(number):
            await anyio.sleep(1)
            yield Job(name=str(i))
    finally:
        if closed is not None:
            closed.append(anyio.get_current_task().id)


@pytest.mark.parametrize("make", [lambda: [Job(name=str(i)) for i in range(5)], lambda: jobs(5)], ids=["sync", "async"])
async def test_extend_appends_all_and_gives_them_back(make):
    """In their order, waiting for room, at the given priority."""
    async with make_executor(max_queue_size=2, concurrency_limit=1) as executor:
        events = await executor.extend(make(), priority=1)
        assert [event.name for event in events] == list("01234")
    assert counts(executor) == {"completed": 5}


async def test_a_refused_event_ends_extend_and_leaves_those_before():
    """The error goes on, the source is closed by the task that read it."""
    closed = []

    async def source():
        with anyio.CancelScope():  # would complain about another task
            try:
                yield Job()
                yield Twice(number=1)
            finally:
                closed.append(anyio.get_current_task().id)

    executor = make_executor()
    with pytest.raises(TypeError):
        await executor.extend(source())
    assert closed == [anyio.get_current_task().id]
    event = Job()
    with pytest.raises(ExistsError):
        await executor.extend([event, event, Job()])
    assert counts(executor) == {"pending": 2}
    with pytest.raises(TypeError, match="iterable"):
        await executor.extend(None)
    check_invariants(executor)


async def test_a_cancelled_extend_leaves_those_before():
    """While it waits for room: the one that waited is nowhere."""
    async with make_executor(max_queue_size=2) as executor:
        await executor.stop()
        events = [Job() for _ in range(5)]
        with anyio.move_on_after(1) as scope:
            await executor.extend(events)
        assert scope.cancelled_caught
        assert counts(executor) == {"pending": 2}
        check_invariants(executor)
        with pytest.raises(QueueFullError):
            await executor.append(events[2])


# -------------------------------------------------------------------- as_completed


async def test_as_completed_gives_events_in_the_order_they_end():
    """However they end; those that have ended come first, duplicates once; of several executors and of none."""
    async with make_executor() as first, make_executor() as second:
        done = [Job(name="done"), Job(name="done too", error=ValueError())]
        for event in done:
            await event.invoke()
        late, early, failing = Job(seconds=9), Job(seconds=1), Job(seconds=5, error=ValueError())
        timed_out = Job(seconds=8, timeout=3)
        await first.extend([late, failing])
        await second.extend([early, timed_out])
        given = [late, done[0], early, late, failing, done[1], timed_out, early]
        ended = [event async for event in first.as_completed(given)]
    assert ended == [*done, early, timed_out, failing, late]


async def test_as_completed_of_nothing_is_over_at_once():
    """And stays so."""
    endings = make_executor().as_completed([])
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(endings)


async def test_as_completed_needs_no_tasks():
    """A thousand events wait with no more tasks than one."""
    async with make_executor() as executor:
        await executor.stop()
        events = await executor.extend([Job() for _ in range(1000)])
        async with anyio.create_task_group() as group:

            async def consume():
                assert len([event async for event in executor.as_completed(events)]) == 1000

            before = len(anyio.get_running_tasks())
            group.start_soon(consume)
            await wait_all_tasks_blocked()
            assert len(anyio.get_running_tasks()) == before + 1
            await executor.start()


@pytest.mark.parametrize("how", ["break", "raise", "cancel", "aclose", "with", "never"])
async def test_leaving_early_leaves_the_events_as_they_are(how):
    """And nothing behind in them."""
    async with make_executor() as executor:
        events = await executor.extend([Job(), Job(seconds=100), Job(seconds=200)])
        if how == "break":
            async for _ in executor.as_completed(events):
                break
        elif how == "raise":
            with suppress(ValueError):
                async for _ in executor.as_completed(events):
                    raise ValueError
        elif how == "cancel":
            with anyio.move_on_after(50):
                async for _ in executor.as_completed(events):
                    pass
        elif how == "aclose":
            endings = executor.as_completed(events)
            await anext(endings)
            await endings.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(endings)
            await endings.aclose()
        elif how == "with":
            async with executor.as_completed(events) as endings:
                await anext(endings)
        else:
            executor.as_completed(events)
        gc.collect()
        assert [callbacks_of(event) for event in events] == [0, 0, 0]
    assert counts(executor) == {"completed": 3}


async def test_a_cancelled_wait_for_the_next_can_go_on():
    """as_completed() loses nothing when one step of it is cancelled."""
    async with make_executor() as executor:
        events = await executor.extend([Job(seconds=i) for i in (30, 1, 5)])
        endings, ended = executor.as_completed(events), []
        while len(ended) < 3:
            with anyio.move_on_after(0.5), suppress(StopAsyncIteration):
                ended.append(await anext(endings))
        assert [event.seconds for event in ended] == [1, 5, 30]


async def test_as_completed_has_one_consumer():
    """A second one is refused, the first goes on."""
    async with make_executor() as executor:
        endings = executor.as_completed(await executor.extend([Job(seconds=1)]))
        async with anyio.create_task_group() as group:
            group.start_soon(anext, endings)
            await wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await anext(endings)


async def test_closing_ends_a_loop_that_waits():
    """aclose() from another task: the loop is over."""
    async with make_executor() as executor:
        endings = executor.as_completed(await executor.extend([Job(seconds=9)]))
        async with anyio.create_task_group() as group:

            async def consume():
                assert [event async for event in endings] == []
                assert anyio.current_time() < 9

            group.start_soon(consume)
            await wait_all_tasks_blocked()
            await endings.aclose()


async def test_as_completed_refuses_what_it_could_never_give():
    """No events; an event that asks for its own end."""
    executor = make_executor()
    event = Job(gate=anyio.Event())
    with pytest.raises(TypeError, match="takes events, got int"):
        executor.as_completed([event, 3])
    assert callbacks_of(event) == 0

    class Selfish(Job):
        async def _invoke(self):
            executor.as_completed([event, self])

    async with executor:
        with pytest.raises(EventFailed) as caught:
            await executor.invoke(Selfish())
        assert isinstance(caught.value.__cause__, RuntimeError)
    assert callbacks_of(event) == 0


async def test_as_completed_tells_last_of_events_that_will_not_end():
    """All that do end are given before, also those of other executors."""
    other = make_executor()
    await other.start()
    left = make_executor(concurrency_limit=1)
    endings, events = None, []
    with pytest.raises(ExceptionGroup):
        async with left:
            events = await left.extend([Job(name="ran", seconds=5), Job(name="pending")])
            events += await other.extend([Job(name="other", seconds=50)])
            endings = left.as_completed(events)
            await anyio.sleep(1)
            raise ValueError
    assert (await anext(endings)).name == "ran"
    assert (await anext(endings)).name == "other"
    with pytest.raises(ExecutorClosedError, match="did not end"):
        await anext(endings)
    with pytest.raises(StopAsyncIteration):
        await anext(endings)
    with pytest.raises(ExecutorClosedError):
        [event async for event in left.as_completed(events[1:2])]
    assert callbacks_of(events[1]) == 0
    await other.stop()


async def test_an_event_that_ends_after_all_is_given_after_all():
    """Its executor was started again before the others had ended."""
    other, left = make_executor(), make_executor(concurrency_limit=1)
    async with other:
        slow = (await other.extend([Job(seconds=50)]))[0]
        with pytest.raises(ExceptionGroup):
            async with left:
                events = await left.extend([Job(seconds=5), Job()])
                endings = left.as_completed([*events, slow])
                await anyio.sleep(1)
                raise ValueError
        async with left:
            pass
        assert {event.status async for event in endings} == {EventStatus.CANCELLED, EventStatus.COMPLETED}


# -------------------------------------------------------------------- whatever ends it


class Gated(Job):
    """Tells its gate what to answer."""

    answer: object = True

    @property
    def request(self):
        return {"answer": self.answer}


class Breakable(JobProcessor):
    """Each event is a partition of its own."""

    def partition(self, event):
        return event.id

    async def request_permission(self, *, answer=True, **_):
        return answer


async def _ends_itself(executor, event):
    await event.wait()


async def _skipped_by_hand(executor, event):
    event.status = "skipped"


async def _cancelled(executor, event):
    executor.processor.cancel_running()


async def _stopped(executor, event):
    await executor.stop(grace=1)


async def _cleaned_up(executor, event):
    await executor.cleanup_events(["pending", "processing"])


async def _left(executor, event):
    raise ValueError("left")


async def _crashed(executor, event):
    def crash(now):
        raise OSError("crash")

    executor.processor.queue.pop_nowait = crash
    await executor.append(Job())
    await anyio.sleep(10)


ENDS = {
    "completion": (_ends_itself, {"seconds": 5.0}, "completed"),
    "failure": (_ends_itself, {"seconds": 5.0, "error": ValueError()}, "failed"),
    "timeout": (_ends_itself, {"seconds": 5.0, "timeout": 2}, "cancelled"),
    "cancelled": (_cancelled, {"seconds": 500.0}, "cancelled"),
    "by hand": (_skipped_by_hand, {"seconds": 5.0}, "skipped"),
    "gate": (_ends_itself, {"answer": Deny("no")}, "aborted"),
    "stop": (_stopped, {"seconds": 500.0}, "cancelled"),
    "cleanup running": (_cleaned_up, {"seconds": 5.0}, "completed"),
    "cleanup pending": (_cleaned_up, {"answer": Wait(500)}, None),
    "left running": (_left, {"seconds": 500.0}, "cancelled"),
    "left pending": (_left, {"answer": Wait(500)}, None),
    "crash running": (_crashed, {"seconds": 500.0}, "cancelled"),
    "crash pending": (_crashed, {"answer": Wait(500)}, None),
}


@pytest.mark.parametrize("case", ENDS)
async def test_every_handle_settles_once_whatever_ends_the_event(case):
    """wait(), invoke(), as_completed() and map(): each comes to its one end, and leaves nothing in the event."""
    how, fields, status = ENDS[case]
    executor = with_processor(Breakable)
    told = []

    async def settle(name, handle):
        try:
            outcome = await handle
        except (ExecutorClosedError, EventFailed) as exc:
            outcome = exc.status if isinstance(exc, EventFailed) else None
        told.append((name, outcome))

    async def invoke(event):
        await executor.invoke(event, 1)
        return event.status

    async def wait(event):
        await event.wait()
        return event.status

    async def iterate(events):
        (event,) = [event async for event in events]
        return event.status

    events = [Gated(**fields, name=name) for name in ("wait", "invoke", "as_completed", "map")]
    waited, invoked, endings, mapped = events
    async with anyio.create_task_group() as group:
        with suppress(ExceptionGroup, anyio.get_cancelled_exc_class()):
            async with executor:
                await executor.extend([waited, endings], priority=1)
                group.start_soon(settle, "wait", wait(waited))
                group.start_soon(settle, "invoke", invoke(invoked))
                group.start_soon(settle, "as_completed", iterate(executor.as_completed([endings])))
                group.start_soon(settle, "map", iterate(executor.map(Gated, [mapped], priority=1)))
                await anyio.sleep(1)
                for event in events:
                    await how(executor, event)
        group.cancel_scope.deadline = anyio.current_time() + 1000
    assert not group.cancel_scope.cancelled_caught
    assert sorted(told) == sorted((event.name, status) for event in events)
    assert anyio.current_time() < 100
    assert [callbacks_of(event) for event in events] == [0] * 4
    assert {event.status for event in events} == {status or "pending"}
