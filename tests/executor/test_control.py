"""Control: cancel, skip, Skip, pause, resume, resize; at odd moments too."""

import anyio
import pytest
from anyio import CancelScope, current_time, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from support import Job, JobExecutor, JobProcessor, check_invariants, counts, make_executor, with_processor

from lionpride_exec import (
    EventCancelled,
    EventFailed,
    EventStatus,
    NotFoundError,
    Rate,
    Retry,
    Skip,
    Wait,
    WaitReason,
)
from lionpride_exec.testing import BACKENDS, backend_options

pytestmark = pytest.mark.anyio

ENDS = {"cancel": (EventStatus.CANCELLED, EventCancelled), "skip": (EventStatus.SKIPPED, Skip)}


async def bring_to(stage, executor, event):
    """Append an event and bring it to a stage of its life; the executor runs."""
    match stage:
        case "queued":
            executor.pause()
            await executor.append(event)
        case "delayed":
            await executor.append(event, delay=1000)
        case "after":
            await executor.append(event, after=await executor.append(Job(seconds=50)))
        case "limit":
            await executor.append(Job(name="limited"), priority=0)
            event.name = "limited"
            await executor.append(event, priority=1)
        case "capacity":
            executor.processor.available_capacity = 0
            await executor.append(event)
        case "slot":
            for _ in range(3):
                await executor.append(Job(seconds=50), priority=0)
            await executor.append(event, priority=1)
        case "gate":
            executor.processor.verdict = None
            await executor.append(event)
        case "closed gate":
            executor.processor.verdict = Wait(50)
            await executor.append(event)
        case "retry":
            event.seconds, event.error, event.retry = 0, ValueError("flaky"), Retry(2, backoff=50, jitter=0)
            await executor.append(event)
        case "running":
            await executor.append(event)
    await wait_all_tasks_blocked()
    await anyio.sleep(0.1)


STAGES = ["queued", "delayed", "after", "limit", "capacity", "slot", "gate", "closed gate", "retry", "running"]


class Controlled(JobProcessor):
    """Answers what it is told to; thinks for long if that is None."""

    verdict: object = True

    async def request_permission(self, **kwargs):
        if self.verdict is None:
            await anyio.sleep(1)
        return self.verdict or True


def controlled():
    """Make an executor that has everything an event may have to wait for."""
    limits = [Rate(1, per=60, key=lambda event: event.name if event.name == "limited" else None)]
    return with_processor(Controlled, concurrency_limit=3, limits=limits)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("stage", STAGES)
async def test_unless_begun(stage, how):
    """An event that waits for its first run is taken back. One that runs, or that will run again, is left alone."""
    executor = controlled()
    event = Job(seconds=100)
    has_begun = stage in {"retry", "running"}
    async with executor:
        await bring_to(stage, executor, event)
        before = event.status
        end = getattr(executor, how)
        assert end(event.id, "taken back", unless_begun=True) is not has_begun
        if has_begun:
            assert event.status is before
        else:
            await event.wait()
            assert (event.status, event.execution.attempt, event.execution.started_at) == (ENDS[how][0], 0, None)
        executor.resume()
        executor.processor.verdict = True
    assert event.status == {"retry": "failed", "running": "completed"}.get(stage, ENDS[how][0])
    assert end(event, unless_begun=True) is False


async def test_unless_begun_leaves_an_interrupted_event_alone():
    """It is PENDING, and its run has begun."""
    executor = make_executor(retry=Retry(1))
    await executor.start()
    event = await executor.append(Job(seconds=10))
    await anyio.sleep(1)
    await executor.stop(grace=0)
    assert event.status == "pending"
    assert executor.cancel(event, unless_begun=True) is False
    assert executor.cancel(event) is True
    with pytest.raises(NotFoundError):
        executor.cancel(Job(), unless_begun=True)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("stage", STAGES)
