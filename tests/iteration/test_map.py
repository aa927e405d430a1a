"""Executor.map(): an event for each item, each given when it has ended, and what leaving the loop leaves."""

import asyncio
import gc
from contextlib import nullcontext, suppress

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ASYNCIO_ONLY, Job, callbacks_of, check_invariants, counts, make_executor, view_of

from lionpride_exec import (
    Call,
    Concurrent,
    Event,
    EventCancelled,
    EventFailed,
    EventStatus,
    Executor,
    ExecutorClosedError,
    ExistsError,
    Journal,
    Rate,
    Retry,
)
from lionpride_exec.errors import ValidationError
from lionpride_exec.testing import BACKENDS, FaultPlan, Latency, backend_options

pytestmark = pytest.mark.anyio

SOURCES = pytest.mark.parametrize("kind", ["sync", "async"])
HOW_TO_LEAVE = pytest.mark.parametrize("how", ["break", "raise", "cancel", "aclose", "with"])


class Source:
    """Items as a generator of either kind, which keeps what was taken and how it ended."""

    def __init__(self, kind, items, error=None):
        self.kind = kind
        self.items = items
        self.error = error
        self.taken = []
        self.closed = 0

    def __call__(self):
        return self._sync() if self.kind == "sync" else self._async()

    def _sync(self):
        try:
            for item in self.items:
                self.taken.append(item)
                yield item
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1

    async def _async(self):
        with anyio.CancelScope():  # would complain if it were closed by another task
            try:
                for item in self.items:
                    await anyio.lowlevel.checkpoint()
                    self.taken.append(item)
                    yield item
                if self.error is not None:
                    raise self.error
            finally:
                self.closed += 1


async def work(seconds):
    """Take some time; negative: fail then."""
    await anyio.sleep(abs(seconds))
    if seconds < 0:
        raise ValueError(seconds)
    return seconds


async def forever(item):
    await anyio.sleep_forever()


async def first_quick(item):
    await anyio.sleep(1e6 if item else 1)


def check_left(events):
    """Nothing of a map stays in its events."""
    gc.collect()
    assert [callbacks_of(event) for event in events] == [0] * len(events)


# -------------------------------------------------------------------- what comes out


@SOURCES
async def test_events_come_in_the_order_they_end(kind):
    """However they end: a failure is data."""
    async with Executor.of(work) as executor:
        events = [event async for event in executor.map(work, Source(kind, [5, -3, 1, 4])())]
        assert [event.args[0] for event in events] == [1, -3, 4, 5]
        assert [event.status.value for event in events] == ["completed", "failed", "completed", "completed"]
        assert counts(executor) == {}
        check_left(events)


@SOURCES
async def test_ordered_events_come_in_the_order_of_the_items(kind):
    """The failed ones in their turn."""
    async with Executor.of(work, concurrency_limit=3) as executor:
        events = [event async for event in executor.map(work, Source(kind, [5, -3, 1, 4, 0])(), ordered=True)]
        assert [event.args[0] for event in events] == [5, -3, 1, 4, 0]
        check_left(events)


@SOURCES
async def test_no_items_no_events(kind):
    """And the iterator stays at its end."""
    async with Executor.of(work) as executor:
        mapped = executor.map(work, Source(kind, [])())
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(mapped)


async def test_items_for_an_event_class():
    """Mappings of fields, values of the only required field, events of the class."""

    class Square(Event):
        number: int
        power: int = 2

        async def _invoke(self):
            return self.number**self.power

    items = [3, {"number": 3, "power": 3}, Square(number=4), {"number": 5}]
    async with Executor.of(Square) as executor:
        results = [event.result() async for event in executor.map(Square, items, ordered=True)]
    assert results == [9, 27, 16, 25]


async def test_an_event_that_has_ended_comes_as_it_is():
    """It is filed and given, not run again."""
    done = Job(name="done")
    await done.invoke()
    async with make_executor() as executor:
        assert [event async for event in executor.map(Job, [done])] == [done]
    assert done.execution.attempt == 1


@pytest.mark.parametrize("target", [None, Job(), int])
def test_other_targets_are_refused(target):
    """At once."""
    with pytest.raises(TypeError, match="target must be an Event subclass or a function"):
        make_executor().map(target, [])


@pytest.mark.parametrize("name", ["lookahead", "max_lookahead"])
@pytest.mark.parametrize("lookahead", [0, -1, 1.5, True, "2"])
def test_other_lookaheads_are_refused(name, lookahead):
    """At once."""
    with pytest.raises(ValueError, match=f"^{name} must be an integer, 1 or more"):
        make_executor().map(Job, [], **{name: lookahead})


def test_items_must_be_iterable():
    """Refused at once."""
    with pytest.raises(TypeError, match="items must be an iterable or an async iterable, got int"):
        make_executor().map(Job, 3)


