"""Events that another process submits to the owner of a journal: ``Journal.submit()`` and ``submit_many()``."""

import asyncio
import datetime as dt
import gzip
import logging
import os
import resource
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from forks import drop_rights, fork
from journal_files import make_journal
from journal_support import (
    CONFIG,
    Step,
    StepExecutor,
    StepProcessor,
    crash,
    fill_up,
    make_room,
    open_executor,
    rows,
    run_on,
    until,
    written,
)
from support import ASYNCIO_ONLY

from lionpride_exec import (
    Call,
    Event,
    EventStatus,
    Executor,
    ExistsError,
    Journal,
    JournalError,
    Retain,
    utc_now,
)
from lionpride_exec.errors import ValidationError
from lionpride_exec.testing import BACKENDS

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::lionpride_exec.errors.EventsOnDiskWarning")]

# How many events are in the two tables, and how many different ones.
COUNT_IDS = "SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM event UNION ALL SELECT id FROM submit)"

DATA = Path(__file__).parent.parent / "data" / "before_parts"


@pytest.fixture
async def path(tmp_path):
    """Return the path of a journal that an executor has made."""
    path = tmp_path / "run.db"
    async with open_executor(path):
        pass
    return path


def submitted(path, what="n"):
    """Return what waits in the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute(f"SELECT {what} FROM submit ORDER BY n").fetchall()  # noqa: S608  ours
    return [row[0] if len(row) == 1 else row for row in found]


def keeping(path, **options):
    """Make an executor that keeps its ended events in memory too."""
    return open_executor(path, retain=Retain(), **options)


def names(executor):
    """Return the names of the events that have completed, in the order of their ends."""
    return [event.name for event in executor.get_events_by_status("completed")]


async def work_off(path):
    """Have an executor take in and run all that is in the file. Return the executor."""
    async with keeping(path) as executor:
        await until(lambda: not submitted(path))
        await executor.join()
    return executor


# -------------------------------------------------------------------- the way in


async def test_a_running_owner_takes_an_event_in_within_a_second(tmp_path):
    """It becomes an ordinary event with its id, its fields and the time at which it was submitted."""
    path = tmp_path / "run.db"
    async with keeping(path) as executor:
        await executor.invoke(Step(name="own"))
        event, before = Step(name="other"), anyio.current_time()
        assert await Journal.submit(path, event) == event.id
        await until(lambda: len(names(executor)) == 2)
        assert anyio.current_time() - before <= 1.5
        copy = await executor.get(event.id)
        assert (copy.name, copy.created_at, copy.execution.attempt) == ("other", event.created_at, 1)
        assert copy is not event
    assert submitted(path) == []
    assert (event.status, event.execution.queued_at) == (EventStatus.PENDING, None)
    assert rows(path, "status") == ["completed", "completed"]


async def test_without_an_owner_the_next_start_takes_it_in(path):
    """The file is left as a closed journal is: nothing waits but the row."""
    await Journal.submit(path, Step(name="a"))
    await Journal.submit(str(path), Step(name="b"))
    assert len(submitted(path)) == 2
    assert rows(path) == []
    assert names(await work_off(path)) == ["a", "b"]


async def test_many_events_are_one_transaction_each_500(path):
    """The iterable may be plain or async, and what it yields is taken in order."""

    async def source():
        for number in range(700):
            yield Step(name=f"async {number}")

    assert await Journal.submit_many(path, [Step(name=f"plain {number}") for number in range(1200)]) == 1200
    assert await Journal.submit_many(path, source(), lambda event: float(event.name.split()[1]) + 1e6) == 700
    assert await Journal.submit_many(path, []) == 0
    assert submitted(path, "priority").count(None) == 1200
    executor = await work_off(path)
    assert sorted(names(executor)) == sorted(
        [f"plain {number}" for number in range(1200)] + [f"async {number}" for number in range(700)]
    )


@pytest.mark.start(dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC))
async def test_priority_times_and_expiry_are_those_of_the_submission(path):
    """They count from the submission, whenever the owner starts."""
    await Journal.submit(path, Step(name="late"), delay=100)
    await Journal.submit(path, Step(name="at"), at=utc_now() + dt.timedelta(seconds=50))
    await Journal.submit(path, Step(name="second"), 2.0)
    await Journal.submit(path, Step(name="first"), 1.0)
    await Journal.submit(path, Step(name="expired"), expires=10)
    await anyio.sleep(20)
    began = anyio.current_time()
    async with keeping(path, config={"concurrency_limit": 1}) as executor:
        await until(lambda: not submitted(path))
        await anyio.sleep(1)
        assert names(executor) == ["first", "second"]
        (expired,) = executor.get_events_by_status("skipped")
        assert expired.name == "expired"
        await executor.join()
        assert names(executor)[2:] == ["at", "late"]
        assert 79 <= anyio.current_time() - began <= 82


async def test_a_key_is_done_once(path):
    """A key that is in the file, in memory or submitted twice: the first event counts, and nothing is left over."""
    await Journal.submit(path, Step(name="first"), key=("a", 1))
    await Journal.submit(path, Step(name="twice"), key=("a", 1.0))
    await work_off(path)
    await Journal.submit(path, Step(name="on disk"), key=["a", 1])
    async with open_executor(path) as executor:
        await until(lambda: not submitted(path))
        blocking = await executor.append(Step(name="in memory", seconds=5), key="b")
        await Journal.submit(path, Step(name="again"), key="b")
        await Journal.submit_many(path, [Step(name="b"), Step(name="c")], key=lambda event: event.name)
        await until(lambda: not submitted(path))
        await blocking.wait()
        await executor.join()
    assert rows(path, "event ->> '$.data.name', status") == [
        ("first", "completed"), ("in memory", "completed"), ("c", "completed"),
    ]  # fmt: skip


async def test_a_key_that_is_unique_while_open_is_free_after_its_end(path):
    """While its event is open, another one is left out; after its end another one takes the key."""
    for name in ("first", "second"):
        await Journal.submit(path, Step(name=name, seconds=5), key="k", unique="open")
    await Journal.submit_many(path, [Step(name="third"), Step()], key=lambda event: "k" if event.name else None,
                              unique="open")  # fmt: skip
    await work_off(path)
    await Journal.submit(path, Step(name="later"), key="k", unique="open")
    await work_off(path)
    assert rows(path, "event ->> '$.data.name', key") == [("first", None), (None, None), ("later", '"k"')]


async def test_one_event_that_is_submitted_twice_is_taken_in_once(path):
    """A caller that did not learn of its submission submits the same object again, also without a key."""
    event = Step(name="once")
    await Journal.submit(path, event)
    await Journal.submit(path, event)
    async with open_executor(path) as executor:
        await until(lambda: not submitted(path))
        await executor.join()
        await Journal.submit(path, event)
        await until(lambda: not submitted(path))
    assert rows(path) == ["completed"]


def double(number):
    """Return twice a number."""
    return 2 * number


async def test_calls_of_functions_get_the_key_and_priority_of_the_owner(tmp_path):
    """A function has its full name, or the tag that both sides know it by."""
    path = tmp_path / "run.db"

    def owner():
        return Executor.of(
            double, journal=Journal(path, types={"t": double}), key=lambda number: number % 3, retain=Retain()
        )

    async with owner():
        pass
    await Journal.submit_many(path, [Call.of(double, number) for number in range(7)], types={"t": double})
    async with owner() as executor:
        await until(lambda: not submitted(path))
        await executor.join()
        assert sorted(call.response for call in executor.get_events_by_status("completed")) == [0, 2, 4]
    assert sorted(rows(path, "key")) == ["0", "1", "2"]

    named = tmp_path / "named.db"
    async with Executor.of(double, journal=Journal(named)):
        pass
    await Journal.submit(named, Call.of(double, 21))
    async with Executor.of(double, journal=Journal(named), retain=Retain()) as executor:
        await until(lambda: not submitted(named))
        await executor.join()
        assert [call.response for call in executor.get_events_by_status("completed")] == [42]


async def test_a_full_queue_leaves_the_rest_in_the_file(path):
    """The owner takes in what it has room for. The order stays."""
    await Journal.submit_many(path, [Step(name=f"{number:02}", seconds=1) for number in range(20)])
    config = {"concurrency_limit": 1, "max_queue_size": 4}
    async with keeping(path, config=config) as executor:
        await anyio.sleep(0.5)
        await written(executor)
        assert len(rows(path)) <= 6
        await until(lambda: not submitted(path))
        await executor.join()
        assert names(executor) == [f"{number:02}" for number in range(20)]


async def test_a_full_queue_keeps_no_command_waiting(path):
    """An executor that is paused, with a full queue and more in the file, is resumed by a command."""
    await Journal.submit_many(path, [Step(name=str(number)) for number in range(20)])
    async with keeping(path, config={"max_queue_size": 4}) as executor:
        executor.pause()
        await anyio.sleep(2)
        assert submitted(path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO command (at, what) VALUES (?, 'resume')", (time.time(),))
        await until(lambda: len(names(executor)) == 20)


async def test_an_overridden_enqueue_is_awaited(path):
    """Events come by the override of the processor, as those do that come back from the file."""
    came = []

    class Own(StepProcessor):
        async def enqueue(self, event_id, *args, **kwargs):
            await anyio.sleep(1)
            came.append(event_id)
            await super().enqueue(event_id, *args, **kwargs)

    class OwnExecutor(StepExecutor):
        processor_type = Own

    events = [Step(name=str(number)) for number in range(3)]
    await Journal.submit_many(path, events)
    async with OwnExecutor(CONFIG, journal=Journal(path), retain=Retain()) as executor:
        await until(lambda: not submitted(path))
        await until(lambda: len(names(executor)) == 3)
    assert came == [event.id for event in events]


async def test_a_lock_of_the_user_is_waited_for(path):
    """While a task holds the pile of the events, nothing comes in."""
    async with keeping(path) as executor:
        async with executor.states.items:
            await Journal.submit(path, Step(name="a"))
            await anyio.sleep(5)
            assert len(submitted(path)) == 1
        await until(lambda: names(executor) == ["a"])


async def test_a_stopped_executor_takes_nothing_in(path):
    """What is submitted to a journal whose executor ends is taken in by the next start, once."""
    async with keeping(path) as executor:
        running = await executor.append(Step(name="running", seconds=10))
        await wait_all_tasks_blocked()
        async with anyio.create_task_group() as group:
            group.start_soon(executor.stop)
            await anyio.sleep(2)
            await Journal.submit(path, Step(name="late"))
            await running.wait()
    assert len(submitted(path)) == 1
    assert names(await work_off(path)) == ["late"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_one_backend_leaves_another_takes_in(tmp_path, backend):
    """Submitted on one backend, taken in on each."""
    path = tmp_path / "run.db"

    async def make():
        async with open_executor(path):
            pass

    async def take():
        return names(await work_off(path))

    run_on("asyncio", make)
    run_on(backend, Journal.submit, path, Step(name="a"))
    assert [run_on(one, take) for one in BACKENDS] == [["a"]] + [[]] * (len(BACKENDS) - 1)
    assert rows(path) == ["completed"]


@ASYNCIO_ONLY
async def test_a_task_that_asyncio_cancels_leaves_the_thread_its_file(path):
    """The thread goes on with its transaction: closing the file under SQLite would end the process."""

    async def submit_and_cancel(passes):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Journal.submit_many(path, [Step(name=str(passes)) for _ in range(600)]))
            for _ in range(passes):
                await checkpoint()
            was_in_time = task.cancel()  # not if the thread was faster, as it may be on Python 3.15
        assert task.cancelled() is was_in_time

    for passes in range(20):
        await submit_and_cancel(passes)
        await Journal.submit(path, Step(name="after"))
    written_of = Counter(submitted(path, "json_extract(event, '$.data.name')"))
    assert written_of.pop("after") == 20
    assert set(written_of.values()) <= {500, 600}


# -------------------------------------------------------------------- what cannot be taken in


class Elsewhere(Event, tag="tests.elsewhere"):
    """No step, so an executor of steps does not take it."""

    async def _invoke(self): ...


async def put(path, stored, **columns):
    """Submit a step, and change its row by hand."""
    await Journal.submit(path, Step(name="x"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE submit SET event = ? WHERE n = (SELECT max(n) FROM submit)", (stored,))
        for name, value in columns.items():
            connection.execute(f"UPDATE submit SET {name} = ? WHERE n = (SELECT max(n) FROM submit)", (value,))  # noqa: S608  ours


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        (b'{"tag": "tests.nobody", "data": {}}', "no class with the tag 'tests.nobody' is known here"),
        (b'{"tag": "tests.elsewhere", "data": {}}', "the executor does not take a Elsewhere"),
        (b'{"tag": "tests.step", "data": {"nam', "Input data was truncated"),
        (b'{"tag": "tests.step", "data": {"name": 7}}', "name"),
        (b"\xff\x00", "malformed"),
    ],
)
async def test_what_the_owner_cannot_read_stays_with_its_error(path, stored, error, caplog):
    """It is said once, also over several starts, and what comes after it is taken in."""
    await put(path, stored)
    await Journal.submit(path, Step(name="after"))
    for _ in range(2):
        async with open_executor(path) as executor:
            await until(lambda: rows(path) == ["completed"])
            await written(executor)
    (kept,) = submitted(path, "error")
    assert error in kept
    assert "\n" not in kept
    said = [record.message for record in caplog.records if "submitted event 1 stays" in record.message]
    assert len(said) == 1
    assert kept in said[0]


async def test_a_later_start_takes_in_what_it_can_read(path, caplog):
    """A class whose module was not imported the last time, for example."""
    tag = f"tests.later.{uuid4().hex}"
    await put(path, b'{"tag": "%s", "data": {"name": "late"}}' % tag.encode())
    async with open_executor(path):
        await until(lambda: submitted(path, "error") != [None])

    class Later(Step, tag=tag):
        """Known from here on."""

    assert names(await work_off(path)) == ["late"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_a_cost_that_no_limit_can_meet_is_an_error_of_the_row(tmp_path):
    """What append() would raise to its caller is in the row, and shown by the command."""
    path = tmp_path / "run.db"

    def broken(event):
        raise ValueError(f"no key for {event.name}")

    def owner():
        return Executor.of(Step, journal=Journal(path), key=broken)

    async with owner():
        pass
    await Journal.submit(path, Step(name="odd"))
    async with owner():
        await until(lambda: submitted(path, "error") == ["no key for odd"])
    assert rows(path) == []


async def test_an_error_that_utf8_cannot_hold_does_not_stop_the_journal(tmp_path):
    """It is in the row with an escape, and the events after it run."""
    path = tmp_path / "run.db"

    def key(event):
        if event.name == "odd":
            raise ValueError("half of a pair: \ud800")
        return event.name

    async with Executor.of(Step, journal=Journal(path), key=key, retain=Retain()) as executor:
        await Journal.submit_many(path, [Step(name="odd"), Step(name="even")])
        await until(lambda: submitted(path, "error") == [r"half of a pair: \ud800"])
        await executor.invoke(Step(name="own"))
        assert sorted(names(executor)) == ["even", "own"]


# -------------------------------------------------------------------- bad input


async def test_a_file_that_is_no_journal_is_refused(tmp_path):
    """Nothing is made, and nothing is changed."""
    (tmp_path / "text.db").write_text("this is a text, not a database" * 200)
    (tmp_path / "empty.db").touch()
    (tmp_path / "version1.db").write_bytes(gzip.decompress((DATA / "journal.db.gz").read_bytes()))
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE submit (n)")
    with closing(make_journal(tmp_path / "newer.db")) as connection:
        connection.execute("PRAGMA user_version = 3")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for name, error in (
        ("nothing.db", "there is no journal .*nothing.db: an executor makes it when it starts"),
        ("no/folder.db", "there is no journal"),
        (".", "unable to open database file"),
        ("text.db", "text.db is not a SQLite file, so it is not a journal"),
        ("empty.db", "empty.db is empty: an executor of this version .* has to open it first"),
        ("version1.db", "version1.db is of version 1: an executor of this version .* has to open it first"),
        ("other.db", "other.db is a SQLite file, but not a journal of lionpride_exec"),
        ("newer.db", "newer.db is of version 3; this lionpride_exec knows up to 2"),
    ):
        with pytest.raises(JournalError, match=error):
            await Journal.submit(tmp_path / name, Step())
        with pytest.raises(JournalError, match=error):
            await Journal.submit_many(tmp_path / name, [Step()])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name in before} == before
    assert {file.name.partition("-")[0] for file in tmp_path.iterdir()} == set(before)


class NoTag(Event):
    """Has no tag."""

    async def _invoke(self): ...


async def test_an_event_that_cannot_be_submitted_is_refused(path):
    """The error names what is wrong. Nothing has been written, and the event is as it was."""
    running = Step(name="ended")
    await running.invoke()
    async with open_executor(path) as executor:
        here = await executor.append(Step(seconds=1))
        for event, options, error, match in (
            (7, {}, TypeError, "event must be an Event, got int"),
            (NoTag(), {}, TypeError, "tag"),
            (Step(name=7), {}, ValidationError, "name"),
            (running, {}, ValueError, "only a PENDING event can be submitted"),
            (here, {}, ExistsError, "belongs to an executor"),
            (Step(), {"priority": float("nan")}, ValueError, "Priority"),
            (Step(), {"delay": -1}, ValueError, "delay"),
            (Step(), {"delay": 1, "at": utc_now()}, ValueError, "exclude"),
            (Step(), {"at": dt.datetime(2026, 1, 1)}, ValueError, "time zone"),  # noqa: DTZ001  that is the point
            (Step(), {"key": object()}, TypeError, "key must be something that JSON can hold"),
            (Step(), {"unique": "open"}, ValueError, "needs a key"),
            (Step(), {"unique": "never", "key": 1}, ValueError, "unique must be"),
            (Step(), {"expires": 0}, ValueError, "expires"),
            (Step(), {"types": {"a": 7}}, TypeError, "function"),
        ):
            with pytest.raises(error, match=match):
                await Journal.submit(path, event, **options)
    with pytest.raises(TypeError, match="key must be a function"):
        await Journal.submit_many(path, [Step()], key="k")
    assert submitted(path) == []


async def test_the_events_before_an_error_are_on_disk(path):
    """The iterable, a function of the caller, or an event: what came before is submitted."""

    def source():
        yield Step(name="a")
        yield Step(name="b")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Journal.submit_many(path, source())
    assert len(submitted(path)) == 2
    with pytest.raises(KeyError):
        await Journal.submit_many(path, [Step(name="c"), Step(name="d")], key=lambda event: {"c": "c"}[event.name])
    assert submitted(path, "key") == [None, None, '"c"']


async def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path):
    """What was acknowledged is in the file. The event that did not fit is not."""
    path = tmp_path / "run.db"
    async with open_executor(path):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    taken = 0
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # bytes of each file
        with pytest.raises(JournalError, match="disk"):
            for taken in range(1000):  # noqa: B007  how many were acknowledged
                await Journal.submit(path, Step(name="x" * 10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert taken
    assert len(submitted(path)) == taken
    assert len(names(await work_off(path))) == taken


def submit_without_rights(path):
    """Submit as somebody who may only read the file. Return what came of it."""
    reading, writing = os.pipe()
    child = fork()
    if not child:
        drop_rights()
        try:
            run_on("asyncio", Journal.submit, path, Step())
            found = "submitted"
        except BaseException as exc:  # noqa: BLE001  the parent looks at it
            found = f"{type(exc).__name__}: {exc}"
        os.write(writing, found.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def test_a_file_that_may_only_be_read_is_told():
    """The caller gets SQLite's reason, with the name of the file."""
    folder = Path(tempfile.mkdtemp())
    try:

        async def make():
            async with open_executor(folder / "run.db"):
                pass

        run_on("asyncio", make)
        (folder / "run.db").chmod(0o444)
        folder.chmod(0o555)
        found = submit_without_rights(folder / "run.db")
        assert found.startswith("JournalError: ")
        assert "run.db" in found
        assert "readonly" in found or "unable to open" in found
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


