"""Trouble: a disk that is full, a file that is lost, cut off, or somebody else's."""

import re
import shutil
import sqlite3
import time
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from commands import run_command
from journal_files import fill
from journal_support import Step, fill_up, make_room, open_executor, rows, session_of, until

from lionpride_exec import EventStatus, Journal, JournalError

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


async def until_full(executor):
    """Append until the disk is full, and stays so for 30 s; give what was acknowledged."""
    taken = []
    with pytest.raises(JournalError, match="full"):
        while True:
            asked = anyio.current_time()
            taken.append(await executor.append(Step(name="x" * 2000, seconds=5)))
    assert 29 <= anyio.current_time() - asked <= 33
    return taken


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_a_full_disk_is_loud_and_loses_nothing(path, ack, caplog):
    """Who waits for an acknowledgement is told, more is refused, what runs finishes, and all is written in the end."""
    async with open_executor(path, ack=ack) as executor:
        running = await executor.append(Step(name="running", seconds=5))
        await wait_all_tasks_blocked()
        fill_up(executor)
        taken = await until_full(executor)
        refused = Step(name="refused")
        assert session_of(executor).writer.trouble is not None
        with pytest.raises(JournalError, match="nothing is taken in while the journal cannot be written"):
            await executor.append(refused)
        assert refused not in executor
        assert sum(executor.status_counts().values()) == len(taken) + 1
        await anyio.sleep(3)
        make_room(executor)
        await anyio.sleep(10)
        await running.wait()
        await executor.append(refused)
        assert "can be written again" in caplog.text
    assert set(rows(path)) == {"completed"}
    assert len(rows(path)) == len(taken) + 2


@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_nothing_starts_while_nothing_can_be_written(path, ack):
    """What runs finishes (strictly: once that can be written), what waits goes on waiting, until it works again."""
    async with open_executor(path, ack=ack, config={"concurrency_limit": 1}) as executor:
        running, _, waiting = await executor.extend(
            [Step(name="running", seconds=5), Step(name="begins with the end of that", seconds=5), Step(name="waiting")]
        )
        await until(lambda: running.status is EventStatus.PROCESSING)
        store = session_of(executor).store
        original, store.commit = store.commit, broken
        await anyio.sleep(100)
        assert running.status == ("completed" if ack == "lazy" else "processing")
        assert waiting.status is EventStatus.PENDING
        store.commit = original
        await waiting.wait()
    assert rows(path) == ["completed"] * 3


async def test_leaving_while_the_disk_is_full_tells_what_is_missing(path):
    """What could not be written by the end is said by an error that leaves the block; those events run again."""
    with pytest.raises(ExceptionGroup) as caught:
        async with open_executor(path) as executor:
            await executor.extend(Step(name=str(number), seconds=5) for number in range(3))
            await wait_all_tasks_blocked()
            session_of(executor).store.commit = broken
            await executor.join()
            assert executor.status_counts()["completed"] == 3
    (error,) = caught.value.exceptions
    assert isinstance(error, JournalError)
    assert "3 changes of" in str(error)
    assert "run again at the next start" in str(error)
    assert set(rows(path)) <= {"pending", "processing"}
    async with open_executor(path):
        pass
    assert rows(path) == ["completed"] * 3


def broken(_batch):
    """Stand for a disk that does not take anything."""
    raise JournalError("broken")


async def test_strict_events_can_be_cancelled_while_nothing_can_be_written(path):
    """Leaving the block does not wait for a disk that does not answer; nobody is left waiting."""
    with pytest.raises(ExceptionGroup):
        with anyio.move_on_after(20):
            async with open_executor(path, ack="strict") as executor:
                event = await executor.append(Step(seconds=5))
                await until(lambda: rows(path) == ["processing"])
                session_of(executor).store.commit = broken
                await event.wait()
    assert anyio.current_time() < 60
    assert event.status.is_terminal or event.status is EventStatus.PENDING
    assert rows(path) == ["processing"]


async def test_a_lost_file_is_noticed(path):
    """Removing the file under a running executor is an error, not a write into nowhere."""
    with pytest.raises(ExceptionGroup):
        async with open_executor(path) as executor:
            await executor.append(Step())
            path.unlink()
            with pytest.raises(JournalError, match="is gone: it was moved, removed or replaced"):
                await executor.append(Step())
    assert not path.exists()