# -------------------------------------------------------------------- how much is taken


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
async def test_look_ahead_is_bounded(kind, ordered):
    """Twice the concurrency limit by default; what was taken and not given never exceeds it."""
    source, given = Source(kind, range(50)), 0
    async with Executor.of(work, concurrency_limit=3) as executor:
        async for _ in executor.map(work, source(), ordered=ordered):
            assert len(source.taken) - given <= 6
            assert len(executor.states.items) <= 6 + 1
            given += 1
            await anyio.sleep(100)
    assert given == 50


async def test_the_default_follows_what_is_configured():
    """Also before there is a processor."""
    source = Source("sync", range(50))
    executor = Executor.of(forever, concurrency_limit=4)
    with anyio.move_on_after(1):
        await anext(executor.map(forever, source()))
    assert len(source.taken) == 8


@SOURCES
async def test_memory_stays_flat(kind):
    """Thousands of no-ops: the executor never holds more than the look-ahead and the event given last."""

    async def nothing(_):
        pass

    source, given, most = Source(kind, range(20_000)), 0, 0
    async with Executor.of(nothing, concurrency_limit=20) as executor:
        async for _ in executor.map(nothing, source()):
            given += 1
            most = max(most, len(executor.states.items), executor.processor.queue.qsize())
        assert counts(executor) == {}
        assert not view_of(executor).processor.running
        assert not view_of(executor).running
    assert given == 20_000
    assert most <= 41


class Prompt(Event):
    """One call of a model, which may be limited."""

    model: str
    seconds: float = 0.1

    async def _invoke(self):
        await anyio.sleep(self.seconds)
        return anyio.current_time()


def limited(event):
    """Return the key of a limit that all models but "b" have."""
    return None if event.model == "b" else event.model


async def last_ends(items, limit, *, kind, **options):
    """Return when the last event of each model ended, and how many there were at most that had not been given."""
    ends, source, most = {}, Source(kind, items), 0
    async with Executor.of(Prompt, concurrency_limit=5, limits=[limit], max_queue_size=5000) as executor:
        async for prompt in executor.map(Prompt, source(), priority=0, **options):
            ends[prompt.model] = prompt.result()
            most = max(most, len(executor.states.items))
        assert executor.processor.queue.blocked == 0
    return ends, most


@SOURCES
@pytest.mark.parametrize("limit", [Rate(1, per=1, key=limited), Concurrent(1, key=limited)], ids=["rate", "concurrent"])
async def test_a_key_at_its_limit_holds_up_no_other(kind, limit):
    """The map looks past its events."""
    items = [{"model": "ab"[n % 2], "seconds": 1.0 if n % 2 == 0 else 0.1} for n in range(200)]
    ends, most = await last_ends(items, limit, kind=kind)
    assert ends["a"] >= 99
    assert ends["b"] <= 5
    assert most <= 201


@SOURCES
async def test_in_order_past_a_key_whose_events_are_quick(kind):
    """While the one whose turn it is waits for its key, those that have ended behind it do not count."""
    items = [{"model": "ab"[n % 2]} for n in range(200)]
    ends, _ = await last_ends(items, Rate(1, per=1, key=limited), kind=kind, ordered=True)
    assert ends["b"] <= 5


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
async def test_the_look_ahead_past_a_key_is_bounded(kind, ordered):
    """By max_lookahead: then the others wait, too."""
    items = [{"model": "ab"[n % 2]} for n in range(400)]
    ends, most = await last_ends(items, Rate(1, per=1, key=limited), kind=kind, ordered=ordered, max_lookahead=50)
    assert most <= 51
    assert ends["b"] > 100


@SOURCES
async def test_the_look_ahead_past_several_keys(kind):
    """Each goes at its own pace."""
    items = [{"model": "abcd"[n % 4]} for n in range(200)]
    ends, _ = await last_ends(items, Rate(5, per=1, key=limited), kind=kind, ordered=False)
    assert ends["b"] <= 5
    assert all(9 <= ends[model] <= 10 for model in "acd")


async def test_a_key_is_blocked_no_longer_when_its_events_leave():
    """Cancelled events are not counted any more."""
    async with Executor.of(Prompt, limits=[Rate(1, per=100, key=limited)]) as executor:
        events = await executor.extend([Prompt(model="a") for _ in range(100)], priority=0)
        await anyio.sleep(1)
        assert executor.processor.queue.blocked == 99
        for event in events[1:50]:
            executor.cancel(event)
        assert executor.processor.queue.blocked == 50
        for event in events[50:]:
            executor.cancel(event)
        await executor.append(Prompt(model="b"), 0)
        await executor.join()
        assert executor.processor.queue.blocked == 0


