"""Progress: the numbers of done and to do, the rate since earlier calls, and the time left."""

import anyio
import pytest
from leftovers import sizes
from support import Job, make_executor

from lionpride_exec import Call, Event, EventStatus, Executor, Progress, current_executor
from lionpride_exec.testing import BACKENDS, backend_options

pytestmark = pytest.mark.anyio


async def append(executor, number, **fields):
    """Append so many jobs."""
    jobs = [Job(**fields) for _ in range(number)]
    for job in jobs:
        await executor.append(job, 0)
    return jobs


async def test_nothing_to_do():
    """An executor without events: all zeros, no rate, nothing left."""
    progress = make_executor().progress()
    assert progress == Progress(
        total=0,
        done=0,
        pending=0,
        processing=0,
        by_status=dict.fromkeys([status for status in EventStatus if status.is_terminal], 0),
        rate=None,
        seconds_left=0.0,
    )
    assert progress.fraction == 0
    assert str(progress) == "0 of 0 done (0%)  0 running  0 pending"


async def test_what_is_counted():
    """Every event is in total; done are those that ended, however they did; the record does not change later."""
    executor = make_executor(concurrency_limit=2)
    async with executor:
        await append(executor, 3)
        await append(executor, 1, error=ValueError())
        await executor.join()
        await append(executor, 4, seconds=10)
        executor.pending_events[-1].status = "skipped"
        await anyio.sleep(1)
        progress = executor.progress()
    assert (progress.total, progress.done, progress.processing, progress.pending) == (8, 5, 2, 1)
    assert progress.fraction == pytest.approx(5 / 8)
    assert {status.value: number for status, number in progress.by_status.items() if number} == {
        "completed": 3,
        "failed": 1,
        "skipped": 1,
    }
    with pytest.raises(AttributeError):
        progress.done = 0
    assert executor.progress().done == 8


async def test_cleaned_up_events_count_as_done():
    """cleanup_events() takes nothing from done; pending events that it removes are not counted any more."""
    executor = make_executor()
    async with executor:
        await append(executor, 2)
        await append(executor, 1, error=ValueError())
        await executor.join()
        await executor.stop()
        await append(executor, 2)
        before = executor.progress()
        assert await executor.cleanup_events() == 3
        after = executor.progress()
        assert (after.total, after.done, after.by_status) == (5, 3, before.by_status)
        assert await executor.cleanup_events(["pending"]) == 2
        assert (executor.progress().total, executor.progress().done) == (3, 3)
        await executor.start()
        await append(executor, 1)
    assert (executor.progress().total, executor.progress().done) == (4, 4)


