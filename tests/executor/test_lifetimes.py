"""The three lifetimes: who owns what runs, how it ends, and what a cancellation leaves behind."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from support import (
    CONFIG,
    Job,
    JobExecutor,
    JobProcessor,
    check_invariants,
    counts,
    create_processor,
    make_executor,
    view_of,
    with_processor,
)

from lionpride_exec import ConfigurationError, EventFailed, EventStatus, Executor, ExecutorClosedError, QueueFullError

pytestmark = pytest.mark.anyio


# -------------------------------------------------------------------- the block


async def test_leaving_the_block_waits_for_everything():
    """A block left normally has run all that was appended, delays and long events included."""
    executor = make_executor(concurrency_limit=2)
    async with executor as entered:
        assert entered is executor
        for i in range(10):
            await executor.append(Job(seconds=float(i)))
    assert counts(executor) == {"completed": 10}
    check_invariants(executor)


async def test_the_intake_is_closed_while_the_block_is_left():
    """From outside nothing more is taken in; an event that runs may still append."""
    executor = make_executor()

    class Parent(Job):
        async def _invoke(self):
            await self.gate.wait()
            await executor.append(Job(name="child"))

    parent = Parent(gate=anyio.Event())

    async def late():
        await wait_all_tasks_blocked()
        with pytest.raises(ExecutorClosedError):
            await executor.append(Job(name="late"))
        parent.gate.set()

    async with anyio.create_task_group() as group:
        async with executor:
            await executor.append(parent)
            group.start_soon(late)
    assert sorted(event.name for event in executor.completed_events) == ["", "child"]


async def test_an_exception_in_the_block_cancels_and_leaves():
    """What ran is CANCELLED, the rest PENDING, waiters are woken, the exception leaves as from a task group."""
    executor = make_executor(concurrency_limit=1)
    running, waiting = Job(gate=anyio.Event(), started=anyio.Event()), Job()
    told = []

    async def waiter(event):
        try:
            await event.wait()
        except ExecutorClosedError:
            told.append(event)

    async with anyio.create_task_group() as group:
        group.start_soon(waiter, waiting)
        with pytest.raises(ExceptionGroup) as caught:
            async with executor:
                await executor.append(running)
                await executor.append(waiting)
                await running.started.wait()
                raise ValueError("mine")
    assert caught.group_contains(ValueError, match="mine")
    assert counts(executor) == {"pending": 1, "cancelled": 1}
    assert running.execution.retryable is True
    assert told == [waiting]
    with pytest.raises(ExecutorClosedError):
        await waiting.wait()
    with pytest.raises(ExecutorClosedError):
        await executor.join()
    check_invariants(executor)


async def test_an_executor_can_be_used_again_after_a_crash():
    """What stayed PENDING runs in the next block."""
    executor = make_executor(concurrency_limit=1)
    running, waiting = Job(gate=anyio.Event(), started=anyio.Event()), Job(name="later")
    with pytest.raises(ExceptionGroup):
        async with executor:
            await executor.append(running)
            await executor.append(waiting)
            await running.started.wait()
            raise ValueError
    async with executor:
        await waiting.wait()
    assert waiting.result() == "later"
    assert counts(executor) == {"completed": 1, "cancelled": 1}


async def test_a_block_cannot_be_entered_twice():
    """A second lifetime beside a running one is refused and disturbs nothing."""
    executor = make_executor()
    async with executor:
        with pytest.raises(RuntimeError, match="already been entered"):
            async with executor:
                pass
        with pytest.raises(RuntimeError, match="running already"):
            await executor.run()
        await executor.append(Job())
    assert counts(executor) == {"completed": 1}


async def test_stop_and_start_inside_a_block():
    """stop() holds pending events back, start() goes on in the same block."""
    executor = make_executor()
    async with executor:
        await executor.stop()
        await executor.append(Job())
        await wait_all_tasks_blocked()
        assert counts(executor) == {"pending": 1}
        await executor.start()
        await executor.join()
        assert counts(executor) == {"completed": 1}


async def test_a_stopped_block_is_left_with_its_pending_events():
    """Leaving after stop() does not wait for what cannot run, and tells those who wait for it."""
    executor = make_executor()
    event = Job()
    async with executor:
        await executor.stop()
        await executor.append(event)
    assert counts(executor) == {"pending": 1}
    with pytest.raises(ExecutorClosedError):
        await event.wait()


async def test_start_inside_a_block_starts_no_second_loop():
    """start() and a hand-spawned processor.execute() leave one loop; each event runs once."""
    executor = make_executor(concurrency_limit=1)
    runs = []
    executor.observe(lambda event, previous, status: runs.append(status))
    async with anyio.create_task_group() as group:
        async with executor:
            group.start_soon(executor.processor.execute)
            await executor.start()
            await executor.start()
            for _ in range(5):
                await executor.append(Job(seconds=1.0))
    assert counts(executor) == {"completed": 5}
    assert runs.count(EventStatus.PROCESSING) == 5


# -------------------------------------------------------------------- run


async def test_run_belongs_to_the_callers_group():
    """tg.start(executor.run) runs until stop(), then lets the group end."""
    executor = make_executor()
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        assert await executor.invoke(Job(name="x")) == "x"
        await executor.stop()
    assert counts(executor) == {"completed": 1}
    assert executor.processor.execution_mode is False


async def test_run_cancelled_by_its_group():
    """Cancelling the group cancels what runs and leaves the rest PENDING."""
    executor = make_executor(concurrency_limit=1)
    running = Job(gate=anyio.Event(), started=anyio.Event())
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.append(running)
        await executor.append(Job())
        await running.started.wait()
        group.cancel_scope.cancel()
    assert counts(executor) == {"pending": 1, "cancelled": 1}
    check_invariants(executor)


async def test_run_with_bad_config_raises_in_the_caller():
    """The error comes out of tg.start()."""
    executor = JobExecutor()
    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as group:
            await group.start(executor.run)
    assert caught.group_contains(ConfigurationError, match="required keys")
    with pytest.raises(ConfigurationError, match="required keys"):  # bare: nothing has been started yet
        async with executor:
            pass


# -------------------------------------------------------------------- start … stop


async def test_start_runs_what_was_appended_before():
    """Events from before start() keep their priority; start() does not yield."""
    executor = make_executor(concurrency_limit=1)
    order = []
    executor.observe(lambda event, previous, status: status == "processing" and order.append(event.name))
    await executor.append(Job(name="default"))
    await executor.append(Job(name="last"), priority=1e12)
    await executor.append(Job(name="first"), priority=0.0)
    await executor.append(Job(name="second"), priority=1.0)
    await executor.start()
    assert counts(executor) == {"pending": 4}
    assert executor.processor.queue.qsize() == 4
    await executor.join()
    assert order == ["first", "second", "default", "last"]
    await executor.stop()


async def test_more_pending_events_than_the_queue_takes():
    """5,000 events with max_queue_size=1000 all run, in order. The queue is full until fewer than 1,000 are left."""
    executor = make_executor(queue_capacity=10_000, capacity_refresh_time=0.01, concurrency_limit=1)
    order, full = [], []

    def observe(event, previous, status):
        if status == "processing":
            order.append(event.name)
            full.append(executor.processor.queue.is_full)

    executor.observe(observe)
    for i in range(5000):
        await executor.append(Job(name=i), priority=float(-i))
    await executor.start()
    await executor.start()
    assert executor.processor.queue.qsize() == 5000
    with pytest.raises(QueueFullError, match=r"Queue size \(5000\) exceeds max \(1000\)"):
        await executor.append(Job())
    await executor.join()
    assert order == list(range(4999, -1, -1))
    assert full == [True] * 4000 + [False] * 1000
    await executor.stop()


async def test_start_is_idempotent_and_goes_on_after_stop():
    """start, start, stop, stop, start: one loop, nothing doubled, the processor object stays."""
    executor = make_executor()
    await executor.stop()
    await executor.start()
    processor = executor.processor
    await executor.start()
    await executor.append(Job())
    await executor.join()
    await executor.stop()
    await executor.stop()
    await executor.append(Job())
    await wait_all_tasks_blocked()
    assert counts(executor) == {"pending": 1, "completed": 1}
    await executor.start()
    assert executor.processor is processor
    await executor.join()
    assert counts(executor) == {"completed": 2}
    await executor.stop()


async def test_stop_right_before_the_loop_begins():
    """A stop() in the same step as start() holds: nothing runs, nothing hangs."""
    executor = make_executor()
    await executor.append(Job())
    await executor.start()
    await executor.stop()
    await wait_all_tasks_blocked()
    assert counts(executor) == {"pending": 1}
    assert not executor.processor.is_running
    await executor.start()
    await executor.join()
    assert counts(executor) == {"completed": 1}
    await executor.stop()


async def test_stop_right_before_a_spawned_execute():
    """A stop signal given before execute() begins wins."""
    executor = make_executor()
    await create_processor(executor)
    await executor.append(Job())
    async with anyio.create_task_group() as group:
        group.start_soon(executor.processor.execute)
        await executor.processor.stop()
    assert counts(executor) == {"pending": 1}


async def test_stop_waits_for_what_runs():
    """Without a grace period stop() returns when the running events have ended, and starts no other."""
    executor = make_executor(concurrency_limit=2)
    await executor.start()
    for _ in range(3):
        await executor.append(Job(seconds=30.0))
    await wait_all_tasks_blocked()
    await executor.stop()
    assert counts(executor) == {"pending": 1, "completed": 2}


@pytest.mark.parametrize("grace", [0, 5])
async def test_stop_cancels_after_its_grace(grace):
    """What still runs after the grace period ends CANCELLED, at that time."""
    executor = make_executor()
    await executor.start()
    short, long = Job(seconds=3.0), Job(seconds=100.0)
    await executor.append(short)
    await executor.append(long)
    await wait_all_tasks_blocked()
    began = anyio.current_time()
    await executor.stop(grace=grace)
    assert anyio.current_time() - began == pytest.approx(grace, abs=0.01)
    assert long.status is EventStatus.CANCELLED
    assert long.execution.retryable is True
    assert short.status is (EventStatus.COMPLETED if grace else EventStatus.CANCELLED)
    check_invariants(executor)


class SlowToEnd(Job):
    """Takes five seconds to end when it is cancelled."""

    async def _invoke(self):
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)


@pytest.mark.parametrize("runs_before", [True, False])
async def test_forward_returns_after_a_stop_when_what_ran_has_ended(runs_before):
    """stop(grace=0) cancels what runs, and forward() waits for its cleanup, also where another call has started it."""
    executor = make_executor()
    event = SlowToEnd()
    if runs_before:
        await executor.start()
        await executor.append(event)
        await wait_all_tasks_blocked()

    async def forward():
        await executor.forward()
        assert anyio.current_time() - began == pytest.approx(5, abs=0.01)
        assert event.status is EventStatus.CANCELLED

    async with anyio.create_task_group() as group:
        if not runs_before:
            await create_processor(executor)
            await executor.append(event)
        began = anyio.current_time()
        group.start_soon(forward)
        await wait_all_tasks_blocked()
        began = anyio.current_time()
        await executor.stop(grace=0)
    check_invariants(executor)


@pytest.mark.parametrize("grace", [-1, float("nan"), True], ids=repr)
async def test_a_bad_grace_is_refused(grace):
    """It raises and stops nothing."""
    executor = make_executor()
    await executor.start()
    with pytest.raises(ValueError, match="grace must be"):
        await executor.stop(grace=grace)
    assert not executor.processor.is_stopped()
    await executor.stop()


async def test_a_cancelled_stop_still_stops():
    """Whoever gave up waiting has stopped it all the same."""
    executor = make_executor(concurrency_limit=1)
    await executor.start()
    running = Job(seconds=10.0)
    await executor.append(running)
    await executor.append(Job())
    await wait_all_tasks_blocked()
    with anyio.move_on_after(1):
        await executor.stop()
    await running.wait()
    await wait_all_tasks_blocked()
    assert counts(executor) == {"pending": 1, "completed": 1}
    await executor.stop()


async def test_an_event_may_stop_join_and_forward():
    """Called from inside a running event they do not wait for it."""
    executor = make_executor()

    class Caller(Job):
        async def _invoke(self):
            await executor.join()
            await executor.forward()
            await executor.stop()
            return "done"

    await executor.start()
    event = Caller()
    await executor.append(event)
    await event.wait()
    assert event.result() == "done"
    await executor.stop()
    assert not executor.processor.is_running


class Odd(BaseException):
    """Neither an Exception nor one of those that end the program."""


class Crashing(JobProcessor):
    async def request_permission(self, **kwargs):
        raise Odd


@pytest.mark.parametrize("call", ["join", "stop", "append", "start"])
async def test_a_crash_in_the_background_is_kept_and_raised(call):
    """join(), stop(), append() and start() raise it, once; who waits is told; nothing is lost."""
    executor = with_processor(Crashing)
    await executor.start()
    event = Job()
    await executor.append(event)
    with pytest.raises(ExecutorClosedError):
        await event.wait()
    await wait_all_tasks_blocked()
    with pytest.raises(BaseExceptionGroup) as caught:
        await getattr(executor, call)(*([Job()] if call == "append" else []))
    assert caught.group_contains(Odd)
    assert counts(executor) == {"pending": 1}
    await executor.stop()


async def test_a_crash_wakes_a_waiting_join():
    """A join() that waits when the crash happens raises it."""
    executor = with_processor(Crashing)
    await executor.append(Job())
    await executor.start()
    with pytest.raises(BaseExceptionGroup):
        await executor.join()
    await executor.stop()


async def test_a_crash_in_a_block_leaves_the_block():
    """In the block the same crash goes to the block's owner."""
    executor = with_processor(Crashing)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with executor:
            await executor.append(Job())
            await anyio.sleep_forever()
    assert caught.group_contains(Odd)
    assert counts(executor) == {"pending": 1}