async def test_an_event_leaves_the_executor_when_the_next_is_asked_for():
    """Until then it can be looked at; who takes it out earlier does no harm."""
    async with Executor.of(work) as executor:
        mapped = executor.map(work, [1, 2, 3])
        first = await anext(mapped)
        assert first in executor
        second = await anext(mapped)
        assert first not in executor
        assert second in executor
        await executor.cleanup_events()
        third = await anext(mapped)
        with pytest.raises(StopAsyncIteration):
            await anext(mapped)
        assert third not in executor


async def test_events_are_given_while_the_queue_is_full():
    """A look-ahead beyond the queue holds up nobody."""
    async with Executor.of(work, concurrency_limit=1, max_queue_size=2) as executor:
        given = []
        async for event in executor.map(work, [10] * 8, lookahead=100):
            given.append(anyio.current_time())
            assert event.result() == 10
    assert given == pytest.approx([10 * i for i in range(1, 9)], abs=0.1)


async def test_a_consumer_that_never_waits_lets_others_run():
    """Also when all has ended already."""
    async with Executor.of(work) as executor, anyio.create_task_group() as group:
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await anyio.lowlevel.checkpoint()
                ticks += 1

        mapped = executor.map(work, [0] * 500, lookahead=500)
        await anext(mapped)
        await anyio.sleep(1)
        group.start_soon(tick)
        async for _ in mapped:
            pass
        assert ticks >= 2
        group.cancel_scope.cancel()


async def test_a_consumer_that_never_waits_notices_its_cancellation():
    """Within ten events."""
    async with Executor.of(work) as executor:
        mapped = executor.map(work, [0] * 100, lookahead=100)
        await anext(mapped)
        await anyio.sleep(1)
        given = 0
        with anyio.CancelScope() as scope:
            async for _ in mapped:
                scope.cancel()
                given += 1
        assert scope.cancelled_caught
        assert given <= 10


@pytest.mark.parametrize("how", ["subclass", "instance", "fault plan"])
async def test_events_come_in_through_an_append_that_is_replaced(how):
    """By a subclass, on the instance, or by a fault plan: each item once, in a map that runs already."""
    seen = []

    class Counting(Executor):
        async def append(self, event, *args, **kwargs):
            seen.append(event)
            return await super().append(event, *args, **kwargs)

    executor = (Counting if how == "subclass" else Executor).of(work, concurrency_limit=2)
    plan = FaultPlan(1, {"append:before": Latency(1)})
    async with executor:
        mapped = executor.map(work, [1] * 6, lookahead=1)
        await anext(mapped)
        seen.clear()
        if how == "instance":
            usual = executor.append

            async def append(event, *args, **kwargs):
                seen.append(event)
                return await usual(event, *args, **kwargs)

            executor.append = append
        with plan.applied(executor) if how == "fault plan" else nullcontext():
            given = [event async for event in mapped]
    if how == "fault plan":
        assert len(plan.injected) == 5
    else:
        assert seen == given
    assert len(given) == 5


@pytest.mark.parametrize("lookahead", [None, 3])
async def test_the_look_ahead_follows_a_resize(lookahead):
    """The default does; a number of your own stays."""
    source = Source("sync", range(100))
    async with Executor.of(forever, concurrency_limit=2) as executor, anyio.create_task_group() as group:
        mapped = executor.map(forever, source(), lookahead=lookahead)

        async def consume():
            assert [event async for event in mapped]

        group.start_soon(consume)
        await wait_all_tasks_blocked()
        assert len(source.taken) == (lookahead or 4)
        executor.resize(concurrency_limit=5)
        executor.cancel(executor.processing_events[0])
        await wait_all_tasks_blocked()
        assert len(source.taken) == (lookahead + 1 if lookahead else 11)
        group.cancel_scope.cancel()


async def test_a_priority_is_that_of_every_event():
    """A map can go behind, or before, other work."""
    order = []

    async def note(item):
        order.append(item)

    async with Executor.of(note, concurrency_limit=1) as executor:
        await executor.stop()
        await executor.append(Call.of(note, "other"), priority=1)
        async with anyio.create_task_group() as group:

            async def consume():
                async for _ in executor.map(note, ["a", "b"], priority=0):
                    pass

            group.start_soon(consume)
            await wait_all_tasks_blocked()
            await executor.start()
    assert order == ["a", "b", "other"]


# -------------------------------------------------------------------- leaving the loop


async def leave(how, mapped):
    """Take one event, and leave."""
    if how == "break":
        async for _ in mapped:
            break
    elif how == "raise":
        with suppress(KeyError):
            async for _ in mapped:
                raise KeyError
    elif how == "cancel":
        with anyio.move_on_after(5):
            async for _ in mapped:
                pass
    elif how == "aclose":
        await anext(mapped)
        await mapped.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(mapped)
        await mapped.aclose()
    else:
        async with mapped:
            await anext(mapped)


