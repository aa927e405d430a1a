"""Events, executors and files that the tests of the journal share."""

import shutil
import sqlite3
from pathlib import Path

import anyio
from support import view_of

from lionpride_exec import Event, Executor, Journal, Processor
from lionpride_exec.testing import backend_options


class Step(Event[str], tag="tests.step"):
    """Waits on request, then raises or returns its name."""

    name: str = ""
    seconds: float = 0.0
    fails: int = 0

    async def _invoke(self) -> str:
        if self.seconds:
            await anyio.sleep(self.seconds)
        if self.fails > len(self.execution.attempts):
            raise ValueError(self.name)
        return self.name


class FailStep(Step, tag="tests.fail", on_crash="fail"):
    """Is not run again after a crash."""


class HoldStep(Step, tag="tests.hold", on_crash="hold"):
    """Waits for a decision after a crash."""


class BriefStep(Step, tag="tests.brief", max_attempts=2):
    """Is given up after two crashes."""


class StepProcessor(Processor):
    event_type = Step


class StepExecutor(Executor):
    processor_type = StepProcessor


CONFIG = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01, "concurrency_limit": 3}


def open_executor(path, *, retain=None, config=None, **options):
    """Make an executor with a journal."""
    return StepExecutor(CONFIG | (config or {}), journal=Journal(path, **options), retain=retain)


def rows(path, what="status", where="1"):
    """Read the file as another process would."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        found = connection.execute(f"SELECT {what} FROM event WHERE {where} ORDER BY seq").fetchall()  # noqa: S608  ours
    connection.close()
    return [row[0] if len(row) == 1 else row for row in found]


def crash(path, name="crashed.db"):
    """Give a copy of the file as it is now: what a process that is killed at this moment leaves behind."""
    copy = Path(path).with_name(name)
    for suffix in ("-wal", ""):  # the log first: a checkpoint in between loses nothing then
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


async def begun(path, *events, **options):
    """Return the file that a crash leaves behind while these events run."""
    with anyio.CancelScope() as scope:
        async with open_executor(path, ack="strict", **options) as executor:
            await executor.extend(events)
            await anyio.sleep(1)
            copy = crash(path)
            scope.cancel()
            await anyio.sleep_forever()
    return copy


def run_on(backend, function, *arguments):
    """Run an async function on a backend, under its virtual clock."""
    name, options = backend_options(backend)
    return anyio.run(function, *arguments, backend=name, backend_options=options)


async def until(condition):
    """Return when a condition holds that the worker thread of a journal brings about, of which no event tells."""
    for _ in range(100_000):
        if condition():
            return
        await anyio.sleep(0.001)
    raise AssertionError("the condition never held")


async def wait_for(condition):
    """Return when a thread has brought about a condition, while no time passes."""
    for _ in range(100_000):
        if condition():
            return
        await anyio.lowlevel.checkpoint()
    raise AssertionError("the condition never held")


async def steps(number=20):
    """Let other tasks take some steps, without time."""
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


def session_of(executor):
    """Return the journal of an executor while it is open. None if it is closed, or there is none."""
    return view_of(executor).journal_session


async def written(executor):
    """Return when all that has ended so far has been written."""
    await session_of(executor).writer.wait_committed()


def connection_of(executor):
    """Return the connection by which the journal is written."""
    return session_of(executor).store._connection


def fill_up(executor, room=0):
    """Have the file be as large as it may be, but for some pages."""
    connection = connection_of(executor)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + room}")


def make_room(executor):
    """Have there be room again."""
    connection_of(executor).execute("PRAGMA max_page_count = 1000000")