async def test_a_commit_that_fails_once_is_made_up_for(path):
    """A passing failure costs a second; an append in it is refused, a completion is written later."""
    async with open_executor(path) as executor:
        event = await executor.append(Step(seconds=1))
        store = session_of(executor).store
        original, failures = store.commit, []

        def once(batch):
            if not failures:
                failures.append(batch)
                raise JournalError("for a moment")
            return original(batch)

        store.commit = once
        await event.wait()
        await until(lambda: session_of(executor).writer.trouble is not None)
        with pytest.raises(JournalError, match="for a moment"):
            await executor.append(Step())
        await anyio.sleep(2)
        await executor.append(Step())
    assert rows(path) == ["completed", "completed"]


async def test_closing_is_bounded(path, monkeypatch):
    """A disk that hangs is not waited for for ever when the block is left."""

    async def hang(*_, **__):
        await anyio.sleep_forever()

    began = anyio.current_time()
    with pytest.raises(ExceptionGroup) as caught:
        async with open_executor(path) as executor:
            await executor.append(Step())
            store = session_of(executor).store
            monkeypatch.setattr("lionpride_exec._journal.worker_thread.to_thread.run_sync", hang)
    store.close()  # what the disk would do some time
    assert anyio.current_time() - began < 40
    (error,) = caught.value.exceptions
    assert "1 changes of" in str(error)
    assert "did not answer within 30 s" in str(error)


async def test_a_disk_that_hung_at_the_end_holds_nothing_back_afterwards(path, monkeypatch):
    """Started again, the executor starts events as before."""

    async def hang(*_, **__):
        await anyio.sleep_forever()

    executor = open_executor(path)
    with monkeypatch.context() as patch, pytest.raises(ExceptionGroup):
        async with executor:
            await executor.append(Step())
            store = session_of(executor).store
            patch.setattr("lionpride_exec._journal.worker_thread.to_thread.run_sync", hang)
    store.close()  # what the disk would do some time
    async with executor:
        event = await executor.append(Step(name="again"))
        with anyio.fail_after(60):
            await event.wait()
    assert event.result() == "again"


# ---------------------------------------------------------------- files


async def make(path, number=40):
    """Make a journal that was left in the middle, all of it in the main file."""
    with anyio.CancelScope() as scope:
        async with open_executor(path) as executor:
            executor.pause()
            await executor.extend(Step(name="n" * 100) for _ in range(number))
            scope.cancel()
            await anyio.sleep_forever()


async def test_a_file_that_is_cut_off_says_so_or_opens(path):
    """Cut off at any byte of its last page, a journal opens with all it had, or says what is wrong with it."""
    await make(path)
    whole = path.read_bytes()
    with sqlite3.connect(path) as connection:
        page = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    for cut in [*range(1, page, 97), page - 1, page, page + 1]:
        copy = path.with_name(f"cut{cut}.db")
        copy.write_bytes(whole[:-cut])
        executor = open_executor(copy)
        try:
            await executor.start()
        except JournalError as exc:
            assert "cut off" in str(exc) or "malformed" in str(exc)  # noqa: PT017  one of two outcomes
        else:
            assert executor.status_counts()["pending"] == 40
            await executor.stop()


async def test_a_log_that_is_cut_off_gives_what_was_committed_before(path):
    """A torn write-ahead log opens at the last commit that is whole."""
    async with open_executor(path) as executor:
        executor.pause()
        for number in range(10):
            await executor.append(Step(name=str(number)))
        log = path.with_name("run.db-wal").read_bytes()
        for number, cut in enumerate([1, 100, 4096, 5000, len(log) // 2, len(log) - 10]):
            copy = path.with_name(f"torn{number}.db")
            shutil.copy(path, copy)
            copy.with_name(f"{copy.name}-wal").write_bytes(log[:-cut])
            other = open_executor(copy)
            await other.start()
            assert other.status_counts()["pending"] + other.status_counts()["processing"] < 10
            await other.stop()
        executor.resume()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"hello, this is no database, but long enough to look like something" * 100,
            "is not a SQLite file, so it is not a journal",
        ),
        (b"\x00" * 4096, "not a journal|not a database|cut off"),
    ],
)
async def test_a_file_of_something_else_is_refused(path, content, message):
    """A file that is no journal is left as it is."""
    path.write_bytes(content)
    with pytest.raises(JournalError, match=message):
        await open_executor(path).start()
    assert path.read_bytes() == content


