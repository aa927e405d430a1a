"""What other processes write into the file of a journal for its owner: the tables, when they are read, commands."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from journal_files import make_journal
from journal_support import Step, open_executor, until
from support import view_of

from lionpride_exec import EventStatus
from lionpride_exec.testing import BACKENDS, Deadlock, run

pytestmark = pytest.mark.anyio

NOT_BEGUN = "the process ended before it began with the command: nothing was done"
NOT_ANSWERED = "the process ended before it answered: the command was not carried out, or only in part"
DATA = Path(__file__).parent.parent / "data" / "before_parts"


def write(path, *commands):
    """Write commands as another process does. Return the number of the last one."""
    insert = "INSERT INTO command (at, what, args, by) VALUES (0, ?, ?, 'a test')"
    with closing(sqlite3.connect(path)) as connection, connection:
        for what, args in commands:
            last = connection.execute(insert, (what, args)).lastrowid
    return last


def answers(path):
    """Return what came of all commands: their results and their errors, in order."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT done, error FROM command ORDER BY n").fetchall()


def are_answered(path):
    """Return whether something came of each command."""
    return all(answer != (None, None) for answer in answers(path))


def handle(executor, what, handler):
    """Have an executor carry out a command."""
    view_of(executor).journal_inbox.commands.handlers[what] = handler


async def test_a_command_is_carried_out_within_a_second(tmp_path):
    """The result of the handler is in the row of the command."""
    path, got = tmp_path / "run.db", []
    executor = open_executor(path)

    async def echo(args):
        got.append((args, anyio.current_time()))
        await anyio.sleep(1)
        return {"got": args}

    handle(executor, "echo", echo)
    async with executor:
        await executor.invoke(Step(name="a"))
        before = anyio.current_time()
        write(path, ("echo", '{"a": 1}'), ("echo", None))
        await until(lambda: are_answered(path))
    assert [args for args, _ in got] == [{"a": 1}, None]
    assert got[0][1] <= before + 1.1
    assert answers(path) == [('{"got": {"a": 1}}', None), ('{"got": null}', None)]


async def test_a_command_is_seen_after_the_next_commit(tmp_path):
    """While the owner writes, the look comes with its commits, not with a timer."""
    path, got = tmp_path / "run.db", []
    executor = open_executor(path)
    handle(executor, "note", got.append)
    async with executor:
        await executor.invoke(Step(name="a"))
        write(path, ("note", "1"))
        before = anyio.current_time()
        await executor.invoke(Step(name="b"))
        while not got:
            await anyio.lowlevel.checkpoint()
        assert anyio.current_time() == before


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("nothing", None), "this executor knows no command 'nothing'"),
        (("note", "{"), "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (("fail", None), "two lines"),
        (("half", None), r"half of a pair: \ud800"),
        (("object", None), "Object of type object is not JSON serializable"),
    ],
)
async def test_what_cannot_be_carried_out_has_its_error(tmp_path, command, error):
    """An error is one line in the row. The commands after it are carried out."""
    path, got = tmp_path / "run.db", []
    executor = open_executor(path)

    def fail(_):
        raise ValueError("two\nlines")

    def half(_):
        """Raise what SQLite cannot hold."""
        raise ValueError("half of a pair: \ud800")

    handle(executor, "note", got.append)
    handle(executor, "fail", fail)
    handle(executor, "half", half)
    handle(executor, "object", lambda _: object())
    async with executor:
        write(path, command, ("note", "7"))
        await until(lambda: are_answered(path))
    assert answers(path) == [(None, error), ("null", None)]
    assert got == [7]


async def test_a_command_without_an_owner_is_never_carried_out(tmp_path):
    """What was written while nobody had the file has an error from the next start on."""
    path, got = tmp_path / "run.db", []
    async with open_executor(path):
        pass
    write(path, ("note", "1"), ("note", "2"))
    executor = open_executor(path)
    handle(executor, "note", got.append)
    async with executor:
        assert answers(path) == [(None, NOT_BEGUN)] * 2
        write(path, *(("note", str(number)) for number in range(250)))
        await until(lambda: are_answered(path))
    assert got == list(range(250))