# -------------------------------------------------------------------- waiting, cancelling, dying


async def test_a_writer_that_is_busy_is_waited_for(path):
    """Another process holds the file for a moment."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(Journal.submit, path, Step(name="a"))
            await anyio.sleep(0.005)
            assert submitted(path) == []
            other.execute("ROLLBACK")
    assert len(submitted(path)) == 1


async def test_a_writer_that_never_ends_is_given_up(path):
    """After 30 s the call raises, and nothing has changed."""
    before = anyio.current_time()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="database is locked"):
            await Journal.submit(path, Step())
        assert 30 <= anyio.current_time() - before <= 30.1
        with pytest.raises(JournalError, match="database is locked"):
            await Journal.submit_many(path, [Step()])
        other.execute("ROLLBACK")
    assert submitted(path) == []


@pytest.mark.parametrize("many", [False, True])
async def test_a_cancellation_leaves_the_event_out_or_in_whole(path, many):
    """Cancelled at each of its awaits: if the call was cut off, nothing is in the file; if it returned, it all is."""
    for number in range(30):
        before, returned = len(submitted(path)), False
        with anyio.CancelScope() as scope:

            async def call(scope=scope, number=number):
                for _ in range(number):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                if many:
                    await Journal.submit_many(path, [Step(name="a")])
                else:
                    await Journal.submit(path, Step(name="a"))
                returned = True
        after = len(submitted(path))
        assert after - before in ((1,) if returned else (0, 1) if many else (0,))


async def test_a_cancellation_while_another_process_writes_comes_at_once(path):
    """The call gives up between two tries. The event never comes."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with anyio.move_on_after(0.005) as scope:
            await Journal.submit(path, Step())
        assert scope.cancelled_caught
        other.execute("ROLLBACK")
    assert submitted(path) == []


