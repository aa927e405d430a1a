"""A child made by fork() and the journal of its parent; who may read the files of a journal."""

import json
import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path

import anyio
import pytest
from forks import drop_rights, fork
from journal_support import Step, crash, open_executor, rows, run_on, written
from parts import journal_reader

from lionpride_exec import JournalError
from lionpride_exec.testing import BACKENDS

JournalReader = journal_reader.JournalReader
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork() here")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


class Leave(BaseException):
    """What a child leaves the event loop with."""


def forked(backend, path, in_parent, in_child):
    """
    Run an executor with an event that runs and one that waits, and fork in its block; give what the child has found.

    The child runs an async function, and leaves the block by an exception; so all of it is cleaned up there, too.
    """
    parent, (reading, writing) = os.getpid(), os.pipe()

    async def main():
        try:
            async with open_executor(path, config={"concurrency_limit": 1}) as executor:
                await executor.append(Step(name="runs", seconds=50), key="runs")
                waits = await executor.append(Step(name="waits"), key="waits")
                await anyio.sleep(1)
                await written(executor)
                let_threads_finish()
                child = fork()
                if not child:
                    os.write(writing, json.dumps(await in_child(executor, waits)).encode())
                    raise Leave
                os.waitpid(child, 0)  # noqa: ASYNC222  the child needs nothing of us
                await in_parent(executor, waits)
        finally:
            if os.getpid() != parent:  # before its loop is closed: parent and child have one epoll in common
                os._exit(0)

    run_on(backend, main)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return json.load(pipe)


def let_threads_finish():
    """
    Let the threads go on that have just told the event loop of a result.

    They hold a lock of the loop meanwhile. If the process forks then, nobody gives the lock back in the child.
    """
    for _ in range(1000):
        os.sched_yield()


def state_of(path):
    """Return what stands in the file."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        meta = dict(connection.execute("SELECT name, value FROM meta WHERE name != 'probe'"))
        steps = connection.execute("SELECT count(*) FROM transition").fetchone()[0]
    connection.close()
    return rows(path), meta, steps, Path(f"{path}-wal").stat().st_size


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_child_that_leaves_the_block_writes_nothing(path, backend):
    """Rows, trail, log and the mark that it was closed are as before; the parent goes on, and closes it in order."""
    before = []

    async def in_child(_executor, _waits):
        return state_of(path)

    async def in_parent(_executor, _waits):
        before.append(state_of(path))

    found = forked(backend, path, in_parent, in_child)
    assert [list(one) for one in before] == [found]
    assert found[0] == ["processing", "pending"]
    assert found[1]["is_closed"] == 0
    assert rows(path) == ["completed", "completed"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_child_that_uses_the_executor_is_told(path, backend):
    """Each door raises JournalError, which names both processes and what to do; nothing starts in the child."""
    parent = os.getpid()

    async def in_child(executor, waits):
        calls = (
            lambda: executor.append(Step(name="new")),
            lambda: executor.extend([Step(name="new")]),
            lambda: executor.invoke(Step(name="new")),
            lambda: executor.get(waits.as_fresh_event().id),
            lambda: executor.known_keys(["unknown"]),
            executor.held_events,
            lambda: executor.release(waits),
            executor.start,
            executor.forward,
        )
        said = []
        for call in calls:
            try:
                await call()
                said.append("nothing")
            except JournalError as exc:
                said.append(str(exc))
        if backend == "trio":  # asyncio knows no running loop in a child: nothing can go on there
            executor.cancel(executor.processing_events[0])
            await anyio.sleep(10)
        return said, waits.status.value

    async def in_parent(_executor, waits):
        await waits.wait()
        assert waits.result() == "waits"

    said, status = forked(backend, path, in_parent, in_child)
    assert [one for one in said if f"is open in process {parent}" not in one or "make an executor" not in one] == []
    assert status == "pending"
    assert rows(path) == ["completed", "completed"]


@pytest.mark.skipif("trio" not in BACKENDS, reason="a loop of asyncio does not go on in a child")
def test_a_child_can_have_a_journal_of_its_own(path):
    """What was forked is one executor; another one, with another file, works in the child."""

    async def in_child(_executor, _waits):
        async with open_executor(path.with_name("child.db")) as own:
            return await own.invoke(Step(name="in the child"))

    async def in_parent(_executor, _waits):
        assert rows(path.with_name("child.db")) == ["completed"]

    assert forked("trio", path, in_parent, in_child) == "in the child"


def test_a_reader_is_not_for_a_child_either(path):
    """A connection that only reads is one of the parent, too."""
    run_on("asyncio", filled, path)
    with JournalReader(path) as reader:
        child = fork()
        if not child:
            try:
                reader.counts()
            except JournalError as exc:
                reader.close()
                os._exit(0 if "was forked from it" in str(exc) else 1)
            os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert reader.counts()["completed"] == 1


async def filled(path):
    async with open_executor(path) as executor:
        await executor.append(Step(name="a"))


# ---------------------------------------------------------------- who may read what


def modes(folder):
    """Return the modes of the files in a folder, by name."""
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.fixture
def umask():
    """Have the usual umask."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_new_files_are_their_owners_only(path):
    """The journal, its log, its shared memory and its lock are made 0600, whatever the umask allows."""

    async def main():
        async with open_executor(path) as executor:
            await executor.append(Step(name="secret"))
            return modes(path.parent)

    assert run_on("asyncio", main) == dict.fromkeys(("run.db", "run.db-wal", "run.db-shm", "run.db-lock"), 0o600)