async def test_the_rate_is_that_since_earlier_calls():
    """One event ends per second: 1/s from the second call on, and the time left to match; then done."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        await append(executor, 100, seconds=1)
        first = executor.progress()
        assert (first.rate, first.seconds_left) == (None, None)
        assert executor.progress().rate is None  # no time has passed
        await anyio.sleep(0.5)  # the events end between the calls, not at the same moment
        for second in range(1, 99):
            await anyio.sleep(1)
            progress = executor.progress()
            assert progress.rate == pytest.approx(1, abs=1.1 / min(second, 60))
        assert progress.done == 98
        assert progress.seconds_left == pytest.approx(2, rel=0.05)
    end = executor.progress()
    assert end.seconds_left == 0
    assert end.fraction == 1


async def test_only_the_last_minute_counts():
    """A quick beginning is forgotten after a minute; with rarer calls the last one counts."""
    executor = make_executor(concurrency_limit=1, queue_capacity=1000)
    async with executor:
        executor.progress()
        await append(executor, 600)
        await executor.join()
        await append(executor, 1, seconds=1000)
        await anyio.sleep(30)
        assert executor.progress().rate == pytest.approx(20)
        await anyio.sleep(30)
        assert executor.progress().rate == pytest.approx(10)
        await anyio.sleep(1)
        still = executor.progress()
        assert (still.rate, still.seconds_left) == (0, None)
        await anyio.sleep(400)
        assert executor.progress().rate == 0
        await executor.stop(grace=0)
        assert executor.progress().rate == pytest.approx(1 / 400, rel=0.2)


async def test_many_calls_keep_few_samples():
    """A display that asks a thousand times a second costs no memory."""
    executor = make_executor()
    for _ in range(2000):
        executor.progress()
        await anyio.sleep(0.001)
    for _ in range(300):
        executor.progress()
        await anyio.sleep(60 / 200)
    assert max(sizes(executor).values()) <= 60 / 0.5 + 2


async def test_a_call_right_after_another():
    """It gives the rate the other one gave, after a pause of more than a minute too."""
    executor = make_executor(concurrency_limit=1)
    async with executor:
        executor.progress()
        await append(executor, 100, seconds=4.000001)
        await anyio.sleep(200)
        rate = executor.progress().rate
        assert rate == pytest.approx(49 / 200)
        assert executor.progress().rate == rate
        await anyio.sleep(20)
        assert executor.progress().rate == pytest.approx(5 / 20)


def test_outside_an_event_loop():
    """Before and after, progress() gives the numbers without a rate; another event loop has a clock of its own."""
    executor = make_executor()
    assert executor.progress().rate is None

    async def main():
        async with executor:
            await append(executor, 3)
            assert executor.progress().rate is None  # whatever another loop's clock said
            await anyio.sleep(3)
        assert executor.progress().rate > 0

    for backend in BACKENDS:
        name, options = backend_options(backend)
        anyio.run(main, backend=name, backend_options=options)
        assert executor.progress().rate is None
    assert executor.progress().done == 3 * len(BACKENDS)


async def test_a_status_that_was_removed_by_hand_makes_no_negative_rate():
    """Events taken out past the executor lower done; the rate stays 0 or more."""
    executor = make_executor()
    async with executor:
        jobs = await append(executor, 3)
        await executor.join()
        executor.progress()
        await anyio.sleep(1)
        for job in jobs:
            executor.states.remove_item(job.id)
        assert executor.progress().rate == 0


@pytest.mark.parametrize(
    ("rate", "left", "tail"),
    [
        (None, None, ""),
        (0.0, None, "  0.0/s"),
        (2.5, 1500.0, "  2.5/s  0:25:00 left"),
        (1234.5, 3.0, "  1,234/s  0:00:03 left"),
    ],
)
def test_a_line_for_people(rate, left, tail):
    """Done, what did not complete, running, pending, and what is known of the pace."""
    progress = Progress(
        total=5000,
        done=1234,
        pending=3756,
        processing=10,
        by_status={EventStatus.COMPLETED: 1232, EventStatus.FAILED: 2, EventStatus.SKIPPED: 0},
        rate=rate,
        seconds_left=left,
    )
    assert str(progress) == "1,234 of 5,000 done (25%)  2 failed  10 running  3,756 pending" + tail


async def test_events_taken_in_after_their_end():
    """A restored COMPLETED event counts as done."""
    executor = make_executor()
    assert isinstance(executor, Executor)
    done = Job()
    done.status = "completed"
    await executor.append(done)
    assert (executor.progress().total, executor.progress().done) == (1, 1)


async def test_what_had_ended_before_does_not_count_for_the_rate():
    """Restored events are done, but were not done now."""
    executor = make_executor(concurrency_limit=1)
    restored = [Job() for _ in range(300)]
    for job in restored:
        job.status = EventStatus.COMPLETED
    await executor.extend(restored)
    async with executor:
        executor.progress()
        await executor.extend([Job(seconds=0.5) for _ in range(100)])
        await anyio.sleep(10.2)
        progress = executor.progress()
        assert progress.done == 320
        assert progress.rate == pytest.approx(2, rel=0.1)
        assert progress.seconds_left == pytest.approx(40, rel=0.1)


class Page(Event):
    """Finds two further pages at its end."""

    level: int

    async def _invoke(self):
        await anyio.sleep(2)
        if self.level:
            await current_executor().extend([Page(level=self.level - 1) for _ in range(2)])


async def test_the_time_left_of_a_crawl_is_a_lower_bound():
    """While running events append others. Not before, and not once none has appended any for some time."""
    executor = Executor.of(Event, concurrency_limit=2)
    lines = []
    async with executor:
        await executor.append(Page(level=3))
        for _ in range(20):
            await anyio.sleep(1)
            progress = executor.progress()
            lines.append(str(progress))
            assert progress.is_total_known
            assert not executor.progress(to_come=5).is_growing
        assert executor.status_counts()["completed"] == 15
        await executor.extend([Call.of(anyio.sleep, 30) for _ in range(8)])
        await anyio.sleep(50)
        later = executor.progress()
    assert "left" not in lines[0]
    assert all(" at least 0:" in line for line in lines if line.endswith(" left"))
    assert sum("at least" in line for line in lines) > 10
    assert not executor.progress().is_growing
    assert not later.is_growing
    assert "at least" not in str(later)
    assert later.seconds_left


async def test_what_the_program_appends_is_no_growth():
    """Nor what a schedule or a map appends."""
    executor = make_executor()
    async with executor:
        executor.progress()
        await executor.extend([Job(seconds=5) for _ in range(9)])
        await anyio.sleep(7)
        assert not executor.progress().is_growing