async def test_the_row_goes_in_the_commit_that_brings_the_event(tmp_path):
    """In each state of the file that a kill could leave, each event is in exactly one of the two tables."""
    path, stop = tmp_path / "run.db", False
    states = []

    async def look():
        while not stop:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                states.append(connection.execute(COUNT_IDS).fetchone())
            await anyio.sleep(0.01)

    async with open_executor(path):
        pass
    await Journal.submit_many(path, [Step(name=str(number)) for number in range(1000)])
    async with anyio.create_task_group() as group:
        group.start_soon(look)
        async with open_executor(path) as executor:
            await until(lambda: not submitted(path))
            await executor.join()
        stop = True
    assert set(states) == {(1000, 1000)}


async def test_trouble_while_events_come_in_loses_none(tmp_path, caplog):
    """The disk of the owner is full for a minute. Then it takes in what waits, each event once."""
    path = tmp_path / "run.db"
    async with open_executor(path) as executor:
        await executor.invoke(Step(name="first"))
        fill_up(executor)
        await Journal.submit_many(path, [Step(name="x" * 2000) for _ in range(100)])
        await anyio.sleep(60)
        assert len(submitted(path)) == 100
        make_room(executor)
        await until(lambda: not submitted(path))
        await executor.join()
    assert rows(path) == ["completed"] * 101
    assert "rows of the table submit wait in" in caplog.text


async def test_a_crash_right_after_the_submission_loses_nothing(path):
    """The file as it is once submit() has returned has the event, whoever takes it in."""
    async with open_executor(path):
        await Journal.submit(path, Step(name="a"))
        copy = crash(path)
    assert names(await work_off(copy)) == ["a"]
