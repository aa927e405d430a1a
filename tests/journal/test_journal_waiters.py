"""Waiters for an event that leaves again on its way to the disk."""

import anyio
import pytest
from journal_support import Step, open_executor, until

from lionpride_exec import (
    ExecutorClosedError,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


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