async def test_the_database_of_somebody_else_is_refused(path):
    """A SQLite file of another program is not touched."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is a SQLite file, but not a journal"):
        await open_executor(path).start()
    assert path.read_bytes() == before


async def test_a_newer_file_is_refused(path):
    """A file of a version that is not known yet is left alone."""
    await make(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="is of version 99; this lionpride_exec knows up to 2"):
        await open_executor(path).start()


async def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    """A directory that does not exist, or a path that is a directory."""
    with pytest.raises(JournalError, match="cannot open"):
        await open_executor(tmp_path / "nowhere" / "run.db").start()
    with pytest.raises(JournalError, match="Is a directory"):
        await open_executor(tmp_path).start()
    assert Journal(tmp_path / "nowhere" / "run.db").path.name == "run.db"


# ---------------------------------------------------------------- trouble that passes


@pytest.fixture
def no_patience_inside_sqlite(monkeypatch):
    """Have SQLite itself wait for no lock, which would take real time."""
    connect = sqlite3.connect

    class Impatient(sqlite3.Connection):
        def execute(self, statement, *values):
            return super().execute(re.sub(r"(?<=busy_timeout = )\d+", "0", statement), *values)

    monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, factory=Impatient, **options))


@asynccontextmanager
async def locked(path, seconds):
    """Have another process, as it were, hold the lock of those who write for so long."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def let_go():
        await anyio.sleep(seconds)
        other.execute("ROLLBACK")
        other.close()

    async with anyio.create_task_group() as group:
        group.start_soon(let_go)
        yield


def busy():
    """Return the error of a journal that somebody has locked."""
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return JournalError("run.db: database is locked", cause=cause)


async def test_an_append_waits_for_room_on_the_disk(path):
    """A disk that is full for 10 s delays append() and extend(); each event is written once, and no error is raised."""
    async with open_executor(path) as executor:
        await executor.append(Step(name="first"), key="first")
        fill_up(executor)
        taken, began = [], anyio.current_time()

        async def append(number):
            taken.append(await executor.append(Step(name="x" * 2000), key=str(number % 20)))

        async with anyio.create_task_group() as group:
            for number in range(40):  # each key twice
                group.start_soon(append, number)
            group.start_soon(executor.extend, [Step(name="y" * 2000) for _ in range(5)])
            await anyio.sleep(10)
            make_room(executor)
        assert 10 <= anyio.current_time() - began <= 12
        assert len({event.id for event in taken}) == 20
        await executor.join()
    assert rows(path) == ["completed"] * 26
    with sqlite3.connect(path) as connection:
        steps = connection.execute("SELECT count(*) FROM transition GROUP BY seq").fetchall()
    connection.close()
    assert steps == [(3,)] * 26


async def test_an_append_that_is_cancelled_while_it_waits_leaves_nothing(path):
    """Withdrawn while the disk is full, an event is not written when there is room again."""
    async with open_executor(path) as executor:
        await executor.append(Step(name="first"))
        fill_up(executor)
        gone = [Step(name="gone" * 500) for _ in range(20)]
        with anyio.move_on_after(5):
            await executor.extend(gone)
            await anyio.sleep_forever()
        late = [event for event in gone if event not in executor]
        make_room(executor)
        await executor.append(Step(name="last"))
        await executor.join()
        assert late != []
    assert len(rows(path)) == 2 + len(gone) - len(late)