async def test_a_command_that_is_withdrawn_is_never_carried_out(tmp_path):
    """It may be taken back until the owner begins with it, also when the owner has read it already."""
    path, got = tmp_path / "run.db", []
    executor = open_executor(path)

    def withdraw(number):
        """Take a command back, as another process does. Note whether it had begun."""
        with closing(sqlite3.connect(path)) as connection, connection:
            update = "UPDATE command SET error = 'withdrawn' WHERE n = ? AND begun IS NULL AND error IS NULL"
            got.append(connection.execute(update, (number,)).rowcount)

    handle(executor, "withdraw", withdraw)
    handle(executor, "note", got.append)
    async with executor:
        await executor.invoke(Step(name="a"))
        write(path, ("withdraw", "2"), ("note", "7"), ("withdraw", "3"), ("note", "8"))
        await until(lambda: are_answered(path))
    assert got == [1, 0, 8]
    assert answers(path) == [("null", None), (None, "withdrawn"), ("null", None), ("null", None)]


async def test_a_command_is_in_the_log(tmp_path, caplog):
    """Who has asked for what, also if nothing is wrong with it."""
    path = tmp_path / "run.db"
    executor = open_executor(path)
    handle(executor, "note", lambda _: None)
    caplog.set_level("INFO", "lionpride_exec")
    async with executor:
        write(path, ("note", "1"), ("nothing", "1"))
        await until(lambda: are_answered(path))
    assert "command 1 (note) from a test was carried out" in caplog.messages
    assert "command 2 (nothing) from a test failed: this executor knows no command 'nothing'" in caplog.messages


async def test_a_command_that_was_cut_off_is_not_carried_out_again(tmp_path):
    """The group closes while a handler waits: the command has no answer, and has an error from the next start on."""
    path, got = tmp_path / "run.db", []

    async def wait(_):
        got.append("begun")
        await anyio.sleep(1000)

    executor = open_executor(path)
    handle(executor, "wait", wait)
    async with executor:
        write(path, ("wait", None))
        await until(lambda: got)
    assert answers(path) == [(None, None)]
    executor = open_executor(path)
    handle(executor, "wait", wait)
    async with executor:
        assert answers(path) == [(None, NOT_ANSWERED)]
        await anyio.sleep(10)
    assert got == ["begun"]


async def test_commands_wait_while_the_inbox_is_held(tmp_path):
    """They are carried out once it is released."""
    path, got = tmp_path / "run.db", []
    executor = open_executor(path)
    handle(executor, "note", got.append)
    inbox = view_of(executor).journal_inbox
    inbox.hold()
    async with executor:
        write(path, ("note", "1"))
        await anyio.sleep(100)
        assert answers(path) == [(None, None)]
        inbox.release()
        await until(lambda: are_answered(path))
    assert got == [1]


async def test_old_commands_are_deleted(tmp_path):
    """A start keeps the last thousand."""
    path = tmp_path / "run.db"
    async with open_executor(path):
        pass
    last = write(path, *(("note", None) for _ in range(1200)))
    async with open_executor(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT min(n), max(n), count(*) FROM command").fetchone() == (201, last, 1000)


async def test_the_changes_of_a_command_are_on_disk_with_its_answer(tmp_path):
    """Once the answer is in the file, so is what the handler did."""
    path = tmp_path / "run.db"
    executor = open_executor(path, config={"concurrency_limit": 1})

    async def cancel_all(_):
        pending = executor.get_events_by_status(EventStatus.PENDING)
        return sum([executor.cancel(event) for event in pending])

    handle(executor, "cancel", cancel_all)
    async with executor:
        await executor.append(Step(name="running", seconds=100))
        await executor.append(Step(name="waiting"))
        await anyio.sleep(1)
        write(path, ("cancel", None))
        await until(lambda: are_answered(path))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            statuses = [status for (status,) in connection.execute("SELECT status FROM event ORDER BY seq")]
        assert statuses == ["processing", "cancelled"]
    assert answers(path) == [("1", None)]


@pytest.mark.parametrize("version", [1, 2])
async def test_files_from_before_get_the_tables(tmp_path, version):
    """A file that was made before there were these tables has them once it was opened."""
    path = tmp_path / "run.db"
    if version == 1:
        path.write_bytes(gzip.decompress((DATA / "journal.db.gz").read_bytes()))
    else:
        with closing(make_journal(path)) as connection:
            connection.executescript("DROP TABLE command; DROP TABLE submit")
    async with open_executor(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM command").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM submit").fetchone() == (0,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_looks_keep_no_virtual_clock_going(tmp_path, backend):
    """A stuck program with a journal is still told, and a year costs a few looks."""

    async def main():
        async with open_executor(tmp_path / "run.db"):
            await anyio.sleep(365 * 86400)
            await anyio.Event().wait()

    with pytest.raises(Deadlock):
        run(main, backend=backend)
