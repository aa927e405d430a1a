"""Rates go on after a restart: what a journal tells of recent runs is taken of the limits before anything starts."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import ClassVar

import anyio
import pytest
from journal_files import T0, add_event, add_step, make_journal
from journal_support import crash, rows, session_of, until
from parity_world import Work, written
from parts import wall_clock

from lionpride_exec import Concurrent, Executor, Journal, Rate, Retain, Retry
from lionpride_exec.testing import FaultPlan, Latency

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


@pytest.fixture(autouse=True)
def standing_wall_clock(monkeypatch):
    """The wall clock stands still, however long a busy machine takes. The clock of the event loop goes on."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    with wall_clock.wall_clock.replaced(lambda: datetime.fromtimestamp(now, UTC)):
        yield


def executor_of(path, *, audit=True, ack="lazy", retain=None, **config):
    """Make an executor of Work with a journal."""
    return Executor.of(Work, journal=Journal(path, audit=audit, ack=ack, retain=retain), **config)


async def first_run(path, *events, **config):
    """Run these events to their end, and close the journal."""
    async with executor_of(path, **config) as executor:
        await executor.extend(events, priority=0)


def let_pass(path, seconds):
    """Have so much time pass on the wall clock since all that stands in the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE transition SET at = at - ?", (seconds,))
        connection.execute("UPDATE event SET started = started - ?, finished = finished - ?", (seconds, seconds))


async def starts(path, *events, **config):
    """Append these events in a second run; give after how many seconds each starts."""
    began, found = anyio.current_time(), {}
    async with executor_of(path, **config) as executor:
        executor.observe(
            lambda event, _, status: (
                status == "processing" and found.setdefault(event.name, anyio.current_time() - began)
            )
        )
        await executor.extend(events, priority=0)
    return {name: round(at) for name, at in found.items()}


def works(*names, **fields):
    return [Work(name=name, **fields) for name in names]


async def test_what_began_in_the_window_counts(path):
    """Three of three started 40 s ago: the next start is in 60 s, and no window holds more than the amount."""
    limits = Rate(3, per=100)
    await first_run(path, *works("a", "b", "c"), limits=limits)
    let_pass(path, 40)
    assert await starts(path, *works("d", "e", "f", "g"), limits=limits) == {"d": 60, "e": 60, "f": 60, "g": 160}


async def test_what_began_before_the_window_does_not_count(path):
    """A restart after the period finds the whole amount."""
    limits = Rate(3, per=100)
    await first_run(path, *works("a", "b", "c"), limits=limits)
    let_pass(path, 101)
    assert await starts(path, *works("d", "e", "f"), limits=limits) == {"d": 0, "e": 0, "f": 0}


async def test_keys_and_costs_are_those_of_the_events(path):
    """Each key goes on by itself, with what its events cost."""
    limits = [Rate(10, per=100, cost="cost", key="user"), Concurrent(5)]
    await first_run(path, Work(name="a", user="ann", cost=8), Work(name="b", user="bob", cost=3), limits=limits)
    let_pass(path, 10)
    async with executor_of(path, limits=limits) as executor:
        used = {use.key: use.used for use in executor.statistics().limits}
    assert used == {"ann": 8, "bob": 3}
    new = [Work(name="c", user="ann", cost=3), Work(name="d", user="bob", cost=3), Work(name="e", user="eve", cost=10)]
    assert await starts(path, *new, limits=limits) == {"d": 0, "e": 0, "c": 90}


@pytest.mark.parametrize("audit", [True, False])
async def test_what_was_settled_counts(path, audit):
    """What settle() said, less than the estimate or more, is what counts after the restart."""
    limits = [Concurrent(9), Rate(100, per=100, cost="cost", key="user")]
    new = [Work(name="a", user="ann", cost=90, way="cheap"), Work(name="b", user="bob", cost=90, way="dear")]
    await first_run(path, *new, Work(name="c", user="eve", cost=50), limits=limits, audit=audit)
    async with executor_of(path, limits=limits, audit=audit) as executor:
        assert {use.key: use.used for use in executor.statistics().limits} == {"ann": 1, "bob": 95, "eve": 50}
    async with executor_of(path, limits=limits[1], audit=audit) as executor:  # other limits: by the estimate
        assert {use.key: use.used for use in executor.statistics().limits} == {"ann": 90, "bob": 90, "eve": 50}


async def test_what_was_settled_is_not_kept_for_ever(path):
    """As new corrections come, old ones go."""
    limits = Rate(100, per=0.001, cost="cost")
    with wall_clock.wall_clock.replaced(lambda: datetime.now(UTC)):  # a correction is old by the wall clock
        await first_run(path, *works(*map(str, range(50)), way="cheap"), limits=limits)
        async with executor_of(path, limits=limits) as executor:
            for number in range(50):
                await executor.invoke(Work(name=str(number), way="cheap"))
                await written(executor)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM settled").fetchone()[0] < 20


async def test_each_attempt_counts(path):
    """A retried event has begun as often as it ran."""
    limits = Rate(5, per=100)
    await first_run(path, Work(name="a", fails=2), limits=limits, retry=Retry(3, backoff=0.01, jitter=0))
    async with executor_of(path, limits=limits) as executor:
        assert [use.used for use in executor.statistics().limits] == [3]


async def test_what_is_held_counts_from_the_end(path):
    """With hold=True an event that began before the window counts, if it ended within it."""
    limits = Rate(1, per=100, hold=True)
    await first_run(path, *works("a"), limits=limits)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE transition SET at = at - 500 WHERE status != 'c'")
        connection.execute("UPDATE transition SET at = at - 30 WHERE status = 'c'")
    assert await starts(path, *works("b"), limits=limits) == {"b": 70}
    assert await starts(path, *works("c"), limits=Rate(1, per=100)) == {
        "c": 100
    }  # b, of a moment ago by the wall clock


@pytest.mark.parametrize("audit", [True, False])
async def test_what_ran_when_the_process_died_counts(path, audit):
    """Its end is not known: held, it counts as one of now; else by its start."""
    limits = Rate(1, per=100, hold=True)
    with anyio.CancelScope() as scope:
        async with executor_of(path, ack="strict", audit=audit, limits=limits) as executor:
            await executor.append(Work(name="a", seconds=50))
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    let_pass(copy, 500)
    assert await starts(copy, audit=audit, limits=limits) == {"a": 100}


async def test_the_window_of_the_capacity_goes_on(path):
    """queue_capacity starts in any capacity_refresh_time, over a restart too."""
    config = {"queue_capacity": 2, "capacity_refresh_time": 100.0}
    await first_run(path, *works("a", "b"), **config)
    let_pass(path, 40)
    assert await starts(path, *works("c", "d", "e"), **config) == {"c": 60, "d": 60, "e": 160}


async def test_more_than_the_capacity_may_have_begun(path):
    """A capacity that is less than before is waited for."""
    await first_run(path, *works("a", "b", "c"), queue_capacity=5, capacity_refresh_time=100.0)
    assert await starts(path, *works("d"), queue_capacity=1, capacity_refresh_time=100.0) == {"d": 100}


@pytest.mark.parametrize(("seconds", "expected"), [(-5000, 100), (5000, 0)])
async def test_a_wall_clock_that_was_set_is_bounded(path, seconds, expected):
    """Set back, what began counts as one of now; set forward, as long ago: nothing waits for longer than the period."""
    limits = Rate(1, per=100)
    await first_run(path, *works("a"), limits=limits)
    let_pass(path, seconds)
    assert await starts(path, *works("b"), limits=limits) == {"b": expected}


async def test_without_a_trail_the_rows_tell(path):
    """audit=False: the last start of each event, and the earlier ones of those that are open."""
    limits = Rate(4, per=100)
    retry = Retry(3, backoff=5000, jitter=0)
    with anyio.CancelScope() as scope:
        async with executor_of(path, audit=False, limits=limits, retry=retry) as executor:
            await executor.extend([Work(name="a"), Work(name="b", fails=1), Work(name="c")])
            await anyio.sleep(1)
            await written(executor)
            scope.cancel()
            await anyio.sleep_forever()
    async with executor_of(path, audit=False, limits=limits) as executor:
        assert [use.used for use in executor.statistics().limits] == [3]
        executor.cancel(executor.pending_events[0])
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT seq FROM event WHERE started > 5").fetchall()
    assert "event_started" in plan[0][3]


async def test_a_stop_and_a_start_count_once(path):
    """The same executor knows what it has started; what is in the file is not counted once more."""
    executor = executor_of(path, limits=Rate(5, per=100))
    for _ in range(3):
        await executor.start()
        await executor.invoke(Work(name="a"))
        assert len(executor.statistics().limits) == 1
        used = executor.statistics().limits[0].used
        await executor.stop()
    assert used == 3


async def test_retention_spares_it_too_after_a_stop_and_a_start(path, monkeypatch):
    """What an executor has started since its second start() counts in the next process, whatever retain= says."""
    monkeypatch.setattr("lionpride_exec._journal.pruning.PRUNE_AFTER", 1)
    limits = Rate(3, per=100)
    executor = executor_of(path, limits=limits, retain=Retain(0))
    await executor.start()
    await executor.stop()
    await executor.start()
    await executor.extend(works("a", "b", "c"), priority=0)
    await executor.join()
    await executor.stop()
    assert len(rows(path)) == 3
    assert await starts(path, *works("d"), limits=limits) == {"d": 100}


async def test_retention_spares_what_limits_count(path, monkeypatch):
    """retain= of the journal deletes nothing that a rate has to count after a restart, and the rest as ever."""
    monkeypatch.setattr("lionpride_exec._journal.pruning.PRUNE_AFTER", 1)
    limits = Rate(3, per=1000)
    await first_run(path, *works("a", "b", "c"), limits=limits, retain=Retain(0))
    assert len(rows(path)) == 3
    async with executor_of(path, limits=limits, retain=Retain(0)) as executor:
        assert [use.used for use in executor.statistics().limits] == [3]
    let_pass(path, 2000)
    async with executor_of(path, limits=limits, retain=Retain(0)) as executor:
        await executor.invoke(Work(name="d"))
        await until(lambda: executor.status_counts()["completed"] == 1)
    assert len(rows(path)) == 1


class Noted(Work, tag="rates.noted"):
    """Notes when its handler begins."""

    begun: ClassVar[list[float]] = []

    async def _invoke(self):
        self.begun.append(anyio.current_time())
        return await super()._invoke()


class Charged(Noted, tag="rates.charged", on_crash="fail"):
    """Begins once that is on disk, with a lazy journal too."""


@pytest.mark.parametrize(("kind", "ack"), [(Noted, "strict"), (Charged, "lazy"), (Charged, "strict")])
@pytest.mark.parametrize(
    "config",
    [
        {"limits": Rate(3, per=10)},
        {"limits": [Concurrent(9), Rate(3, per=10, key="user")]},
        {"queue_capacity": 3, "capacity_refresh_time": 10.0},
    ],
    ids=["rate", "rate by key", "queue_capacity"],
)
async def test_a_slow_disk_makes_no_window_hold_more(path, config, kind, ack):
    """However long a start is on its way to the disk, no window holds more than the amount, as handlers see it."""
    kind.begun.clear()
    with FaultPlan(1, {"start:before": Latency(0, 25)}).applied(Executor):
        async with executor_of(path, ack=ack, **config) as executor:
            await executor.extend([kind(name=str(number), user="ann") for number in range(12)], priority=0)
    begun = sorted(kind.begun)
    assert len(begun) == 12
    assert all(later - earlier >= 10 for earlier, later in zip(begun, begun[3:], strict=False))


@pytest.mark.parametrize("config", [{"limits": Rate(2, per=10)}, {"queue_capacity": 2, "capacity_refresh_time": 10.0}])
async def test_what_is_cut_off_before_it_has_begun_counts(path, config):
    """Events that are cancelled on their way to the disk hold nothing for ever: they count as starts of that moment."""
    with FaultPlan(1, {"start:before": Latency(5)}).applied(Executor):
        async with executor_of(path, ack="strict", **config) as executor:
            first = await executor.extend(works("a", "b"), priority=0)
            await anyio.sleep(2)
            waiting = await executor.append(Work(name="c"))
            why = executor.explain(waiting)
            assert executor.statistics().waits == {why.waits_for: 1}
            for event in first:
                executor.cancel(event)
            began = anyio.current_time()
            await waiting.wait()
            took = anyio.current_time() - began
    assert (why.waits_for.value, why.seconds) in {("limit", None), ("capacity", None)}
    assert (round(took), [event.status.value for event in (*first, waiting)]) == (15, ["cancelled"] * 2 + ["completed"])


async def test_what_cannot_be_read_is_told(path, caplog):
    """A run of a class that is not known here takes nothing, and that is said once."""
    limits = Rate(5, per=100, key="user")
    await first_run(path, *works("a", "b", user="ann"), limits=limits)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE event SET event = replace(event, 'parity.work', 'gone') WHERE seq = 1")
    async with executor_of(path, limits=limits) as executor:
        assert [use.used for use in executor.statistics().limits] == [1]
    assert "the limits do not count 1 recent runs" in caplog.text


@pytest.mark.parametrize("audit", [True, False])
async def test_opening_reads_what_is_recent_only(path, audit):
    """What SQLite does for it does not grow with what is old."""
    now = T0 + 1_000_000

    def fill(old, connection):
        """Write 10 recent events behind so many old events."""
        for seq in range(old):
            add_event(connection, seq + 1, "completed", attempt=1, started=T0, finished=T0 + 1)
            for number, status in enumerate(("pending", "processing", "completed")):
                add_step(connection, seq + 1, status, T0 + number)
        for seq in range(old + 1, old + 11):
            add_event(connection, seq, "completed", attempt=1, started=now, finished=now + 1)
            add_step(connection, seq, "processing", now)
            add_step(connection, seq, "completed", now + 1)

    async def work(file):
        """Count the steps of SQLite's machine, in hundreds."""
        async with executor_of(file, audit=audit) as executor:
            session, ticks = session_of(executor), []
            await session.runs_since(now - 5)  # makes the index
            session.store.read(lambda connection: connection.set_progress_handler(lambda: ticks.append(1), 100))
            assert len(await session.runs_since(now - 5)) == 10
            session.store.read(lambda connection: connection.set_progress_handler(None, 100))
            return len(ticks)

    used = []
    for old in (2000, 8000):
        file = path.with_name(f"{old}.db")
        with closing(make_journal(file)) as connection:
            connection.execute("BEGIN")
            fill(old, connection)
            connection.execute("COMMIT")
        used.append(await work(file))
    assert used[0] > 0
    assert abs(used[0] - used[1]) <= 5
    assert used[0] < 1000


async def test_the_trail_is_read_back_until_it_is_too_old(path):
    """However many lines are recent, none is missed; an arrival is no run, an interruption ends one."""
    now = time.time()
    with closing(make_journal(path)) as connection:
        connection.execute("BEGIN")
        for seq in range(1, 3001):
            add_event(connection, seq, "completed")
            add_step(connection, seq, "pending", now, 0)
        add_step(connection, 1, "processing", now - 500, 1)
        add_step(connection, 1, "pending", now - 1, 0, "CancelledError")
        for seq in range(2, 2502):
            add_step(connection, seq, "processing", now - 1, 1)
        connection.execute("COMMIT")
    async with executor_of(path) as executor:
        found = await session_of(executor).runs_since(now - 60)
    assert len(found) == 2501
    assert [(round(now - run.began), round(now - run.ended)) for run in found if run.row.seq == 1] == [(500, 1)]
