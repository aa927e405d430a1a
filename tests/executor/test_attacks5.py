"""What broke when somebody tried to: odd moments, hands of users, observers that act, one loop after another."""

import asyncio

import anyio
import pytest
from journal_support import Step, open_executor, rows, until
from support import Job, JobExecutor, make_executor, owner_of

from lionpride_exec import (
    ConfigurationError,
    Deny,
    EventStatus,
    Execution,
    ExecutorClosedError,
    ExistsError,
    QueueFullError,
    Retry,
)
from lionpride_exec.testing import BACKENDS, check_invariants, inline, record, run

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


# ---------------------------------------------------------------- on the way to the disk


async def test_who_waits_for_an_event_whose_key_turns_out_to_be_on_disk_is_told(path):
    """An event that leaves again on its way to the disk wakes those who wait for it."""
    async with open_executor(path) as executor:
        await executor.append(Step(name="first"), key="once")
    async with open_executor(path) as executor:
        second, told = Step(name="second"), anyio.Event()

        async def wait():
            await until(lambda: second in executor)
            with pytest.raises(ExecutorClosedError):
                await second.wait()
            told.set()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            known = await executor.append(second, key="once")
            assert known.name == "first"
            assert second not in executor
            with anyio.fail_after(10):
                await told.wait()


async def test_who_waits_for_an_event_whose_append_is_cancelled_is_told(path):
    """Likewise where the append was cancelled before it was written."""
    async with open_executor(path) as executor:
        event, told = Step(), anyio.Event()

        async def wait():
            with pytest.raises(ExecutorClosedError):
                await event.wait()
            told.set()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            with anyio.CancelScope() as scope:
                group.start_soon(_cancel_when, scope, lambda: event in executor)
                await executor.append(event)
            assert scope.cancelled_caught
            with anyio.fail_after(10):
                await told.wait()


async def _cancel_when(scope, condition):
    while not condition():
        await anyio.lowlevel.checkpoint()
    scope.cancel()


# ---------------------------------------------------------------- gates


async def test_a_gate_that_is_set_on_the_processor_while_it_runs_is_asked():
    """A gate set on a processor of a running executor counts from then on."""
    async with make_executor() as executor:
        before = await executor.append(Job())
        await before.wait()

        async def gate(**_):
            return Deny("closed")

        executor.processor.request_permission = gate
        after = await executor.append(Job())
        await after.wait()
        assert (before.status, after.status) == (EventStatus.COMPLETED, EventStatus.ABORTED)
        del executor.processor.request_permission
        again = await executor.append(Job())
        await again.wait()
        assert again.status is EventStatus.COMPLETED


async def test_an_event_is_cancelled_while_it_is_reported_by_a_class_that_takes_its_time():
    """An event that was filed in advance stands in one place when it is decided meanwhile."""

    class Slow(JobExecutor):
        async def _update_progression(self, event, force_status=None):
            await super()._update_progression(event, force_status)
            await anyio.sleep(1)

    async with make_executor(Slow) as executor:
        event = await executor.append(Job())
        await anyio.sleep(0.5)
        assert executor.cancel(event)
        check_invariants(executor)
    check_invariants(executor)
    assert event.status is EventStatus.CANCELLED


# ---------------------------------------------------------------- ids


async def test_a_copy_of_an_event_that_was_removed_and_runs_is_refused():
    """Two events of one id never run in one executor: the second one to land would take the executor down."""
    gate = anyio.Event()
    async with make_executor() as executor:
        event = await executor.append(Job(gate=gate))
        await anyio.sleep(1)
        assert await executor.cleanup_events(["processing"]) == 1
        copy = Job(id=event.id)
        with pytest.raises(ExistsError, match="still runs here"):
            await executor.append(copy)
        assert copy not in executor
        assert owner_of(copy) is None
        await executor.append(event)  # itself may come back
        gate.set()
        await event.wait()
    assert event.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_append_where_a_progression_was_taken_out_leaves_nothing_behind():
    """What is refused because the progression is gone is not among the items."""
    executor = make_executor()
    executor.states.remove_progression("pending")
    event = Job()
    with pytest.raises(ConfigurationError, match="taken out"):
        await executor.append(event)
    assert event not in executor
    assert owner_of(event) is None


# ---------------------------------------------------------------- observers that act


async def test_an_observer_that_raises_a_cancellation_holds_up_nobody_who_comes_after():
    """The executor follows a transition to its end, whatever an observer raises."""
    async with make_executor() as executor:

        def observe(event, previous, status):
            if event.name == "first" and status is EventStatus.COMPLETED:
                raise asyncio.CancelledError  # as the result() of a future that was cancelled does

        executor.observe(observe)
        first = await executor.append(Job(name="first", seconds=1))
        second = await executor.append(Job(), after=first)
        with anyio.fail_after(10):
            await second.wait()
    assert (first.status, second.status) == (EventStatus.COMPLETED, EventStatus.COMPLETED)
    check_invariants(executor)


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_an_observer_cancels_an_event_that_goes_back_to_be_run_again(path, ack):
    """The journal hears of statuses in their order, also when an observer leads from one to the next."""
    executor = open_executor(path, ack=ack, config={"retry": Retry(3, backoff=1, jitter=0)})

    def observe(event, previous, status):
        if status is EventStatus.PENDING:
            executor.cancel(event)

    executor.observe(observe)
    with anyio.fail_after(100):
        async with executor:
            event = await executor.append(Step(fails=2))
            await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert rows(path) == ["cancelled"]


