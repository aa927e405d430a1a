"""The example ``daemon.py``: some nights, stopped by signals at each moment, killed, and other waits in its place."""

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime

import anyio
import daemon
import pytest
from example_processes import EXAMPLES, kill_when, output_of, process
from support import Job, counts, make_executor

from lionpride_exec.testing import BACKENDS, run

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = 3600.0


def rows_of(path):
    """Return the key and the status of each event in a journal. Empty if there is no journal yet."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT key, status FROM event ORDER BY seq").fetchall()
    except sqlite3.OperationalError:
        return []


def reports_in(path):
    """Return the status of each report in a journal, in their order."""
    return [status for key, status in rows_of(path) if "schedule:report" in key]


async def run_daemon(path, *signals):
    """Run the daemon, which gets SIGTERM after some seconds, each counted from the start. Return when it has ended."""

    async def send(seconds):
        await anyio.sleep(seconds)
        signal.raise_signal(signal.SIGTERM)

    async with anyio.create_task_group() as group:
        for seconds in signals:
            group.start_soon(send, seconds)
        await daemon.main(path, every=HOUR)
    return anyio.current_time()


@pytest.mark.parametrize("backend", BACKENDS)
def test_some_days(tmp_path, backend):
    """It runs until SIGTERM, and ends at once while nothing runs. A night in which it is down is made up for."""
    path = tmp_path / "daemon.db"
    seconds = 24 * HOUR + 10
    assert run(run_daemon, path, seconds, backend=backend, start=NOON) == seconds
    assert reports_in(path) == ["completed"]
    assert {status for _, status in rows_of(path)} == {"completed"}
    assert len(rows_of(path)) == 24 + 1
    later = datetime(2026, 6, 4, 12, tzinfo=UTC)
    run(run_daemon, path, 200, backend=backend, start=later)
    assert reports_in(path) == ["completed"] * 2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("signals", "seconds", "after"),
    [((30,), 90, 60), ((30, 35), 35, 5), ((65,), 85, 20)],
    ids=["may finish", "second signal", "grace"],
)
def test_while_a_report_is_made(tmp_path, backend, signals, seconds, after, monkeypatch):
    """It may finish. Else the second signal or the end of the grace interrupts it, and the next start runs it again."""
    path, night = tmp_path / "daemon.db", 12.5 * HOUR
    monkeypatch.setattr(daemon, "GRACE", 61 if seconds == 90 else 20)  # not just when the report ends
    ended = run(run_daemon, path, *(night + each for each in signals), backend=backend, start=NOON)
    assert ended == pytest.approx(night + seconds, abs=0.01)
    assert ended - night - signals[0] == pytest.approx(after, abs=0.01)
    assert reports_in(path) == (["completed"] if seconds == 90 else ["pending"])
    start = datetime.fromtimestamp(NOON.timestamp() + ended, UTC)
    run(run_daemon, path, 200, backend=backend, start=start)
    assert reports_in(path) == ["completed"]


PROGRAM = "import anyio, daemon, sys; anyio.run(daemon.main, sys.argv[1], 0.05, backend=sys.argv[2])"


def looks_in(path):
    """Return the keys of the events that have completed."""
    return [key for key, status in rows_of(path) if status == "completed"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_as_a_process(tmp_path, backend):
    """Killed in the middle, it goes on at the next start, and ends at SIGTERM: with the exit status 0, and in order."""
    path, options = tmp_path / "daemon.db", {"cwd": EXAMPLES}
    kill_when(lambda: looks_in(path), "-c", PROGRAM, path, backend, **options)
    before = len(looks_in(path))
    with process("-c", PROGRAM, path, backend, **options) as child:
        while len(looks_in(path)) < before + 2 and child.poll() is None:
            time.sleep(0.01)  # another process works, in real time
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate()
    assert (child.returncode, out, err) == (0, "", "")
    keys = [key for key, _ in rows_of(path)]
    assert len(keys) == len(set(keys))
    assert {status for _, status in rows_of(path)} == {"completed"}
    out, _ = output_of("-m", "lionpride_exec", "inspect", path, "--json")
    assert {each["name"] for each in json.loads(out)["schedules"]} == {"look", "report"}


def test_the_command(tmp_path):
    """As the page says it. The signal comes once the journal is there."""
    with process(EXAMPLES / "daemon.py", cwd=tmp_path) as child:
        while not _is_ready(tmp_path / "daemon.db"):
            assert child.poll() is None
            time.sleep(0.01)  # another process works, in real time
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait() == 0


def _is_ready(path):
    """Return whether the schedules of the daemon are in its journal, which is written after the signals are awaited."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM meta WHERE name LIKE '%schedule:%'").fetchone() == (2,)
    except sqlite3.OperationalError:
        return False


WAITS = {
    "schedule": lambda executor: executor.schedule(Job, every=1000).wait(),
    "event": lambda executor: executor.pending_events[0].wait(),
    "forever": lambda _: anyio.sleep_forever(),
    "join": lambda executor: executor.join(),
    "watch": lambda executor: anext(executor.watch(on_full="drop", statuses=["failed"]), None),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_the_recipe_ends_each_wait(wait):
    """Whatever the program waits for, it ends at the first signal, once what runs has finished."""
    executor = make_executor(concurrency_limit=1)

    async def press():
        await anyio.sleep(10)
        signal.raise_signal(signal.SIGTERM)

    async with executor, anyio.create_task_group() as group:
        group.start_soon(daemon.stop_at_signals, executor, group)
        group.start_soon(press)
        await executor.extend([Job(seconds=25), Job(seconds=25)], priority=0)
        await WAITS[wait](executor)
    assert anyio.current_time() == 25
    assert counts(executor) == {"completed": 1, "pending": 1}
