"""``inline()``: an executor that runs each event in ``append()``."""

import anyio
import pytest
from support import Job, JobProcessor, check_invariants, counts, make_executor, with_processor

from lionpride_exec import (
    Call,
    Concurrent,
    Event,
    EventStatus,
    Executor,
    ExecutorClosedError,
    Journal,
    QueueFullError,
    Rate,
    Retry,
    Wait,
)
from lionpride_exec.testing import inline

pytestmark = pytest.mark.anyio


async def double(number):
    """Stands for work."""
    await anyio.sleep(1)
    return 2 * number


class Flaky(Event):
    fails: int = 1

    async def _invoke(self):
        if self.fails:
            self.fails -= 1
            raise ValueError("not yet")
        return "done"


async def test_append_returns_when_the_event_has_run():
    """Nobody starts anything, and the event has ended."""
    executor = inline(make_executor())
    event = await executor.append(Job(name="a", seconds=5))
    assert event.status is EventStatus.COMPLETED
    assert event.result() == "a"
    assert anyio.current_time() == pytest.approx(5)
    check_invariants(executor)


async def test_it_is_the_same_executor():
    """The executor is given back, of its class and with its name, and a second time changes nothing."""
    executor = make_executor()
    cls = type(executor)
    assert inline(executor) is executor
    once = type(executor)
    assert isinstance(executor, cls)
    assert once.__name__ == cls.__name__
    assert type(inline(executor)) is once
    with pytest.raises(TypeError, match="executor must be an Executor, got int"):
        inline(1)


async def test_a_failure_raises_nothing():
    """The status tells of a failure, and of a timeout."""
    executor = inline(make_executor())
    failed = await executor.append(Job(error=ValueError("no")))
    late = await executor.append(Job(seconds=10, timeout=1))
    assert (failed.status, late.status) == (EventStatus.FAILED, EventStatus.CANCELLED)


async def test_a_retry_waits_for_its_time():
    """Attempts follow each other at their times, within append()."""
    executor = inline(Executor.of(Flaky, retry=Retry(5, backoff=10, jitter=0)))
    event = await executor.append(Flaky(fails=2))
    assert event.result() == "done"
    assert anyio.current_time() >= 20


async def test_a_rate_waits_for_its_time():
    """Three at one a minute take two minutes."""
    executor = inline(Executor.of(Job, limits=[Rate(1, per=60)]))
    await executor.extend([Job(), Job(), Job()])
    assert counts(executor) == {"completed": 3}
    assert anyio.current_time() == pytest.approx(120)


async def test_a_delay_is_waited_for():
    """An event that is due later has ended later."""
    executor = inline(make_executor())
    event = await executor.append(Job(), delay=30)
    assert event.status is EventStatus.COMPLETED
    assert anyio.current_time() == pytest.approx(30)


async def test_a_pause_leaves_the_event():
    """A paused executor takes the event in; the next append() after resume() runs both."""
    executor = inline(make_executor())
    executor.pause()
    first = await executor.append(Job())
    assert first.status is EventStatus.PENDING
    executor.resume()
    second = await executor.append(Job())
    assert [first.status, second.status] == [EventStatus.COMPLETED] * 2


async def test_what_comes_after_a_pending_event_is_left():
    """It runs as soon as the other has completed."""
    executor = inline(make_executor())
    executor.pause()
    first = await executor.append(Job())
    executor.resume()
    second = await executor.append(Job(), after=first)
    assert [first.status, second.status] == [EventStatus.COMPLETED] * 2
    executor.pause()
    third = await executor.append(Job())
    fourth = await executor.append(Job(), after=third)
    assert fourth.status is EventStatus.PENDING
    executor.resume()
    await executor.forward()
    assert fourth.status is EventStatus.COMPLETED


class Gated(JobProcessor):
    answers = ()

    async def request_permission(self, **_):
        return self.answers.pop(0) if self.answers else True


async def test_a_denied_event_is_left():
    """A gate that says no is asked once; forward() asks it again."""
    executor = inline(with_processor(type("One", (Gated,), {"answers": [False]})))
    event = await executor.append(Job())
    assert event.status is EventStatus.PENDING
    assert anyio.current_time() == 0
    await executor.forward()
    assert event.status is EventStatus.COMPLETED


async def test_a_gate_that_asks_to_wait_is_waited_for():
    """``Wait`` names a time, so it comes by itself."""
    executor = inline(with_processor(type("One", (Gated,), {"answers": [Wait(40)]})))
    event = await executor.append(Job())
    assert event.status is EventStatus.COMPLETED
    assert anyio.current_time() >= 40