@SOURCES
@HOW_TO_LEAVE
async def test_leaving_cancels_what_has_not_begun(kind, how):
    """It ends CANCELLED with a reason and stays to be looked at; the source is closed by who read it; others go on."""
    source = Source(kind, range(100))
    async with Executor.of(first_quick, concurrency_limit=2) as executor:
        other = Call.of(work, 3)
        await executor.append(other, priority=0)
        holder = [executor.map(first_quick, source(), lookahead=6)]
        await leave(how, holder.pop())
        pending = [event for event in executor.states.items if event.execution.attempt == 0]
        assert len(pending) >= 3
        assert {event.status for event in pending} == {EventStatus.CANCELLED}
        assert {type(event.execution.error) for event in pending} == {EventCancelled}
        await wait_all_tasks_blocked()
        assert source.closed == 1
        assert not view_of(executor).guests
        check_left(executor.states.items)
        await other.wait()
        taken = len(source.taken)
        check_invariants(executor)
        await executor.stop(grace=0)
    assert other.result() == 3
    assert len(source.taken) == taken < 10


@SOURCES
@HOW_TO_LEAVE
async def test_leaving_cancels_what_runs(kind, how):
    """So the block can be left at once."""
    async with Executor.of(first_quick, concurrency_limit=2) as executor:
        holder = [executor.map(first_quick, Source(kind, range(100))(), lookahead=6)]
        await leave(how, holder.pop())
    assert anyio.current_time() < 100
    assert set(counts(executor)) <= {"completed", "cancelled"}


async def test_a_loop_dropped_in_another_thread_goes_on():
    """As the garbage collector may do: nothing is touched from there."""
    async with Executor.of(work) as executor:
        holder = [executor.map(work, [0, 1, 1])]
        await anext(holder[0])
        await anyio.to_thread.run_sync(holder.clear)
    assert counts(executor) == {"completed": 3}


@SOURCES
async def test_an_iterator_that_never_began_leaves_nothing(kind):
    """No item is taken."""
    source = Source(kind, range(3))
    async with Executor.of(work) as executor:
        executor.map(work, source())
        async with executor.map(work, source()):
            pass
    assert source.taken == []


@SOURCES
async def test_leaving_while_waiting_for_room(kind):
    """Cancelled there, too, all its events are cancelled and nothing stays behind."""
    source = Source(kind, range(100))
    async with Executor.of(work, max_queue_size=3) as executor:
        await executor.stop()
        with anyio.move_on_after(1) as scope:
            async for _ in executor.map(work, source(), lookahead=10):
                pytest.fail("nothing runs")
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        assert counts(executor) == {"cancelled": 3}
        assert source.closed == 1
        assert len(source.taken) == 4
        check_invariants(executor)
        await executor.extend(Call.of(work, 0) for _ in range(3))  # there is room
        await executor.start()
    assert counts(executor) == {"cancelled": 3, "completed": 3}


@SOURCES
@pytest.mark.parametrize("queue_size", [3, 1000])
async def test_closing_from_another_task_ends_a_loop_that_waits(kind, queue_size):
    """For an end or for room."""
    source = Source(kind, range(100))
    async with Executor.of(work, max_queue_size=queue_size) as executor, anyio.create_task_group() as group:
        await executor.stop()
        mapped = executor.map(work, source(), lookahead=10)

        async def consume():
            assert [event async for event in mapped] == []

        group.start_soon(consume)
        await anyio.sleep(1)
        await mapped.aclose()
        assert source.closed == 1
        await anyio.sleep(1)
        assert set(counts(executor)) == {"cancelled"}
        check_left(executor.states.items)
        check_invariants(executor)


async def test_aclose_waits_until_the_source_is_closed():
    """Cancelled meanwhile, the source goes on being closed."""
    closed = []

    async def slow_to_close():
        try:
            for i in range(100):
                yield i
        finally:
            await anyio.sleep(10)
            closed.append(anyio.current_time())

    async with Executor.of(work) as executor:
        mapped = executor.map(work, slow_to_close(), lookahead=1)
        await anext(mapped)
        with anyio.move_on_after(5) as scope:
            await mapped.aclose()
        assert scope.cancelled_caught
        assert closed == []
        await mapped.aclose()
        assert closed == [pytest.approx(10, abs=0.1)]
        mapped = executor.map(work, slow_to_close(), lookahead=1)
        await anext(mapped)
        del mapped
    assert len(closed) == 2  # the block has waited for it


async def test_a_file_is_not_closed(tmp_path):
    """Only generators are: what somebody else may want to go on with is left to them."""
    path = tmp_path / "numbers"
    path.write_text("0\n0\n0\n")
    with path.open() as file:
        async with Executor.of(work) as executor:
            async for _ in executor.map(lambda_work(), file, lookahead=1):
                break
        assert not file.closed
        assert file.readline() == "0\n"