# -------------------------------------------------------------------- every lifetime


class Lifetime:
    """Runs an executor in one of the three ways, in a scope that can be cancelled."""

    def __init__(self, kind, executor):
        self.kind = kind
        self.executor = executor
        self.ended = anyio.Event()

    async def owner(self, scope, *, task_status):
        with scope:
            if self.kind == "block":
                async with self.executor:
                    task_status.started()
                    await anyio.sleep_forever()
            elif self.kind == "run":
                task_status.started()
                await self.executor.run()
            else:
                await self.executor.start()
                task_status.started()
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await self.executor.stop(grace=0)
        self.ended.set()


class Slow(JobProcessor):
    entered = None

    async def request_permission(self, **kwargs):
        if self.entered is not None:
            self.entered.set()
            await anyio.sleep(60)
        return True


class SlowExecutor(Executor):
    processor_type = Slow


@pytest.mark.parametrize("kind", ["block", "run", "start"])
@pytest.mark.parametrize(
    "step", ["queued", "gate", "lock before", "running", "lock after", "capacity", "slot", "closed gate"]
)
async def test_cancelled_at_each_step(kind, step):
    """Whenever the owner is cancelled: nothing in processing, no waiter hangs, no task stays, nothing is lost."""
    executor = SlowExecutor(processor_config=CONFIG | {"concurrency_limit": 1})
    event = Job(gate=anyio.Event(), started=anyio.Event())
    await create_processor(executor)
    processor = executor.processor
    woken = []

    async def waiter():
        try:
            await event.wait()
        except ExecutorClosedError:
            woken.append("closed")
        else:
            woken.append(event.status.value)

    async with anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        lock = executor.states.progressions
        if step == "gate":
            processor.entered = anyio.Event()
        if step == "capacity":
            processor.available_capacity = 0
        if step == "slot":
            await executor.append(Job(gate=anyio.Event()), priority=0)
        if step == "closed gate":
            processor.queue.lanes.close_gate_until((), anyio.current_time() + 50)
        if step == "queued":
            await executor.append(event)
        group.start_soon(waiter)
        lifetime = Lifetime(kind, executor)
        await group.start(lifetime.owner, scope)
        if step != "queued":
            await executor.append(event)
        if step == "lock before":
            await lock.guard.__aenter__()
        if step != "queued":
            await wait_all_tasks_blocked()
        if step == "lock after":
            await lock.guard.__aenter__()
            event.gate.set()
            await wait_all_tasks_blocked()
        scope.cancel()
        if step.startswith("lock"):
            await wait_all_tasks_blocked()
            await lock.guard.__aexit__(None, None, None)
        await lifetime.ended.wait()
        await wait_all_tasks_blocked()
        if not woken:  # stop() leaves PENDING events to the next start(): nobody is told, so look
            assert kind == "start"
            assert event.status is EventStatus.PENDING
            group.cancel_scope.cancel()
    expected = {"running": EventStatus.CANCELLED, "lock after": EventStatus.COMPLETED}
    assert event.status is expected.get(step, EventStatus.PENDING)
    assert executor.processing_events == []
    assert not processor.is_running
    assert not view_of(executor).processor.running
    check_invariants(executor)
    # What stayed pending is not lost: it runs at the next start.
    processor.entered = None
    for pending in executor.pending_events:
        pending.gate.set()
    async with executor:
        pass
    assert executor.pending_events == []
    check_invariants(executor)