async def test_at_any_stage(stage, how):
    """The event ends at once, with the reason; a second call does nothing; nobody else is affected."""
    executor = controlled()
    ends = []
    event = Job(seconds=100)
    executor.observe(lambda e, _, status: ends.append(status) if e is event and status.is_terminal else None)
    status, error = ENDS[how]
    async with executor:
        await bring_to(stage, executor, event)
        runs = len(event.execution.attempts) + (event.status is EventStatus.PROCESSING)
        began = current_time()
        assert getattr(executor, how)(event, "not needed")
        assert getattr(executor, how)(event.id) is (stage == "running")
        await event.wait()
        assert current_time() - began < 1
        assert getattr(executor, how)(event) is False
        executor.resume()
        executor.processor.verdict = True
        other = await executor.append(Job())
    assert event.status is status
    assert ends == [status]
    assert type(event.execution.error) is error
    assert str(event.execution.error) == "not needed"
    assert event.execution.retryable is False
    assert len(event.execution.attempts) + (event.execution.attempt > len(event.execution.attempts)) == runs
    assert other.status is EventStatus.COMPLETED
    with pytest.raises(EventFailed, match="not needed") as caught:
        event.result()
    assert isinstance(caught.value.__cause__, error)
    check_invariants(executor)


@pytest.mark.parametrize("how", ENDS)
async def test_before_the_first_start(how):
    """There need not be a processor."""
    executor = make_executor()
    event = await executor.append(Job())
    assert getattr(executor, how)(event)
    assert event.status is ENDS[how][0]
    async with executor:
        pass
    check_invariants(executor)


async def test_what_is_not_here_cannot_be_cancelled():
    """An unknown event or id is an error."""
    executor = make_executor()
    for event in (Job(), Job().id, str(Job().id)):
        with pytest.raises(NotFoundError, match="There is no"):
            executor.cancel(event)
        with pytest.raises(NotFoundError, match="There is no"):
            executor.skip(event)
        with pytest.raises(NotFoundError, match="There is no"):
            executor.explain(event)


async def test_cancelling_one_of_many_leaves_the_others():
    """Workers go on with other events; the executor keeps all its slots."""
    executor = make_executor(concurrency_limit=2)
    async with executor:
        events = [await executor.append(Job(name=str(i), seconds=10)) for i in range(20)]
        for event in events[:10]:
            await wait_all_tasks_blocked()
            assert event.status is EventStatus.PROCESSING
            executor.cancel(event)
            await event.wait()
        began = current_time()
        await executor.join()
        assert current_time() - began == pytest.approx(50, abs=11)
    assert counts(executor) == {"completed": 10, "cancelled": 10}


async def test_a_run_that_catches_the_cancellation_and_returns():
    """It has completed, whatever was asked."""

    class Stubborn(Job):
        async def _invoke(self):
            with CancelScope() as scope:
                try:
                    await anyio.sleep(50)
                except anyio.get_cancelled_exc_class():
                    scope.cancel()
                    return "saved"
                return "slept"

    executor = make_executor()
    async with executor:
        event = await executor.append(Stubborn())
        await wait_all_tasks_blocked()
        assert executor.cancel(event)
        await event.wait()
        after = await executor.append(Job())
    assert (event.status, event.response) == (EventStatus.COMPLETED, "saved")
    assert after.status is EventStatus.COMPLETED


async def test_a_run_that_fails_when_it_is_cancelled():
    """What it raises is told, and it is not run again."""

    class Clumsy(Job):
        retry = Retry(5)

        async def _invoke(self):
            try:
                await anyio.sleep(50)
            finally:
                raise ValueError("clumsy")

    executor = make_executor()
    async with executor:
        event = await executor.append(Clumsy())
        await wait_all_tasks_blocked()
        executor.cancel(event)
    assert event.status is EventStatus.FAILED
    assert event.execution.attempt == 1


async def test_a_shielded_run_ends_when_the_shield_does():
    """A second cancel meanwhile changes nothing, a skip neither: it ends as it was told first."""

    class Shielded(Job):
        async def _invoke(self):
            with CancelScope(shield=True):
                await anyio.sleep(10)
            await anyio.sleep(10)

    executor = make_executor()
    async with executor:
        event = await executor.append(Shielded())
        await wait_all_tasks_blocked()
        assert executor.cancel(event, "first")
        assert executor.skip(event, "second")
        assert event.status is EventStatus.PROCESSING
    assert event.status is EventStatus.CANCELLED
    assert str(event.execution.error) == "first"
    assert current_time() == pytest.approx(10, abs=0.5)