def lambda_work():
    async def run(line):
        return await work(float(line))

    return run


async def test_a_generator_with_a_task_group_is_closed_without_harm(caplog):
    """What its task group makes of the end is no error."""

    async def source():
        async with anyio.create_task_group():
            for i in range(100):
                yield i

    async with Executor.of(work) as executor:
        async for _ in executor.map(work, source(), lookahead=1):
            break
        await wait_all_tasks_blocked()
        assert await executor.invoke(Call.of(work, 1)) == 1
    assert caplog.records == []


async def test_an_error_while_a_left_source_is_closed_is_logged(caplog):
    """There is nobody to raise it to; the executor lives on."""

    async def source():
        try:
            for i in range(100):
                yield i
        finally:
            raise OSError("while closing")

    async with Executor.of(work) as executor:
        async for _ in executor.map(work, source(), lookahead=1):
            break
        await wait_all_tasks_blocked()
        assert await executor.invoke(Call.of(work, 1)) == 1
    assert "while it was closed" in caplog.text


async def test_a_map_has_one_consumer():
    """A second one is refused, and the first goes on."""
    async with Executor.of(work) as executor:
        mapped = executor.map(work, [1])
        async with anyio.create_task_group() as group:

            async def consume():
                assert (await anext(mapped)).result() == 1

            group.start_soon(consume)
            await wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await anext(mapped)


# -------------------------------------------------------------------- failing


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
async def test_fail_fast_raises_the_first_failure(kind, ordered):
    """At once, also before the turn of the one that failed; the rest is cancelled."""
    source = Source(kind, [9, 8, -1, 7, 7, 7, 7, 7, 7, 7, 7])
    async with Executor.of(work, concurrency_limit=3) as executor:
        mapped = executor.map(work, source(), ordered=ordered, fail_fast=True, lookahead=6)
        with pytest.raises(EventFailed) as caught:
            await anext(mapped)
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.status is EventStatus.FAILED
        assert anyio.current_time() == pytest.approx(1, abs=0.1)
        with pytest.raises(StopAsyncIteration):
            await anext(mapped)
        assert executor.status_counts()["failed"] == 1
        assert executor.status_counts()["cancelled"] >= 2
        await wait_all_tasks_blocked()
        assert source.closed == 1
        check_left(executor.states.items)


async def test_a_skipped_event_is_no_failure():
    """fail_fast gives it as any other."""
    async with make_executor() as executor:
        events = await executor.extend([Job(seconds=5), Job(seconds=6)])
        events[0].status = "skipped"
        fresh = [event.as_fresh_event() for event in events]
        ended = []
        async for event in executor.map(Job, fresh, fail_fast=True):
            ended.append(event.status.value)
            if len(ended) == 1:
                fresh[1].status = "skipped"
        assert ended == ["completed", "skipped"]


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("fail_fast", [False, True])
@pytest.mark.parametrize("number", [0, 1, 10])
async def test_an_error_of_the_source_comes_last(kind, ordered, fail_fast, number):
    """After all that was started has been given; the executor lives on."""
    source, given = Source(kind, [1 + n % 3 for n in range(number)], error=OSError("source")), []
    async with Executor.of(work, concurrency_limit=4) as executor:
        mapped = executor.map(work, source(), ordered=ordered, fail_fast=fail_fast)
        with pytest.raises(OSError, match="source"):
            async for event in mapped:
                given.append(event.result())  # noqa: PERF401  kept although it raises
        with pytest.raises(StopAsyncIteration):
            await anext(mapped)
        assert counts(executor) == {}
        check_left(executor.states.items)
        assert source.closed == 1
    assert given == source.taken if ordered else sorted(given) == sorted(source.taken)
    assert len(given) == number


@SOURCES
async def test_an_iterable_that_cannot_be_iterated(kind):
    """Its error comes at once, since nothing was started."""

    class Broken:
        pass

    def fail(_self):
        raise OSError("no list")

    setattr(Broken, "__iter__" if kind == "sync" else "__aiter__", fail)
    async with Executor.of(work) as executor:
        with pytest.raises(OSError, match="no list"):
            await anext(executor.map(work, Broken()))


async def test_an_error_in_closing_the_source_comes_last():
    """As any other error of the source."""

    class Items:
        """Behaves as an async generator whose cleanup fails."""

        def __aiter__(self):
            return self.items()

        async def items(self):
            try:
                yield 1
                yield 2
            finally:
                raise OSError("cleanup")

    given = []
    async with Executor.of(work) as executor:
        with pytest.raises(OSError, match="cleanup"):
            async for event in executor.map(work, Items()):
                given.append(event.result())  # noqa: PERF401  kept although it raises
    assert given == [1, 2]