@pytest.mark.parametrize("kind", ["block", "run", "start"])
async def test_an_uncancelled_owner_ends_normally(kind):
    """The helper above by itself: without a cancellation everything completes."""
    executor = SlowExecutor(processor_config=CONFIG)
    scope = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        await group.start(Lifetime(kind, executor).owner, scope)
        await checkpoint()
        if kind == "run":
            await wait_all_tasks_blocked()
        await executor.append(Job())
        await executor.join()
        scope.cancel()
    assert counts(executor) == {"completed": 1}


# -------------------------------------------------------------------- join, invoke


async def test_join_returns_after_the_last_event_has_ended():
    """join() covers what is queued and what runs; results can be read on the next line."""
    executor = make_executor()
    async with executor:
        for _ in range(3):
            await executor.append(Job(seconds=5.0))
        await executor.join()
        assert len(executor.completed_events) == 3
        for _ in range(3):
            await executor.append(Job(seconds=5.0))
        await executor.processor.join()
        assert len(executor.completed_events) == 6


async def test_join_of_a_stopped_executor_waits_for_what_runs_only():
    """Pending events of a stopped executor do not hold join() up."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        await executor.append(Job(seconds=5.0))
        await executor.append(Job())
        await wait_all_tasks_blocked()
        await executor.processor.stop()
        await executor.join()
        assert counts(executor) == {"pending": 1, "completed": 1}
        await executor.processor.join()


async def test_invoke_gives_the_response_or_raises():
    """invoke() is append, wait and result."""
    async with make_executor() as executor:
        assert await executor.invoke(Job(name="r")) == "r"
        with pytest.raises(EventFailed) as caught:
            await executor.invoke(Job(error=ValueError("v")))
        assert isinstance(caught.value.__cause__, ValueError)
    check_invariants(executor)


async def test_a_cancelled_invoke_leaves_the_event_running():
    """Whoever stops waiting does not stop the event."""
    async with make_executor() as executor:
        event = Job(seconds=10.0)
        with anyio.move_on_after(1):
            await executor.invoke(event)
        assert event.status is EventStatus.PROCESSING
    assert event.status is EventStatus.COMPLETED


async def test_an_event_invoked_by_hand_is_tracked():
    """invoke() on an appended event moves it like any other, and the queue passes it over."""
    executor = make_executor()
    event = Job(seconds=1.0)
    await executor.append(event)
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await wait_all_tasks_blocked()
        assert counts(executor) == {"processing": 1}
        async with executor:
            await executor.join()
    assert counts(executor) == {"completed": 1}
    assert event.execution.attempt == 1


async def test_concurrent_starts_make_one_processor():
    """A processor whose creation takes its time is made once, however many start() calls wait for it."""
    made = []

    class Slowly(JobProcessor):
        @classmethod
        async def create(cls, **kwargs):
            await anyio.sleep(1)
            made.append(cls(**kwargs))
            return made[-1]

    executor = with_processor(Slowly)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(executor.start)
    assert made == [executor.processor]
    assert await executor.invoke(Job(name="x")) == "x"
    await executor.stop()


async def test_a_removed_progression_does_not_break_the_door():
    """Status and record stay right when a progression is taken out of the flow; the loop's report is what fails."""
    executor = make_executor()
    event = Job(name="done")
    await executor.append(event)
    executor.states.remove_progression("processing")
    await event.invoke()
    assert event.result() == "done"
    assert executor.completed_events == [event]
    await executor.join()


async def test_a_status_set_by_hand_does_not_hold_join_up():
    """An event that nothing runs is not waited for, whatever its status says."""
    executor = make_executor()
    async with executor:
        event = Job()
        event.status = "processing"
        await executor.append(event)
        await executor.join()
        assert event.status is EventStatus.PROCESSING
