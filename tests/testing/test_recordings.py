"""Recordings and `inline()` beside each other, and beside a busy executor."""

from functools import partial

import anyio
import pytest
from support import Job, JobExecutor, make_executor

from lionpride_exec import (
    EventStatus,
    QueueFullError,
)
from lionpride_exec.testing import inline, record

pytestmark = pytest.mark.anyio


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
            group.start_soon(partial(executor.append, wait=True), event)
    assert {event.status for event in events} == {EventStatus.COMPLETED}
    executor.pause()
    await executor.append(Job())
    with pytest.raises(QueueFullError, match="Queue size"):  # nobody will make room
        await executor.append(Job(), wait=True)