# ---------------------------------------------------------------- by hand


async def test_an_event_made_as_processing_and_set_back_is_well():
    """What may be set by hand is no broken record."""
    async with make_executor() as executor:
        trace = record(executor)
        event = await executor.append(Job(execution=Execution(status=EventStatus.PROCESSING)))
        event.status = EventStatus.PENDING
        check_invariants(executor)
        await event.wait()
    trace.check()


# ---------------------------------------------------------------- the kit


def start_early(executor):
    """Have delayed events start too early, by which a recording shows that it knows of the delay."""
    put = executor.processor.queue.put_delayed
    executor.processor.queue.put_delayed = lambda entry, until, *how: put(entry, until - 3, *how)


async def test_a_recording_beside_another_gives_back_what_there_was():
    """The end of a recording leaves the other one, and a method that was set by hand, where they were."""
    executor = make_executor()

    async def append(*args, **kwargs):
        return await JobExecutor.append(executor, *args, **kwargs)

    executor.append = append
    outer = record(executor)
    with record(executor):
        pass
    async with executor:
        start_early(executor)
        await executor.append(Job(), delay=5)
    assert "not_early" in {each.invariant for each in outer.broken}
    outer.close()
    assert executor.__dict__["append"] is append
    assert "stop" not in executor.__dict__


async def test_recordings_that_end_in_the_order_in_which_they_began():
    """The one that is left goes on."""
    executor = make_executor()
    first, second = record(executor), record(executor)
    first.close()
    async with executor:
        start_early(executor)
        await executor.append(Job(), delay=5)
    assert "not_early" in {each.invariant for each in second.broken}
    assert first.entries == first.broken == []


async def test_inline_of_an_executor_that_is_recorded():
    """An executor can be made inline after its recording has begun."""
    executor = make_executor()
    trace = record(executor)
    event = await inline(executor).append(Job(seconds=1))
    assert event.status is EventStatus.COMPLETED
    trace.check()


async def test_inline_waits_for_room_beside_others():
    """``append(wait=True)`` of several tasks raises nothing, however small the queue is."""
    executor = inline(make_executor(max_queue_size=1, concurrency_limit=1))
    events = [Job(seconds=number % 3) for number in range(10)]
    async with anyio.create_task_group() as group:
        for event in events:
            group.start_soon(lambda event=event: executor.append(event, wait=True))
    assert {event.status for event in events} == {EventStatus.COMPLETED}
    executor.pause()
    await executor.append(Job())
    with pytest.raises(QueueFullError, match="Queue size"):  # nobody will make room
        await executor.append(Job(), wait=True)


def test_a_delay_behind_another_event_is_kept_from_one_event_loop_to_the_next():
    """What comes after others keeps its time, whichever loop the others end in, and whoever runs them."""
    for backend in BACKENDS:
        for way in ("forward", "by hand"):
            executor, events = make_executor(), {}

            async def append(executor=executor, events=events):
                events["first"] = await executor.append(Job())
                events["second"] = await executor.append(Job(), delay=10, after=events["first"])

            async def before(executor=executor, way=way, append=append):
                await anyio.sleep(50_000)
                await executor.start()
                await anyio.sleep(1)
                await executor.stop()
                if way == "forward":
                    await append()

            async def later(executor=executor, events=events, way=way, append=append):
                await anyio.sleep(300)
                if way == "forward":
                    await executor.forward()
                else:
                    await append()
                    await events["first"].invoke()
                began = anyio.current_time()
                async with executor:
                    await events["second"].wait()
                return anyio.current_time() - began

            run(before)
            assert run(later, backend=backend) == pytest.approx(10, abs=2), (backend, way)


# ---------------------------------------------------------------- cancellation


async def test_an_event_that_completes_although_it_was_cancelled_leaves_the_next_one_alone():
    """The scope by which an event was cancelled does not meet the next one, also if it took no notice."""

    class Stubborn(Job):
        async def _invoke(self):
            try:
                await anyio.sleep(10)
            except anyio.get_cancelled_exc_class():
                return "all the same"

    async with make_executor(concurrency_limit=1) as executor:
        first = await executor.append(Stubborn())
        second = await executor.append(Job(seconds=1))
        await anyio.sleep(1)
        assert executor.cancel(first)
        await second.wait()
    assert (first.status, first.response) == (EventStatus.COMPLETED, "all the same")
    assert second.status is EventStatus.COMPLETED