@SOURCES
@pytest.mark.parametrize(
    ("error", "raised"), [(ValueError("no key"), ValueError), (StopIteration(), RuntimeError)], ids=["error", "stop"]
)
async def test_an_error_of_a_key_function_comes_last(kind, error, raised):
    """No more items are taken; a StopIteration is an error too (as Python raises it), and not the end of the items."""

    def key(item):
        if item == 3:
            raise error
        return item

    source, given = Source(kind, [1, 2, 3, 4]), []
    async with Executor.of(work) as executor:
        with pytest.raises(raised):
            async for event in executor.map(work, source(), key=key):
                given.append(event.result())  # noqa: PERF401  kept although it raises
    assert given == [1, 2]
    assert source.taken == [1, 2, 3]
    assert source.closed == 1


@SOURCES
@pytest.mark.parametrize("ordered", [False, True])
async def test_what_a_journal_refuses_ends_the_loop(kind, ordered, tmp_path):
    """With the refusal, when what came before was given."""
    source, given = Source(kind, [3, 1, {"when": object()}, 1]), []
    async with Executor.of(work, journal=Journal(tmp_path / "run.db")) as executor:
        with pytest.raises((ValidationError, NotImplementedError)):
            async for event in executor.map(work, source(), ordered=ordered):
                given.append(event.result())  # noqa: PERF401  kept although it raises
    assert given == ([3, 1] if ordered else [1, 3])
    assert source.closed == 1


@SOURCES
@pytest.mark.parametrize(
    ("item", "error", "match"),
    [
        (3, TypeError, "must be a Job or a mapping of its fields, got int"),
        ({"nome": "x"}, TypeError, "nome"),
        ({"timeout": -1}, ValueError, "timeout"),
        (Job(id="00000000-0000-0000-0000-000000000001"), ExistsError, "already exists"),
    ],
    ids=["value", "field", "bad value", "duplicate"],
)
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_refused_item_ends_the_loop(kind, item, error, match, ordered):
    """With the refusal, when what came before was given."""
    first, second = Job(id="00000000-0000-0000-0000-000000000001", seconds=3), Job(seconds=1)
    source, given = Source(kind, [first, second, item, Job()]), []
    async with make_executor(concurrency_limit=2) as executor:
        with pytest.raises(error, match=match):
            async for event in executor.map(Job, source(), lookahead=10, ordered=ordered):
                given.append(event)  # noqa: PERF401  kept although it raises
        assert given == ([first, second] if ordered else [second, first])
        await wait_all_tasks_blocked()
        assert source.closed == 1
        assert len(source.taken) == 3


@SOURCES
@pytest.mark.parametrize("how", ["break", "cancel"])
async def test_leaving_while_an_error_waits(kind, how, caplog):
    """The loop is over at once, as always, and the error is in the log."""
    source = Source(kind, [1, 50, 50], error=OSError("source"))
    async with Executor.of(work, concurrency_limit=5) as executor:
        with anyio.move_on_after(5):
            async for _ in executor.map(work, source()):
                if how == "break":
                    break
        gc.collect()
        await wait_all_tasks_blocked()
        assert executor.status_counts()["cancelled"] == 2
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("source",)]


@SOURCES
async def test_fail_fast_goes_before_an_error_of_the_source(kind, caplog):
    """It comes at once; the error of the source is noted in it, and logged."""
    source = Source(kind, [-1, 50], error=OSError("source"))
    async with Executor.of(work) as executor:
        with pytest.raises(EventFailed) as caught:
            await anext(executor.map(work, source(), fail_fast=True))
    assert "OSError" in caught.value.__notes__[-1]
    assert "source" in caplog.text


async def test_ordered_events_are_not_withheld_behind_one_that_is_lost():
    """The executor is left: what ended is given, though the one before it never will; then ExecutorClosedError."""
    given = []
    async with anyio.create_task_group() as group:
        with pytest.raises(ExceptionGroup):
            async with Executor.of(work, concurrency_limit=2, retry=Retry(3)) as executor:

                async def consume():
                    with pytest.raises(ExecutorClosedError, match="did not end"):
                        async for event in executor.map(work, [50, 1, 2, 3], ordered=True):
                            given.append(event.result())  # noqa: PERF401  kept although it raises

                group.start_soon(consume)
                await anyio.sleep(10)
                raise ValueError
    assert given == [1, 2, 3]


async def test_events_of_another_type_are_refused():
    """A function's calls by an executor of an event class."""
    with pytest.raises(TypeError, match="Call"):
        await anext(make_executor().map(work, [1]))


# -------------------------------------------------------------------- lifetimes


async def test_an_async_iterable_needs_a_running_executor():
    """A plain one does not: its events wait for the start."""
    executor = Executor.of(work)
    with pytest.raises(RuntimeError, match="needs a running executor"):
        await anext(executor.map(work, Source("async", [1])()))
    async with anyio.create_task_group() as group:

        async def consume():
            assert [event.result() async for event in executor.map(work, [1, 2])] == [1, 2]

        group.start_soon(consume)
        await wait_all_tasks_blocked()
        async with executor:
            pass