async def test_an_event_run_by_hand():
    """invoke() returns normally, the caller's task is not cancelled."""
    executor = make_executor()
    event = await executor.append(Job(seconds=50))
    async with anyio.create_task_group() as group:
        group.start_soon(event.invoke)
        await wait_all_tasks_blocked()
        assert executor.cancel(event, "enough")
    assert event.status is EventStatus.CANCELLED
    assert str(event.execution.error) == "enough"
    assert current_time() < 1


async def test_an_event_cancels_itself_or_a_sibling():
    """From inside a run."""

    class Canceller(Job):
        other: object = None

        async def _invoke(self):
            executor.cancel(self.other or self, "from inside")
            await anyio.sleep(50)

    executor = make_executor()
    async with executor:
        me = await executor.append(Canceller())
        victim = await executor.append(Job(seconds=50))
        await wait_all_tasks_blocked()
        killer = await executor.append(Canceller(other=victim, timeout=5))
    assert me.status is victim.status is killer.status is EventStatus.CANCELLED
    assert str(victim.execution.error) == "from inside"


async def test_cancel_and_a_timeout_at_the_same_time():
    """One of them wins, and it ends once."""
    executor = make_executor()
    async with executor:
        event = await executor.append(Job(seconds=50, timeout=5))
        await anyio.sleep(5)
        executor.cancel(event)
    assert event.status is EventStatus.CANCELLED
    check_invariants(executor)


@pytest.mark.parametrize("how", ENDS)
async def test_under_a_lock(how):
    """While somebody holds the progressions still, it does not start, and ends when they let go."""
    for started in (False, True):
        executor = make_executor()
        if started:
            await executor.start()
        async with executor.states.progressions:
            pass
        executor.pause()
        event = await executor.append(Job())
        async with executor.states.get_progression("pending"):
            assert getattr(executor, how)(event, "later")
            assert event.status is EventStatus.PENDING
            executor.resume()
            await wait_all_tasks_blocked()
            assert event.status is EventStatus.PENDING
        await event.wait()
        assert event.status is ENDS[how][0]
        assert event.execution.attempt == 0
        check_invariants(executor)
        await executor.stop()


# -------------------------------------------------------------------- Skip


@pytest.mark.parametrize("in_group", [False, True])
async def test_raise_skip(in_group):
    """The event ends SKIPPED with its reason, and is not retried."""

    class Skipping(Job):
        retry = Retry(3)

        async def _invoke(self):
            if in_group:
                async with anyio.create_task_group() as group:
                    group.start_soon(self.skip)
            await self.skip()

        async def skip(self):
            raise Skip("nothing to do")

    executor = make_executor()
    async with executor:
        event = await executor.append(Skipping())
    assert event.status is EventStatus.SKIPPED
    assert "nothing to do" in repr(event.execution.error)
    assert event.execution.attempt == 1
    alone = Skipping()
    await alone.invoke()
    assert alone.status is EventStatus.SKIPPED


# -------------------------------------------------------------------- pause, resume


async def test_pause_and_resume():
    """Nothing starts meanwhile, what runs goes on, join() waits, resume() goes on at once."""
    executor = make_executor()
    async with executor:
        running = await executor.append(Job(seconds=5))
        await wait_all_tasks_blocked()
        executor.pause()
        executor.pause()
        waiting = await executor.append(Job())
        await anyio.sleep(100)
        assert running.status is EventStatus.COMPLETED
        assert waiting.status is EventStatus.PENDING
        assert executor.is_paused
        assert executor.explain(waiting).waits_for is WaitReason.PAUSED
        await executor.forward()
        assert waiting.status is EventStatus.PENDING
        with anyio.move_on_after(5) as scope:
            await executor.join()
        assert scope.cancelled_caught
        began = current_time()
        executor.resume()
        executor.resume()
        await waiting.wait()
        assert current_time() - began < 1
    assert not executor.is_paused


