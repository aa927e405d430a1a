"""Executor.set_priority(): wherever an event waits, it moves, and keeps everything else."""

from math import inf, nan

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st
from support import Job, JobExecutor, JobProcessor, check_invariants, make_executor, with_processor

from lionpride_exec import EventStatus, NotFoundError, Rate, Retry, Wait
from lionpride_exec.testing import BACKENDS, backend_options, record

pytestmark = pytest.mark.anyio


def note_starts(executor):
    """Give a list that gets the name of each event that starts."""
    started = []
    executor.observe(lambda event, _, status: started.append(event.name) if status == "processing" else None)
    return started


async def test_a_queued_event_moves():
    """Forwards and backwards; equal priorities keep the order of arrival; its id, key and followers stay."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    async with executor:
        executor.pause()
        a, b, c = [await executor.append(Job(name=name), priority=5, key=name) for name in "abc"]
        follower = await executor.append(Job(name="after c"), after=c, priority=0)
        assert executor.set_priority(c, 1)
        assert executor.set_priority(a.id, 9)
        assert executor.set_priority(b, 9)
        assert await executor.append(Job(), key="c") is c
        executor.resume()
    assert started == ["c", "after c", "a", "b"]
    assert follower.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_none_is_the_default():
    """The event stands again where it would stand by its time of creation."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    async with executor:
        executor.pause()
        jobs = [await executor.append(Job(name=name)) for name in "abc"]
        executor.set_priority(jobs[1], -1)
        executor.set_priority(jobs[1], None)
        executor.resume()
    assert started == ["a", "b", "c"]


async def test_before_the_first_start():
    """There need not be a processor."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    await executor.append(Job(name="a"), priority=1)
    late = await executor.append(Job(name="b"), priority=2)
    assert executor.set_priority(late, 0)
    async with executor:
        pass
    assert started == ["b", "a"]


async def test_a_delayed_event_keeps_its_time():
    """The new priority counts once the time has come."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    async with executor:
        began = anyio.current_time()
        await executor.append(Job(name="a", seconds=50), priority=1)
        late = await executor.append(Job(name="b"), delay=20, priority=9)
        await executor.append(Job(name="c"), priority=5)
        assert executor.set_priority(late, 2)
        await late.wait()
        assert anyio.current_time() - began == pytest.approx(50, abs=1)
    assert started == ["a", "b", "c"]


async def test_an_event_that_waits_for_others():
    """It is queued with the new priority."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    async with executor:
        first = await executor.append(Job(name="first", seconds=5), priority=0)
        late = await executor.append(Job(name="late"), after=first, priority=9)
        await executor.append(Job(name="other"), priority=5)
        assert executor.set_priority(late, 1)
    assert started == ["first", "late", "other"]


async def test_an_event_at_its_limit():
    """It overtakes within its key, and the key moves among others."""
    executor = make_executor(limits=Rate(1, per=60, key="name"))
    async with executor:
        await executor.append(Job(name="a"), priority=0)
        behind = await executor.append(Job(name="a"), priority=5)
        ahead = await executor.append(Job(name="a"), priority=9)
        await wait_all_tasks_blocked()
        assert executor.set_priority(ahead, 1)
        await ahead.wait()
        assert behind.status is EventStatus.PENDING


async def test_an_event_above_the_bound_of_the_queue():
    """What was appended before the start, and is more than the queue takes, moves too."""
    executor = make_executor(max_queue_size=1, concurrency_limit=1)
    started = note_starts(executor)
    first = [await executor.append(Job(name=name), priority=5) for name in "abcd"]
    async with executor:
        executor.pause()
        await wait_all_tasks_blocked()
        for number in range(200):
            assert executor.set_priority(first[3], 200 - number)
        executor.resume()
    assert started == ["d", "a", "b", "c"]


async def test_an_event_whose_next_attempt_is_planned():
    """The new priority counts for the next run."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    async with executor:
        flaky = await executor.append(
            Job(name="flaky", error=ValueError("once"), retry=Retry(2, backoff=10, jitter=0)), priority=0
        )
        await anyio.sleep(1)
        assert executor.set_priority(flaky, 9)
        long = await executor.append(Job(name="long", seconds=20), priority=1)
        await wait_all_tasks_blocked()
        await executor.append(Job(name="other"), priority=5)
        await long.wait()
    assert started == ["flaky", "long", "other", "flaky"]


