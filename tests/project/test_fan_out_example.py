"""The example ``fan_out.py``: run whole, with a deadline, with one signal and with two, and the parts of its page."""

import signal
import sqlite3
from contextlib import closing

import anyio
import fan_out
import pytest
from anyio import current_time
from example_processes import EXAMPLES, output_of
from support import Job, counts, make_executor

from lionpride_exec import EventStatus, Executor, Retry
from lionpride_exec.testing import BACKENDS, run

pytestmark = pytest.mark.anyio


def users_in(path):
    """Return the users whose digests are written."""
    with closing(sqlite3.connect(path)) as connection:
        return {user for (user,) in connection.execute("SELECT user FROM digests")}


@pytest.fixture
def executors(monkeypatch):
    """Keep the executors that the example makes, in a list. What ``executors.observers`` has observes each of them."""

    class Kept(list):
        observers = ()

        def of(self, *args, **options):
            self.append(Executor.of(*args, **options))
            for observer in self.observers:
                self[-1].observe(observer)
            return self[-1]

    kept = Kept()
    monkeypatch.setattr(fan_out, "Executor", kept)
    return kept


def digests_of(executor):
    """Return the users whose digests have been made."""
    return {event.user for event in executor.completed_events if isinstance(event, fan_out.Digest)}


def test_as_a_program(tmp_path):
    """As the page says it."""
    out, _ = output_of(EXAMPLES / "fan_out.py", cwd=tmp_path)
    assert out == "{'completed': 279}\n"
    assert users_in(tmp_path / "digests.db") == set(range(2, 64))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_deadline(backend, tmp_path, executors, capsys):
    """What waits then is skipped, nothing new begins, and all that was made is written."""
    run(fan_out.main, tmp_path / "some.db", 0.5, backend=backend)
    (executor,) = executors
    assert counts(executor).keys() == {"completed", "skipped"}
    assert users_in(tmp_path / "some.db") == digests_of(executor)
    assert capsys.readouterr().out == f"{counts(executor)}\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_more_digests_run_than_processes(backend, tmp_path, executors):
    """What waits for a process holds no slot: at most two digests are PROCESSING."""
    most = []

    def note(*_):
        (executor,) = executors
        most.append(sum(isinstance(event, fan_out.Digest) for event in executor.processing_events))

    executors.observers = [note]
    run(fan_out.main, tmp_path / "all.db", backend=backend)
    assert max(most) == 2
    assert len(users_in(tmp_path / "all.db")) == 62


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_loses_no_row(backend, tmp_path, executors):
    """All digests that ended are written, those of the last batch too."""

    def interrupt(event, _, status):
        if isinstance(event, fan_out.Collect) and event.user == 10 and status == "completed":
            signal.raise_signal(signal.SIGINT)

    executors.observers = [interrupt]
    run(fan_out.main, tmp_path / "some.db", backend=backend)
    (executor,) = executors
    assert counts(executor)["pending"] > 0
    assert users_in(tmp_path / "some.db") == digests_of(executor)


async def test_the_deadline_covers_waiting_retries():
    """An event that waits for its next attempt is skipped too."""
    executor = make_executor(retry=Retry(10, backoff=40, jitter=0))
    async with anyio.create_task_group() as group:
        async with executor:
            group.start_soon(fan_out.skip_what_waits, executor, 60)
            event = await executor.append(Job(error=OSError()))
        group.cancel_scope.cancel()
    assert (event.status, len(event.execution.attempts)) == (EventStatus.SKIPPED, 2)
    assert current_time() == 60


@pytest.mark.parametrize(("signals", "ends", "seconds"), [(1, "completed", 20), (2, "cancelled", 2)])
async def test_the_second_signal_forces_the_end(signals, ends, seconds):
    """After one signal a running event may finish. A second one interrupts it."""
    executor = make_executor(concurrency_limit=2)

    async def press():
        for _ in range(signals):
            await anyio.sleep(1)
            signal.raise_signal(signal.SIGINT)

    async with executor, anyio.create_task_group() as beside:
        beside.start_soon(fan_out.stop_at_signals, executor, beside)
        beside.start_soon(press)
        running = await executor.append(Job(seconds=20))
        await executor.schedule(Job, every=1000).wait()  # which stop() does not end
    assert running.status.value == ends
    assert current_time() == seconds