async def test_pause_before_the_start_and_over_a_stop():
    """It holds whatever else is done."""
    executor = make_executor()
    executor.pause()
    event = await executor.append(Job())
    await executor.start()
    await anyio.sleep(5)
    assert event.status is EventStatus.PENDING
    await executor.stop()
    await executor.start()
    await anyio.sleep(5)
    assert event.status is EventStatus.PENDING
    executor.resume()
    await event.wait()
    await executor.stop()


# -------------------------------------------------------------------- resize


async def test_resize_concurrency_up_and_down():
    """More start at once; fewer when those that run have ended."""
    executor = make_executor(concurrency_limit=2)
    most = []
    executor.observe(lambda *_: most.append(executor.status_counts()["processing"]))
    async with executor:
        for _ in range(30):
            await executor.append(Job(seconds=10))
        await anyio.sleep(1)
        assert len(executor.processing_events) == 2
        executor.resize(concurrency_limit=5)
        await wait_all_tasks_blocked()
        assert len(executor.processing_events) == 5
        executor.resize(concurrency_limit=1)
        assert len(executor.processing_events) == 5
        await anyio.sleep(20)
        most.clear()
        await anyio.sleep(50)
        assert max(most) == 1
        executor.resize(concurrency_limit=100)
    assert counts(executor) == {"completed": 30}
    assert executor.processor.concurrency_limit == 100


async def test_resize_capacity_up_and_down():
    """The window holds with its new size; what was started counts."""
    executor = make_executor(queue_capacity=10, capacity_refresh_time=60.0)
    starts = []
    executor.observe(lambda _e, _p, s: starts.append(round(current_time())) if s == "processing" else None)
    async with executor:
        for _ in range(30):
            await executor.append(Job())
        await anyio.sleep(20)
        executor.resize(queue_capacity=15)
        await anyio.sleep(20)
        executor.resize(queue_capacity=3)
        await anyio.sleep(60)
        assert executor.processor.available_capacity == 0
    assert sorted(starts) == [0] * 10 + [20] * 5 + [80] * 3 + [140] * 3 + [200] * 3 + [260] * 3 + [320] * 3


async def test_resize_before_the_start():
    """It changes what the processor is made with."""
    executor = make_executor(concurrency_limit=2)
    executor.resize(concurrency_limit=7, queue_capacity=5)
    async with executor:
        assert executor.processor.concurrency_limit == 7
        assert executor.processor.queue_capacity == 5


@pytest.mark.parametrize("given", [{"concurrency_limit": 0}, {"queue_capacity": 10_001}, {"concurrency_limit": 1.5}])
async def test_wrong_sizes_change_nothing(given):
    """The number is named."""
    executor = make_executor(concurrency_limit=2)
    async with executor:
        with pytest.raises(ValueError, match=next(iter(given))):
            executor.resize(**({"concurrency_limit": 5, "queue_capacity": 5} | given))
        assert executor.processor.concurrency_limit == 2
        assert executor.processor.queue_capacity == 100


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.sampled_from([0.0, 1.0, 5.0])),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
            st.tuples(st.just("skip"), st.integers(0, 30)),
            st.tuples(st.just("pause")),
            st.tuples(st.just("resume")),
            st.tuples(st.just("concurrency"), st.integers(1, 4)),
            st.tuples(st.just("capacity"), st.integers(1, 4)),
            st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.5, 2.0])),
        ),
        max_size=40,
    )
)
def test_random_control(backend, steps):
    """Whatever is done: limits hold as they are at the time, every event ends once, nothing is stuck."""
    ends, over, events = {}, [], []
    executor = JobExecutor(
        {"queue_capacity": 3, "capacity_refresh_time": 2.0, "concurrency_limit": 2, "max_queue_size": 1000}
    )
    limit = {"now": 2}

    def note(event, previous, status):
        if status.is_terminal:
            ends[event.id] = ends.get(event.id, 0) + 1
        if status is EventStatus.PROCESSING:
            running = executor.status_counts()["processing"]
            if executor.is_paused or running > limit["now"]:
                over.append((running, limit["now"], executor.is_paused))

    executor.observe(note)

    async def main():
        async with executor:
            for step in steps:
                match step:
                    case "append", seconds:
                        events.append(await executor.append(Job(seconds=seconds)))
                    case ("cancel" | "skip") as how, number if events:
                        getattr(executor, how)(events[number % len(events)])
                    case ("pause",):
                        executor.pause()
                    case ("resume",):
                        executor.resume()
                    case "concurrency", number:
                        executor.resize(concurrency_limit=number)
                        limit["now"] = number
                    case "capacity", number:
                        executor.resize(queue_capacity=number)
                    case "sleep", seconds:
                        await anyio.sleep(seconds)
                check_invariants(executor)
            executor.resume()
        check_invariants(executor)

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)
    assert ends == {event.id: 1 for event in events}
    assert not over