@pytest.mark.usefixtures("umask")
def test_files_that_exist_keep_their_mode(path):
    """A journal that others may read stays so, and what is made beside it is alike."""
    run_on("asyncio", filled, path)
    path.chmod(0o644)
    path.with_name("run.db-lock").unlink()

    async def main():
        async with open_executor(path):
            return modes(path.parent)

    assert run_on("asyncio", main) == dict.fromkeys(("run.db", "run.db-wal", "run.db-shm", "run.db-lock"), 0o644)


@pytest.fixture
def archive():
    """Return a folder that somebody without rights can reach."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def read_without_rights(path):
    """Read a journal as somebody who may read its files, but write nothing beside them; give what came of it."""
    reading, writing = os.pipe()
    for file in path.parent.iterdir():
        file.chmod(0o444)
    path.parent.chmod(0o555)
    child = fork()
    if not child:
        drop_rights()
        try:
            with JournalReader(path) as reader:
                found = reader.counts()["completed"]
        except BaseException as exc:  # noqa: BLE001  the parent looks at it
            found = f"{type(exc).__name__}: {exc}"
        os.write(writing, str(found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.parametrize("log", [None, b""])
def test_a_finished_journal_is_read_where_nothing_can_be_written(archive, log):
    """Without a log, or with an empty one, all is in the main file."""
    run_on("asyncio", filled, archive / "run.db")
    if log is not None:
        (archive / "run.db-wal").write_bytes(log)
    assert read_without_rights(archive / "run.db") == "1"
    assert not (archive / "run.db-shm").exists()


def test_a_log_that_cannot_be_read_is_told(archive):
    """What is in a log is not left out in silence: the message says what to do."""

    async def killed():
        async with open_executor(archive / "first.db") as executor:
            await executor.append(Step(name="a"))
            crash(archive / "first.db", "run.db")

    run_on("asyncio", killed)
    assert "copy both to a folder that can be written" in read_without_rights(archive / "run.db")


def test_a_file_that_is_not_ours_to_read_stays_an_error(path, monkeypatch):
    """What has another reason is not tried a second way."""
    run_on("asyncio", filled, path)
    tried = []

    def refuse(_path, **how):
        tried.append(how)
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    monkeypatch.setattr("lionpride_exec._journal.reader.connect", refuse)
    with pytest.raises(JournalError, match="database is locked"):
        JournalReader(path).open()
    assert [how["immutable"] for how in tried] == [False]


def test_a_journal_that_is_opened_meanwhile_is_not_read_on(archive, monkeypatch):
    """Read as a file that nobody changes, it is not when a log appears beside it."""
    run_on("asyncio", filled, archive / "run.db")
    connect = journal_reader.connect

    def connect_without_rights(path, *, immutable, **how):
        if not immutable:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return connect(path, immutable=immutable, **how)

    monkeypatch.setattr(journal_reader, "connect", connect_without_rights)
    with JournalReader(archive / "run.db") as reader:
        assert reader.counts()["completed"] == 1
        (archive / "run.db-wal").write_bytes(b"x" * 100)
        with pytest.raises(JournalError, match="has been opened by a run since"):
            reader.counts()