class Gate(JobProcessor):
    """Thinks for a second, and lets the event wait once."""

    async def request_permission(self, **_):
        self.times = getattr(self, "times", 0) + 1
        await anyio.sleep(1)
        return Wait(5) if self.times == 1 else True


async def test_an_event_whose_gate_is_asked():
    """The answer finds the event with its new priority."""
    executor = with_processor(Gate, concurrency_limit=1)
    started = note_starts(executor)
    async with executor:
        asked = await executor.append(Job(name="asked"), priority=0)
        await executor.append(Job(name="other"), priority=5)
        await anyio.sleep(0.5)
        assert executor.set_priority(asked, 9)
    assert started == ["other", "asked"]


class Slow(JobProcessor):
    """Takes its time to queue an event."""

    async def enqueue(self, event_id, priority=None, **options):
        await anyio.sleep(1)
        await super().enqueue(event_id, priority, **options)
        await anyio.sleep(1)


async def test_an_event_on_its_way_to_an_overridden_enqueue():
    """It is queued with the new priority, whenever in enqueue() that came."""
    executor = with_processor(Slow, concurrency_limit=1)
    started = note_starts(executor)
    async with executor, anyio.create_task_group() as group:
        executor.pause()
        one, two = Job(name="one"), Job(name="two")
        group.start_soon(executor.append, one, 1)
        await anyio.sleep(0.5)
        group.start_soon(executor.append, two, 2)
        assert executor.set_priority(one, 9)
        await anyio.sleep(1.2)
        assert executor.set_priority(two, 8)
        await anyio.sleep(5)
        executor.resume()
    assert started == ["two", "one"]


async def test_what_runs_or_has_ended_stays():
    """The answer is False, and nothing has changed."""
    executor = make_executor()
    async with executor:
        running = await executor.append(Job(seconds=10))
        await wait_all_tasks_blocked()
        assert executor.set_priority(running, 0) is False
    assert executor.set_priority(running, 0) is False


async def test_bad_input():
    """An unknown event, or a number that is no priority, changes nothing."""
    executor = make_executor(concurrency_limit=1)
    started = note_starts(executor)
    with pytest.raises(NotFoundError, match="There is no"):
        executor.set_priority(Job(), 1)
    async with executor:
        executor.pause()
        event = await executor.append(Job(name="a"), priority=1)
        await executor.append(Job(name="b"), priority=2)
        for bad in (nan, inf, "1", True):
            with pytest.raises(ValueError, match="Priority must be finite"):
                executor.set_priority(event, bad)
        executor.resume()
    assert started == ["a", "b"]


@given(
    backend=st.sampled_from(BACKENDS),
    changes=st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 3)), max_size=12),
    limited=st.booleans(),
)
def test_order_by_the_last_priority(backend, changes, limited):
    """However often priorities change, events start by the last ones; equal ones by arrival."""

    async def main():
        executor = make_executor(concurrency_limit=1, limits=[Rate(2, per=1)] if limited else ())
        started = note_starts(executor)
        with record(executor, label="name") as trace:
            async with executor:
                executor.pause()
                jobs = [await executor.append(Job(name=str(number)), priority=2) for number in range(6)]
                now = dict.fromkeys(range(6), 2.0)
                for number, priority in changes:
                    assert executor.set_priority(jobs[number], priority)
                    created = jobs[number].created_at.timestamp()
                    now[number] = created if priority is None else priority
                    await wait_all_tasks_blocked()
                executor.resume()
        trace.check(at_rest=True)
        assert started == [str(number) for number in sorted(now, key=lambda number: (now[number], number))]

    name, options = backend_options(backend)
    anyio.run(main, backend=name, backend_options=options)


async def test_a_thousand_changes_leave_nothing():
    """What became stale is dropped, so the queue does not grow."""
    executor = JobExecutor({"queue_capacity": 100, "capacity_refresh_time": 1.0})
    async with executor:
        executor.pause()
        job = await executor.append(Job(), delay=5)
        other = await executor.append(Job())
        for number in range(1000):
            executor.set_priority(job, number)
            executor.set_priority(other, number)
        queue = executor.processor.queue
        assert queue.lanes.stale + queue.delays.stale < 100
        executor.resume()
