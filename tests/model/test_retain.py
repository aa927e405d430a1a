"""Retention: what is kept of events that have ended, in memory and on disk."""

import sqlite3

import anyio
import pytest
from journal_support import CONFIG, Step, StepExecutor, open_executor, rows, until
from support import check_invariants, owner_of, view_of

from lionpride_exec import EventsOnDiskWarning, Executor, Journal, NotFoundError, Retain

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


async def test_a_count_in_memory_without_a_journal():
    """Of each status the last ones are kept; progress counts them all."""
    executor = StepExecutor(CONFIG, retain=Retain(2))
    async with executor:
        events = await executor.extend(Step(name=str(number), fails=number % 2) for number in range(10))
        await executor.join()
        assert executor.status_counts()["completed"] == 2
        assert executor.status_counts()["failed"] == 2
        assert {event.name for event in executor.completed_events} <= {"4", "6", "8"}
        assert executor.progress().done == 10
        check_invariants(executor)
    assert events[0].result() == "0"
    assert owner_of(events[0]) is None


async def test_an_age_in_memory():
    """What ended longer ago goes when something else ends."""
    executor = StepExecutor(CONFIG, retain={"completed": Retain(age=0)})
    async with executor:
        for number in range(3):
            event = await executor.append(Step(name=str(number), fails=number == 1))
            await event.wait()
    assert executor.status_counts()["completed"] <= 1
    assert executor.status_counts()["failed"] == 1


async def test_nothing_leaves_while_somebody_holds_it_still():
    """While the items are locked nothing is removed; with the next end it is made up for."""
    executor = StepExecutor(CONFIG, retain=Retain(0))
    async with executor:
        first = await executor.append(Step(name="first", seconds=1))
        second = await executor.append(Step(name="second", seconds=3))
        await anyio.sleep(0.5)
        async with executor.states.items:
            await first.wait()
            assert first in executor
        await second.wait()
        assert len(executor.states.items) == 0


async def test_with_a_journal_memory_keeps_what_is_asked_for(path):
    """retain= of the executor is about memory, also beside a journal."""
    async with open_executor(path, retain=Retain(3)) as executor:
        await executor.extend(Step(name=str(number)) for number in range(10))
        await executor.join()
        await until(lambda: not (len(executor.states.items) > 3))
        assert executor.status_counts()["completed"] == 10
        with pytest.warns(EventsOnDiskWarning, match="7 of the 10 completed events are in the journal only"):
            check_all_there = [event.result() for event in executor.completed_events]
        assert len(check_all_there) == 3
    assert rows(path) == ["completed"] * 10


async def test_a_count_on_disk(path, monkeypatch):
    """retain= of the journal deletes the oldest, with their trail; the counts follow."""
    monkeypatch.setattr("lionpride_exec._journal.pruning.PRUNE_AFTER", 1)
    async with open_executor(path, retain=None, config={"concurrency_limit": 1}) as executor:
        pass
    executor = StepExecutor(
        CONFIG | {"concurrency_limit": 1}, journal=journal(path, {"completed": Retain(2), "failed": Retain(1)})
    )
    async with executor:
        for number in range(8):
            await (await executor.append(Step(name=str(number), fails=number % 2), key=number)).wait()
        await executor.append(Step(name="last"))
        await executor.join()
    names = "json_extract(event, '$.data.name'), status"
    left = rows(path, names)
    assert [name for name, status in left if status == "completed"][-1] == "last"
    assert sum(status == "completed" for _, status in left) == 2
    assert sum(status == "failed" for _, status in left) == 1
    trail = rows(path, "(SELECT count(*) FROM transition WHERE transition.seq = event.seq)")
    assert trail == [3] * 3
    async with open_executor(path) as executor:
        counts = executor.status_counts()
        assert (counts["completed"], counts["failed"]) == (2, 1)
        assert await executor.known_keys(range(8)) == {6, 7}
        with pytest.raises(NotFoundError):
            await executor.get(Step())


async def test_an_age_on_disk(path, monkeypatch):
    """What ended longer ago is deleted."""
    monkeypatch.setattr("lionpride_exec._journal.pruning.PRUNE_AFTER", 1)
    async with StepExecutor(CONFIG, journal=journal(path, Retain(age=3600))) as executor:
        await executor.append(Step(name="old"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE event SET finished = finished - 3601")
    connection.close()
    async with StepExecutor(CONFIG, journal=journal(path, Retain(age=3600))) as executor:
        assert executor.status_counts()["completed"] == 1
        await executor.append(Step(name="new"))
    assert rows(path, "json_extract(event, '$.data.name')") == ["new"]


async def test_an_executor_that_runs_for_long_stays_flat(path):
    """With a journal neither items, nor progressions, nor what the journal remembers, grow."""
    async with open_executor(path, config={"concurrency_limit": 50}) as executor:
        for _ in range(20):
            await executor.extend(Step(name="x") for _ in range(100))
            await executor.join()
            await until(lambda: not (len(executor.states.items)))
        assert not view_of(executor).pending_writes
        assert not view_of(executor).keys
        assert all(len(progression) == 0 for progression in executor.states.progressions)
        assert executor.status_counts()["completed"] == 2000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": -1}, "count must be an integer, 0 or more"),
        ({"count": True}, "count must be an integer"),
        ({"count": 1.5}, "count must be an integer"),
        ({"age": -1}, "age must be not negative"),
        ({"age": float("nan")}, "age must be finite"),
    ],
)
def test_wrong_numbers_are_refused(arguments, message):
    """Counts and ages have bounds."""
    with pytest.raises(ValueError, match=message):
        Retain(**arguments)


def test_what_is_no_retain_is_refused():
    """The executor checks it when it is made."""
    with pytest.raises(TypeError, match="retain must be a Retain"):
        Executor.of(Step, retain=3)


def journal(path, retain):
    """Make a journal that keeps only so much."""
    return Journal(path, retain=retain)
