"""Locks that a user holds: what waits for them, and what goes on meanwhile."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from support import (
    Job,
    JobProcessor,
    check_invariants,
    counts,
    make_executor,
    with_processor,
)

from lionpride_exec import (
    Deny,
    EventStatus,
)

pytestmark = pytest.mark.anyio


async def test_invoke_under_a_lock_of_the_callers_own():
    """Whoever holds the lock that the move needs moves at once."""
    executor = make_executor()
    event = Job(name="x")
    await executor.append(event)
    async with executor.states.progressions:
        await event.invoke()
    assert event.result() == "x"
    assert counts(executor) == {"completed": 1}


async def test_a_second_invoke_waits_while_the_first_waits_for_a_lock():
    """invoke() returns at the end, also when the end waits for its turn."""
    executor = make_executor()
    event = Job()
    await executor.append(event)
    seen = []

    async def second():
        await event.invoke()
        seen.append(event.status)

    async with anyio.create_task_group() as group:
        async with executor.states.get_progression("completed"):
            group.start_soon(event.invoke)
            await wait_all_tasks_blocked()
            group.start_soon(second)
            await wait_all_tasks_blocked()
            assert seen == []
    assert seen == ["completed"]


@pytest.mark.parametrize("meanwhile", ["skipped", "run by hand"])
async def test_an_abort_that_waits_for_a_lock(meanwhile):
    """An event that is decided otherwise while its abort waits stands where its status says."""

    class Denies(JobProcessor):
        async def request_permission(self, **kwargs):
            return Deny()

    executor = with_processor(Denies)
    event = Job()
    async with executor, anyio.create_task_group() as group:
        async with executor.states.get_progression("aborted"):
            await executor.append(event)
            await wait_all_tasks_blocked()
            if meanwhile == "skipped":
                event.status = "skipped"
            else:
                group.start_soon(event.invoke)
                await wait_all_tasks_blocked()
        await executor.join()
    assert event.status is (EventStatus.SKIPPED if meanwhile == "skipped" else EventStatus.COMPLETED)
    check_invariants(executor)


async def test_a_start_that_waits_for_a_lock_and_is_called_off():
    """Nobody sees an event filed under PROCESSING that does not begin, not even the next who holds the lock."""
    executor = make_executor()
    await executor.append(Job())
    lock, seen = executor.states.progressions, []

    async def next_holder():
        async with lock:
            check_invariants(executor)
            seen.append(counts(executor))

    async with anyio.create_task_group() as group:
        async with lock:
            await executor.start()
            await wait_all_tasks_blocked()
            group.start_soon(next_holder)
            await wait_all_tasks_blocked()
            await executor.processor.stop()
    await executor.stop()
    assert seen == [{"pending": 1}]
