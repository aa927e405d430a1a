"""Starts that a strict journal writes in the commit with the ends that make room for them."""

import sqlite3

import anyio
import pytest
from anyio.lowlevel import checkpoint
from journal_support import FailStep, Step, crash, open_executor, rows, session_of, written
from parts import journal_store

from lionpride_exec import Concurrent, EventStatus, Rate

Store = journal_store.Store

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


def one_slot(path, **config):
    """Return an executor with a strict journal that runs one event at a time."""
    return open_executor(path, ack="strict", config={"concurrency_limit": 1, **config})


def trail(path, seq):
    """Return the audit trail of an event: the letter and the error of each line."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT status, error FROM transition WHERE seq = ? ORDER BY n", (seq,)).fetchall()
    connection.close()
    return found


def when_ended(executor, event, act):
    """Call a function inside the last transition of an event."""
    executor.observe(lambda one, _, status: act() if one is event and status.is_terminal else None)


class OnceStep(Step, tag="tests.at-most-one-crash", max_attempts=1):
    """Ends FAILED at the first crash that interrupts it."""


async def copied_at_the_end_of_the_first(path, kind=Step, **config):
    """Return what a crash leaves behind in the moment in which the first of two events has ended."""
    copies = []
    async with one_slot(path, **config) as executor:
        first = Step()
        when_ended(executor, first, lambda: copies.append(crash(path)))
        await executor.extend([first, kind()])
        await executor.join()
    return copies[0]


async def test_a_start_shares_the_commit_of_the_end_that_makes_room(path, monkeypatch):
    """Each event but the first begins with the commit that has the end of the event before."""
    commits, commit = [], Store.commit

    def noted(store, batch):
        """Note the changes that a commit writes."""
        commits.append({change.seq: change.status for change in batch.changes.values()})
        return commit(store, batch)

    monkeypatch.setattr(Store, "commit", noted)
    async with one_slot(path) as executor:
        await executor.extend([Step() for _ in range(3)])
        await executor.join()
    assert [changes for changes in commits if changes] == [
        {1: "processing"},
        {1: "completed", 2: "processing"},
        {2: "completed", 3: "processing"},
        {3: "completed"},
    ]
    assert [trail(path, seq) for seq in (1, 2, 3)] == [[("p", None), ("r", None), ("c", None)]] * 3


async def test_an_event_that_does_not_begin_is_put_back(path):
    """An event whose start was written ahead, and that must not start, is PENDING in the file with the next commit."""
    async with one_slot(path) as executor:
        first, second = Step(), Step()
        when_ended(executor, first, executor.pause)
        await executor.extend([first, second])
        await first.wait()
        assert second.status is EventStatus.PENDING
        await written(executor)
        assert rows(path, "status, attempt, started")[1:] == [("pending", 0, None)]
        executor.resume()
        await executor.join()
        assert second.execution.attempt == 1
    assert rows(path) == ["completed", "completed"]
    assert [letter for letter, _ in trail(path, 2)] == ["p", "r", "p", "r", "c"]
    assert trail(path, 2)[2] == ("p", "not begun")


async def test_an_event_that_does_not_begin_before_the_journal_is_closed_is_put_back(path):
    """The last commit of a journal leaves no event as running that has not begun."""
    async with one_slot(path) as executor:
        first = Step()
        when_ended(executor, first, executor.pause)
        await executor.extend([first, Step()])
        await first.wait()
        await executor.stop()
    assert rows(path, "status, attempt, crashes") == [("completed", 1, 0), ("pending", 0, 0)]


async def test_an_event_that_is_cancelled_instead_stays_cancelled(path):
    """An end that comes before the beginning is the one that the file has."""
    async with one_slot(path) as executor:
        first, second = Step(), Step()
        when_ended(executor, first, lambda: executor.cancel(second))
        await executor.extend([first, second])
        await executor.join()
        assert second.status is EventStatus.CANCELLED
    assert rows(path, "status, attempt") == [("completed", 1), ("cancelled", 0)]


async def test_after_a_crash_it_counts_as_interrupted(path):
    """If the process dies before the event has begun, the event is one that was interrupted, and runs again."""
    copy = await copied_at_the_end_of_the_first(path)
    assert rows(copy) == ["completed", "processing"]
    async with one_slot(copy) as executor:
        await executor.join()
    assert rows(copy, "status, attempt, crashes") == [("completed", 1, 0), ("completed", 1, 1)]


@pytest.mark.parametrize("kind", [FailStep, OnceStep])
async def test_an_event_that_a_crash_must_not_end_is_not_started_ahead(path, kind):
    """An event that a crash would end, and that has not begun, is PENDING in the file."""
    assert rows(await copied_at_the_end_of_the_first(path, kind)) == ["completed", "pending"]


async def test_an_event_that_a_crash_has_left_open_is_not_started_ahead(path):
    """The next crash might be the last that the event may see, so it counts only if the event has begun."""
    copy, copies = await copied_at_the_end_of_the_first(path), []
    async with one_slot(copy) as executor:
        executor.pause()
        (left,) = executor.pending_events
        first = Step()
        when_ended(executor, first, lambda: copies.append(crash(copy, "crashed_again.db")))
        await executor.append(first, priority=-1)
        executor.resume()
        await left.wait()
    assert rows(copies[0]) == ["completed", "pending", "completed"]


async def test_an_event_that_is_removed_at_its_end_makes_room_once(path):
    """As many events are started ahead as there are slots, also after the removal of events that were ending."""
    async with one_slot(path) as executor, anyio.create_task_group() as group:
        first, copies = Step(), []

        async def remove():
            """Remove the first event once its end is on its way to the disk."""
            while not session_of(executor).has_unreported_outcome(first):
                assert not first.status.is_terminal
                await checkpoint()
            assert await executor.cleanup_events([EventStatus.PROCESSING]) == 1

        group.start_soon(remove)
        await executor.append(first)
        await first.wait()
        second = Step()
        when_ended(executor, second, lambda: copies.append(crash(path)))
        await executor.extend([second, Step(), Step()])
        await executor.join()
    assert rows(copies[0]) == ["completed", "processing", "pending"]


@pytest.mark.parametrize(
    "config",
    [
        {"limits": [Rate(100, per=60)]},
        {"limits": [Concurrent(5, key=lambda event: event.name)]},
        {"capacity_refresh_time": 1.0},
    ],
    ids=["rate", "key", "window"],
)
async def test_nothing_is_started_ahead_if_a_limit_counts_starts(path, config):
    """The time of a start that a limit counts after a restart is that of the start itself."""
    assert rows(await copied_at_the_end_of_the_first(path, **config)) == ["completed", "pending"]