@SOURCES
async def test_a_map_right_after_start(kind):
    """Whose background task has not even begun."""
    executor = Executor.of(work)
    await executor.start()
    assert [event.result() async for event in executor.map(work, Source(kind, [2, 1])())] == [1, 2]
    await executor.stop()


@SOURCES
async def test_leaving_the_block_with_a_loop_unfinished(kind):
    """The block does not wait for it; what ended is given, then comes the error."""
    source = Source(kind, range(100))
    async with Executor.of(work) as executor:
        mapped = executor.map(work, source(), lookahead=3, ordered=True)
        await anext(mapped)
    with pytest.raises(ExecutorClosedError):
        while True:
            await anext(mapped)
    with pytest.raises(StopAsyncIteration):
        await anext(mapped)
    await wait_all_tasks_blocked()
    assert source.closed == 1
    assert not view_of(executor).guests


@SOURCES
async def test_a_loop_beside_a_block_that_is_left(kind):
    """It gets what ended, and the error in place of the items that were not taken."""
    given = []
    source = Source(kind, [5] * 100)
    async with anyio.create_task_group() as group:
        async with Executor.of(work, concurrency_limit=2) as executor:

            async def consume():
                with pytest.raises(ExecutorClosedError):
                    async for event in executor.map(work, source()):
                        given.append(event.result())  # noqa: PERF401  kept although it raises

            group.start_soon(consume)
            await anyio.sleep(1)
    assert given == [5] * 4
    assert counts(executor) == {}


@SOURCES
async def test_a_loop_whose_executor_is_crashed(kind):
    """It gets what ended, and ExecutorClosedError for what will not."""
    given = []
    async with anyio.create_task_group() as group:
        with pytest.raises(ExceptionGroup):
            async with Executor.of(work, concurrency_limit=2) as executor:

                async def consume():
                    with pytest.raises(ExecutorClosedError):
                        async for event in executor.map(work, Source(kind, [1, 50, 50, 50, 50])()):
                            given.append(event.status.value)  # noqa: PERF401  likewise

                group.start_soon(consume)
                await anyio.sleep(10)
                raise ValueError
    assert given == ["completed", "cancelled", "cancelled"]
    check_invariants(executor)


async def test_a_stopped_executor_can_go_on():
    """A loop over plain items waits for the start."""
    executor = Executor.of(work, concurrency_limit=1)
    await executor.start()
    given = []
    async for event in executor.map(work, [1, 1, 1]):
        given.append(event.result())
        await executor.stop()
        await executor.start()
    assert given == [1, 1, 1]
    await executor.stop()


async def test_stop_ends_the_reading_of_async_items():
    """Whose task lives in the group that ends then; what was appended runs after a start, then comes the error."""
    executor, given = Executor.of(work, concurrency_limit=1), []
    source = Source("async", [1] * 100)
    await executor.start()
    async with anyio.create_task_group() as group:

        async def consume():
            with pytest.raises(ExecutorClosedError, match="before all items"):
                async for event in executor.map(work, source(), lookahead=3):
                    given.append(event.result())  # noqa: PERF401  kept although it raises

        group.start_soon(consume)
        await anyio.sleep(0.5)
        await executor.stop()
        assert source.closed == 1
        await executor.start()
    assert len(given) in {3, 4}  # the first ended while stop() waited for it, and made room for one more, or not
    await executor.stop()


async def test_what_is_no_exception_goes_through_the_executor():
    """As if an event had raised it."""

    class Quit(BaseException):
        pass

    executor = Executor.of(work)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with executor:
            async for _ in executor.map(work, Source("async", [], error=Quit())()):
                pass
    assert caught.group_contains(Quit)


@ASYNCIO_ONLY
async def test_a_cancellation_from_the_source_concerns_the_loop_only():
    """Asyncio's own, past all scopes: the executor lives on."""

    async def source():
        yield 1
        raise asyncio.CancelledError

    async with Executor.of(work) as executor:
        with pytest.raises(ExecutorClosedError):
            async for event in executor.map(work, source()):
                assert event.result() == 1
        assert await executor.invoke(Call.of(work, 2)) == 2


async def test_the_release_of_an_event_waits_for_its_locks():
    """Whoever holds one sees the events stand still; cancelled there, the event stays."""
    async with Executor.of(work) as executor:
        mapped = executor.map(work, [1, 2], lookahead=1)
        first = await anext(mapped)
        release = anyio.Event()

        async def hold():
            async with executor.states.progressions:
                await release.wait()

        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await wait_all_tasks_blocked()
            with anyio.move_on_after(5) as scope:
                await anext(mapped)
            assert scope.cancelled_caught
            assert first in executor
            mapped = executor.map(work, [])
            with pytest.raises(StopAsyncIteration):
                await anext(mapped)
            release.set()
        mapped = executor.map(work, [1, 2])
        second = await anext(mapped)
        release = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await wait_all_tasks_blocked()
            group.start_soon(anext, mapped)
            await anyio.sleep(5)
            assert second in executor
            release.set()
        assert second not in executor


