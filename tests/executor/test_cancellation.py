"""Cancellation: by asyncio's own means, past all scopes, and at odd moments."""

import asyncio
from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from support import (
    ASYNCIO_ONLY,
    Job,
    JobExecutor,
    counts,
    create_processor,
    make_executor,
)

from lionpride_exec import (
    EventStatus,
    Retry,
)
from lionpride_exec.testing import check_invariants

pytestmark = pytest.mark.anyio


class Acts(Job):
    """Runs an async function of itself."""

    act: object = None

    async def _invoke(self):
        return await self.act(self)


async def cancel_natively(name):
    """Cancel a task by its name, past all scopes."""
    for task in asyncio.all_tasks():
        if task.get_name().endswith(name):
            task.cancel()
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("name", ["worker", "dispatcher"])
@ASYNCIO_ONLY
async def test_a_task_of_the_executor_is_cancelled(name):
    """A cancellation that no scope asked for ends one task; the executor goes on."""
    async with make_executor() as executor:
        await executor.invoke(Job())
        await cancel_natively(name)
        await executor.invoke(Job())
        await cancel_natively(name)
        await executor.invoke(Job())
    assert counts(executor) == {"completed": 3}


@ASYNCIO_ONLY
async def test_an_event_that_cancels_its_task_and_returns():
    """The cancellation it left behind does not hit the next event in that worker."""

    async def cancel(_):
        asyncio.current_task().cancel()

    executor = make_executor(concurrency_limit=1)
    async with executor:
        await executor.append(Acts(act=cancel))
        for _ in range(3):
            await executor.append(Job(seconds=1.0))
    assert counts(executor) == {"completed": 4}


@ASYNCIO_ONLY
async def test_the_root_task_is_cancelled_before_its_first_step():
    """start() works again afterwards."""
    executor = make_executor()
    await executor.append(Job())
    await executor.start()
    await cancel_natively("background")
    await wait_all_tasks_blocked()
    await executor.start()
    await executor.join()
    assert counts(executor) == {"completed": 1}
    await executor.stop()


@ASYNCIO_ONLY
async def test_an_outcome_behind_a_lock_survives_a_native_cancellation():
    """An event that has returned is COMPLETED, whatever becomes of the task that waits for a lock to say so."""
    executor = make_executor()
    event = Job(name="kept")
    await executor.append(event)
    async with executor.states.get_progression("completed"):
        task = asyncio.ensure_future(event.invoke())
        await wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert event.result() == "kept"
    check_invariants(executor)


async def test_a_cancelled_forward_keeps_its_slots_until_its_events_have_ended():
    """Events of a cancelled batch that take their time still count against the limit."""
    executor = make_executor(concurrency_limit=2)
    await create_processor(executor)
    running = []

    async def stubborn(event):
        running.append(event)
        try:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(10)
            assert len(running) <= 2
        finally:
            running.remove(event)

    async def forward(seconds):
        with anyio.move_on_after(seconds):
            await executor.forward()

    for _ in range(4):
        await executor.append(Acts(act=stubborn))
    async with anyio.create_task_group() as group:
        group.start_soon(partial(forward, 1))
        await anyio.sleep(2)
        group.start_soon(partial(forward, 1000))
        await wait_all_tasks_blocked()
        assert len(running) == 2
    check_invariants(executor)


async def test_the_record_of_a_cancellation_is_plain():
    """It says "cancelled" on each backend, without addresses and paths of this machine."""
    executor = make_executor()
    await executor.start()
    event = Job(seconds=100.0)
    await executor.append(event)
    await wait_all_tasks_blocked()
    await executor.stop(grace=0)
    assert event.execution.to_dict()["error"]["message"] == "cancelled"


async def test_cancel_between_the_end_of_a_run_and_its_retry():
    """Decided while the run waits for a lock to be filed: it is not run again."""
    executor = make_executor(retry=Retry(3, jitter=0))
    async with executor:
        event = await executor.append(Job(seconds=1, error=OSError()))
        await anyio.sleep(0.5)
        async with executor.states.progressions:
            await anyio.sleep(2)
            assert executor.cancel(event, "enough")
        await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert event.execution.attempts == ()


async def test_cancel_of_an_event_whose_start_waits_for_a_lock():
    """Somebody else takes the lock next: it does not start in between."""
    executor = make_executor()
    gate = anyio.Event()

    async def hold():
        async with executor.states.progressions:
            await gate.wait()

    event = await executor.append(Job())
    async with anyio.create_task_group() as group:
        async with executor.states.progressions:
            await executor.start()
            await wait_all_tasks_blocked()
            group.start_soon(hold)
            await wait_all_tasks_blocked()
            assert executor.cancel(event)
        await wait_all_tasks_blocked()
        assert event.status is EventStatus.PENDING
        gate.set()
        await event.wait()
    assert event.status is EventStatus.CANCELLED
    assert event.execution.attempt == 0
    await executor.stop()


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
