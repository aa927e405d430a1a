"""The notes of an executor about events in progress, which tests look for once all have ended."""

import anyio
import pytest
from leftovers import leftovers
from support import Job, make_executor

from lionpride_exec import Concurrent, Rate, Retry

pytestmark = pytest.mark.anyio


async def test_leftovers_names_what_is_noted_of_events_in_progress():
    """While events run and wait, each note about them is found, with as many entries as there are events."""
    executor = make_executor(concurrency_limit=1, limits=[Rate(5, per=60), Concurrent(2)])
    first, second = Job(seconds=1), Job()
    async with executor:
        await executor.append(first)
        await executor.append(second)
        await executor.append(Job(), after=second)
        await anyio.sleep(0.5)
        found = {name: len(notes) for name, notes in leftovers(executor).items()}
    assert found == {"running": 1, "started": 1, "queued": 1, "waiting_after": 1, "followers": 1, "limits_held": 1}


async def test_leftovers_finds_what_waits_for_an_executor_that_has_no_processor():
    """Before the first start, the delay of an event is noted, and who waits for its end."""
    executor = make_executor()
    event = await executor.append(Job(), delay=1)
    async with anyio.create_task_group() as group:
        group.start_soon(event.wait)
        await anyio.wait_all_tasks_blocked()
        found = leftovers(executor)
        group.cancel_scope.cancel()
    assert {name: len(notes) for name, notes in found.items()} == {"early": 1, "end_waiters": 1}


async def test_leftovers_are_none_once_every_event_has_ended():
    """Ended events leave no note behind, whether the executor still runs or is stopped."""
    executor = make_executor(limits=[Rate(5, per=60, hold=True), Concurrent(2)], retry=Retry(2, deadline=50))
    async with executor:
        first = await executor.append(Job(seconds=1), key="a key")
        await executor.append(Job(error=ValueError()))
        await executor.append(Job(), after=first, delay=5)
        await executor.join()
        assert leftovers(executor) == {}
    assert leftovers(executor) == {}