async def test_cancelled_while_a_lock_holds_up_its_start():
    """An event that its gate has let in, and that ends before it begins, stands in one place, also for observers."""
    opened, places = anyio.Event(), []

    class Gate(JobProcessor):
        async def request_permission(self, **_):
            await opened.wait()
            return True

    async with with_processor(Gate) as executor:
        executor.observe(lambda *_: places.append(counts(executor)))
        job = await executor.append(Job())
        await wait_all_tasks_blocked()
        async with executor.states.progressions:
            opened.set()
            await wait_all_tasks_blocked()
            executor.cancel(job)
        await job.wait()
        check_invariants(executor)
    assert places == [{"cancelled": 1}]


STEERED = {
    "cancel": lambda executor, event: executor.cancel(event),
    "skip": lambda executor, event: executor.skip(event),
    "status": lambda _, event: setattr(event, "status", "cancelled"),
    "set_priority": lambda executor, event: executor.set_priority(event, -1),
    "resume": lambda executor, _: executor.resume(),
    "pause of a limit": lambda executor, _: executor.pause(limit="calls"),
    "resume of a limit": lambda executor, _: executor.resume(limit="calls"),
    "set_limit": lambda executor, _: executor.set_limit("calls", 5),
    "resize": lambda executor, _: executor.resize(concurrency_limit=5),
}


@pytest.mark.parametrize("how", STEERED)
async def test_another_thread_steers_nothing(how):
    """The call raises before it changes anything. On trio, cancel() raised after it had ended the event."""
    async with make_executor(limits=[Rate(1, per=60, name="calls")]) as executor, anyio.create_task_group() as group:
        _, event = await executor.extend([Job(), Job()])
        await anyio.sleep(1)
        executor.pause()
        group.start_soon(event.wait)
        group.start_soon(executor.join)
        await wait_all_tasks_blocked()
        before = executor.statistics()
        with pytest.raises(RuntimeError, match="not the thread of the executor's event loop, and nothing has changed"):
            await anyio.to_thread.run_sync(STEERED[how], executor, event)
        now = executor.statistics()
        assert (now.is_paused, now.pauses, now.concurrency_limit) == (True, (), before.concurrency_limit)
        assert [use.amount for use in now.limits] == [1]
        assert (event.status, executor.explain(event).waits_for) == ("pending", WaitReason.LIMIT)
        await anyio.to_thread.run_sync(anyio.from_thread.run_sync, STEERED[how], executor, event)
        executor.resume()
        executor.resume(limit="calls")


@pytest.mark.parametrize("method", ["cancel", "skip"])
async def test_a_running_event_is_not_ended_from_another_thread(method):
    """The call is refused, and the event can still be ended in the thread of the event loop."""
    async with make_executor() as executor:
        event = await executor.append(Job(seconds=50))
        await anyio.sleep(1)
        end = getattr(executor, method)
        with pytest.raises(RuntimeError, match="not the thread of the executor's event loop"):
            await anyio.to_thread.run_sync(end, event)
        await anyio.sleep(1)
        assert event.status == "processing"
        assert await anyio.to_thread.run_sync(anyio.from_thread.run_sync, end, event)
        await event.wait()
        assert event.status is ENDS[method][0]