# -------------------------------------------------------------------- inside events


@SOURCES
async def test_a_map_inside_an_event_of_the_same_executor(kind):
    """Works while a slot is left, also while the block is being left."""
    executor = Executor.of(work, concurrency_limit=2)

    async def parent():
        return [event.result() async for event in executor.map(work, Source(kind, [3, 2, 1])(), ordered=True)]

    async with executor:
        event = Call.of(parent)
        await executor.append(event)
    assert event.result() == [3, 2, 1]
    assert counts(executor) == {"completed": 1}


@SOURCES
async def test_events_that_map_and_take_all_slots_need_a_timeout(kind):
    """It cancels the inner events too, and the executor goes on."""
    executor = Executor.of(work, concurrency_limit=1)

    async def parent():
        async for _ in executor.map(work, Source(kind, [1, 1])()):
            pass

    async with executor:
        event = Call.of(parent)
        event.timeout = 5
        await executor.append(event)
    assert event.status is EventStatus.CANCELLED
    assert counts(executor) == {"cancelled": 3}


# -------------------------------------------------------------------- at random

ITEMS = st.lists(st.sampled_from([0, 0, 0.5, 1, 2, 7, -1, -2]), max_size=30)


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    items=ITEMS,
    pauses=st.lists(st.sampled_from([0, 0, 0, 1, 5]), min_size=1, max_size=5),
    kind=st.sampled_from(["sync", "async"]),
    ordered=st.booleans(),
    lookahead=st.one_of(st.none(), st.integers(1, 12)),
    concurrency=st.integers(1, 5),
    queue_size=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_each_item_comes_once(backend, items, pauses, kind, ordered, lookahead, concurrency, queue_size):
    """In its order if asked to, as it ended; never more than the look-ahead is taken; nothing stays."""
    name, options = backend_options(backend)
    source, given = Source(kind, list(enumerate(items))), []
    bound = lookahead or 2 * concurrency

    async def run(item):
        return await work(item[1])

    async def main():
        async with Executor.of(run, concurrency_limit=concurrency, max_queue_size=queue_size) as executor:
            async for event in executor.map(run, source(), ordered=ordered, lookahead=lookahead):
                given.append(event)
                assert len(source.taken) - len(given) <= bound
                assert len(executor.states.items) <= bound + 1
                check_invariants(executor)
                await anyio.sleep(pauses[len(given) % len(pauses)])
            assert counts(executor) == {}

    anyio.run(main, backend=name, backend_options=options)
    numbers = [event.args[0][0] for event in given]
    assert sorted(numbers) == list(range(len(items)))
    if ordered:
        assert numbers == sorted(numbers)
    for event in given:
        assert event.status.value == ("failed" if event.args[0][1] < 0 else "completed")
    assert source.closed == 1


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    items=st.lists(st.sampled_from([0, 0.5, 1, 2, -1]), max_size=20),
    trouble=st.sampled_from(["source", "make", "key"]),
    kind=st.sampled_from(["sync", "async"]),
    ordered=st.booleans(),
    lookahead=st.one_of(st.none(), st.integers(1, 12)),
    concurrency=st.integers(1, 5),
    queue_size=st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_what_was_started_is_given_before_the_error(
    backend, items, trouble, kind, ordered, lookahead, concurrency, queue_size
):
    """Whatever fails, and wherever: given is what was started, each once, then comes the error."""
    name, options = backend_options(backend)
    jobs = [Job(seconds=abs(item), error=ValueError() if item < 0 else None) for item in items]
    last = {"source": [], "make": [3], "key": [Job(name="bad")]}
    source, given_events = Source(kind, jobs + last[trouble], OSError() if trouble == "source" else None), []

    def key(item):
        return 1 / 0 if isinstance(item, Job) and item.name == "bad" else None

    async def main():
        config = {"concurrency_limit": concurrency, "max_queue_size": queue_size}
        async with make_executor(**config) as executor:
            with pytest.raises({"source": OSError, "make": TypeError, "key": ZeroDivisionError}[trouble]):
                async for event in executor.map(Job, source(), ordered=ordered, lookahead=lookahead, key=key):
                    given_events.append(event)  # noqa: PERF401  likewise

    anyio.run(main, backend=name, backend_options=options)
    assert sorted(event.id for event in given_events) == sorted(job.id for job in jobs)
    if ordered:
        assert given_events == jobs
    assert source.closed == 1