@pytest.mark.parametrize("limits", [(), (Concurrent(2),)])
async def test_events_append_events(limits):
    """One that was appended by an event has run when that goes on, also if there is one slot only."""

    class Parent(Event):
        depth: int = 0

        async def _invoke(self):
            if not self.depth:
                return "leaf"
            child = await executor.append(Parent(depth=self.depth - 1))
            return f"{self.depth} of {child.status}"

    executor = inline(Executor.of(Parent, concurrency_limit=1, limits=limits))
    event = await executor.append(Parent(depth=1))
    assert event.result() == "1 of completed"
    check_invariants(executor)


async def test_a_limit_held_by_the_parent_leaves_the_child():
    """The child cannot run before its parent has ended, and runs then."""
    children = []

    class Parent(Event):
        depth: int = 1

        async def _invoke(self):
            if self.depth:
                children.append(await executor.append(Parent(depth=0)))
                assert children[0].status is EventStatus.PENDING

    executor = inline(Executor.of(Parent, limits=[Concurrent(1)]))
    event = await executor.append(Parent())
    assert [event.status, children[0].status] == [EventStatus.COMPLETED] * 2


async def test_a_key_is_known():
    """Work that is known under its key is given, not run again; also to the event itself."""

    class Selfish(Event):
        async def _invoke(self):
            return (await executor.append(Selfish(), key="one")) is self

    executor = inline(Executor.of(Selfish))
    event = await executor.append(Selfish(), key="one")
    assert event.result() is True
    assert await executor.append(Selfish(), key="one") is event


async def test_extend_invoke_and_map():
    """What stands on append() works without a start too."""
    executor = inline(Executor.of(double, concurrency_limit=3))
    assert await executor.invoke(executor_call(4)) == 8
    assert [call.result() async for call in executor.map(double, range(10), ordered=True)] == list(range(0, 20, 2))


def executor_call(number):
    """Make a call of double()."""
    return Call.of(double, number)


async def test_a_full_queue():
    """A full queue is emptied by who waits for room, and refuses where nothing can run."""
    executor = inline(make_executor(max_queue_size=1))
    executor.pause()
    await executor.append(Job())
    with pytest.raises(QueueFullError):
        await executor.append(Job(), wait=True)
    executor.resume()
    await executor.append(Job(), wait=True)
    assert counts(executor) == {"completed": 2}


async def test_more_than_a_batch_in_front():
    """Events in front of one do not keep it out, though a batch is smaller."""
    executor = inline(make_executor(queue_capacity=2))
    executor.pause()
    for _ in range(7):
        await executor.append(Job(), priority=0)
    executor.resume()
    event = await executor.append(Job(), priority=1)
    assert event.status is EventStatus.COMPLETED


async def test_what_was_appended_before_runs_along():
    """Events from before inline() are queued and run with the first."""
    executor = make_executor()
    early = await executor.append(Job())
    await inline(executor).append(Job())
    assert early.status is EventStatus.COMPLETED


async def test_tasks_append_at_the_same_time():
    """Several tasks may, under the concurrency limit."""
    executor = inline(make_executor(concurrency_limit=2))
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(executor.append, Job(seconds=1))
    assert counts(executor) == {"completed": 6}
    assert anyio.current_time() == pytest.approx(3)


async def test_a_started_executor():
    """In its block it runs as any other, and append() returns at the end all the same."""
    async with inline(make_executor()) as executor:
        event = await executor.append(Job(seconds=3))
        assert event.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_cancellation_of_append():
    """Who is cancelled while its event runs takes that along."""
    executor = inline(make_executor())
    job = Job(seconds=100)
    with anyio.move_on_after(10):
        await executor.append(job)
    assert job.status is EventStatus.CANCELLED
    with anyio.move_on_after(10):
        await executor.append(late := Job(), delay=100)
    assert late.status is EventStatus.PENDING
    check_invariants(executor)


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_with_a_journal(tmp_path, ack):
    """In its block it is written as any other; outside it refuses to take anything in."""
    kept = Executor.of(double, journal=Journal(tmp_path / "run.db", ack=ack))
    executor = inline(kept)
    with pytest.raises(ExecutorClosedError, match="start it first"):
        await executor.append(executor_call(1))
    async with executor:
        event = await executor.append(executor_call(1))
        assert event.result() == 2
        taken = await executor.extend([executor_call(2), executor_call(3)])
        assert [each.result() for each in taken] == [4, 6]
    assert executor.status_counts()["pending"] == 0
