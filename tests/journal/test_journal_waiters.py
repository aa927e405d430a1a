"""Waiters for an event that leaves again on its way to the disk."""

from collections import Counter

import anyio
import pytest
from journal_support import Step, open_executor, until
from parts import journal_store

from lionpride_exec import (
    ExecutorClosedError,
)

Store = journal_store.Store

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


async def test_the_events_that_a_commit_lets_go_on_share_the_next_commit(path, monkeypatch):
    """With a strict journal the starts of a full pool share a commit, and so do its ends."""
    commits = []
    commit = Store.commit

    def counted(store, batch):
        """Note how many events of each status a commit writes."""
        commits.append(Counter(change.status for change in batch.changes.values()))
        return commit(store, batch)

    monkeypatch.setattr(Store, "commit", counted)
    async with open_executor(path, ack="strict", config={"concurrency_limit": 20}) as executor:
        await executor.extend([Step() for _ in range(40)])
        await executor.join()
    by_status = [counts for counts in commits if counts]
    assert sum(by_status, Counter()) == {"processing": 40, "completed": 40}
    # At best four: starts and ends of each half. trio runs ready tasks in random order, so the writer may come before
    # some of them. Then two groups of workers take turns, each with four commits of its own.
    assert len(by_status) <= 8