async def test_ending_the_journal_with_appends_that_wait(path):
    """Left while an append waits for a full disk, the block ends in its time, and the append raises."""
    found = []

    async def append(executor):
        try:
            found.append(await executor.append(Step(name="x" * 9000)))
        except JournalError as exc:
            found.append(str(exc))

    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as group, open_executor(path) as executor:
            await executor.append(Step(name="first", seconds=5))
            fill_up(executor)
            for _ in range(20):
                group.start_soon(append, executor)
            await anyio.sleep(1)
            session_of(executor).store.commit = broken
            await executor.stop()
    assert caught.group_contains(JournalError, match="could not be written", depth=2)
    assert any(isinstance(one, str) for one in found)


@pytest.mark.usefixtures("no_patience_inside_sqlite")
async def test_opening_waits_for_a_lock(path, caplog):
    """A file that another process has locked for some seconds is opened when it lets go; after 30 s it is an error."""
    await make(path, 1)
    began = anyio.current_time()
    async with locked(path, 10), open_executor(path):
        assert 10 <= anyio.current_time() - began <= 12
    assert "it is tried again" in caplog.text
    assert rows(path) == ["completed"]
    began = anyio.current_time()
    async with locked(path, 50):
        with pytest.raises(JournalError, match="database is locked"):
            await open_executor(path).start()
        assert 30 <= anyio.current_time() - began <= 32


@pytest.mark.usefixtures("no_patience_inside_sqlite")
@pytest.mark.parametrize("ack", ["lazy", "strict"])
async def test_everything_else_waits_for_a_lock(path, ack):
    """Ends, appends, looking up and closing: late by the time of the lock, and nothing is lost."""
    async with anyio.create_task_group() as group, open_executor(path, ack=ack) as executor:
        done = await executor.append(Step(name="done"), key="done")
        await done.wait()
        await session_of(executor).writer.wait_committed()
        running = await executor.append(Step(name="running", seconds=2))
        await anyio.sleep(1)
        async with locked(path, 10):
            assert (await executor.get(done.id)).result() == "done"
            assert await executor.known_keys(["done", "new"]) == {"done"}
            new = await executor.append(Step(name="new"), key="new")
            await running.wait()
            await new.wait()
        late = await executor.append(Step(name="late"))
        await late.wait()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await anyio.sleep(1)

        async def let_go():
            await anyio.sleep(8)
            other.execute("ROLLBACK")
            other.close()

        group.start_soon(let_go)  # after the block is being left
    assert rows(path) == ["completed"] * 4


async def test_reading_waits_for_trouble_that_passes(path):
    """get(), known_keys() and after= are tried again each second; trouble of another kind is told at once."""
    async with open_executor(path) as executor:
        done = await executor.append(Step(name="done"), key="done")
        await done.wait()
        await session_of(executor).writer.wait_committed()
        store = session_of(executor).store
        for name, ask in (
            ("rows_by_id", lambda: executor.get(done.id)),
            ("read", lambda: executor.known_keys(["done"])),
            ("statuses_by_id", lambda: executor.append(Step(), after=done)),
        ):
            errors = [busy(), busy(), busy()]
            original = getattr(store, name)

            def flaky(*arguments, original=original, errors=errors):
                if errors:
                    raise errors.pop()
                return original(*arguments)

            setattr(store, name, flaky)
            began = anyio.current_time()
            await ask()
            assert 3 <= anyio.current_time() - began <= 4
            errors.append(JournalError("malformed"))
            with pytest.raises(JournalError, match="malformed"):
                await ask()


async def test_a_command_tries_again_for_a_while(tmp_path, monkeypatch, capsys, no_patience_inside_sqlite):
    """While the file is locked, once a second, 30 s at most; trouble that does not pass is told at once."""
    path, slept = tmp_path / "run.db", []
    fill(path)
    arguments = ["retry", str(path), "--status", "failed"]
    for seconds, status in ((3, 0), (99, 1)):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")

        def sleep(for_seconds, other=other, seconds=seconds):
            slept.append(for_seconds)
            if len(slept) == seconds:
                other.execute("ROLLBACK")

        monkeypatch.setattr(time, "sleep", sleep)
        slept.clear()
        assert run_command(arguments) == status
        assert slept == [1.0] * min(seconds, 30)
        other.close()
    assert "is locked" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:4096] + b"x" * 4096)
    slept.clear()
    assert run_command(arguments) > 0
    assert slept == []
