"""Workers in processes of their own that are killed, stopped for a while, and ended in order."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest
from cluster_support import submission
from test_cluster_failures import submit_all
from test_worker import counts

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
ENDED = {"completed", "failed", "cancelled", "skipped", "aborted"}


class Workers:
    """Worker processes of one queue. All are killed at the end of the block."""

    def __init__(self, server, queue, backend, **options):
        self.options = {"lease": 2, "slots": 25, "seconds": 0.01} | options
        self.command = [sys.executable, str(HERE / "worker_process.py"), server.url, queue.prefix, "3", backend]
        self.processes = []

    def start(self):
        """Start one."""
        path = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
        arguments = [str(self.options[name]) for name in ("lease", "slots", "seconds")]
        process = subprocess.Popen([*self.command, *arguments], env={**os.environ, "PYTHONPATH": path})
        self.processes.append(process)
        return process

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


class Record:
    """All transitions of a queue."""

    def __init__(self):
        self.moved = []

    async def handle(self, moved):
        """Note transitions."""
        self.moved += moved

    def begun(self):
        """Return how often each event has begun."""
        return Counter(one.event_id for one in self.moved if one.status == "processing")

    def ends(self):
        """Return how often each event has ended."""
        return Counter(one.event_id for one in self.moved if one.status in ENDED)


@pytest.fixture
def backend_name(anyio_backend):
    name, options = anyio_backend
    return f"{name}+uvloop" if options else name


async def until(condition, seconds=60):
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.005)


async def test_workers_that_are_killed_lose_nothing(server, queue, backend_name):
    """Each event ends once. What a killed worker ran is begun again, and nothing else."""
    record, events, kills, slots = Record(), [submission() for _ in range(1200)], 2, 25
    with Workers(server, queue, backend_name, slots=slots) as workers:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.follow, "0-0", record.handle)
            await submit_all(queue, events)
            running = [workers.start() for _ in range(2)]
            for number in range(kills):
                await until(lambda number=number: len(record.ends()) >= 400 * (number + 1))
                running[0].kill()
                running = [running[1], workers.start()]
            await until(lambda: len(record.ends()) == len(events))
            group.cancel_scope.cancel()
    assert await counts(queue) == {"completed": len(events)}
    assert set(record.ends().values()) == {1}
    assert sum(record.begun().values()) - len(events) <= kills * slots


async def test_a_stalled_worker_that_wakes_up_changes_nothing(server, queue, backend_name):
    """It runs into the event of a second worker, which is killed after that: a third one ends the event."""
    record, events = Record(), [submission() for _ in range(20)]
    with Workers(server, queue, backend_name, seconds=3) as workers:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.follow, "0-0", record.handle)
            await submit_all(queue, events)
            first = workers.start()
            await until(lambda: len(record.begun()) == 20)
            first.send_signal(signal.SIGSTOP)
            second = workers.start()
            await until(lambda: set(record.begun().values()) == {2})
            first.send_signal(signal.SIGCONT)
            await anyio.sleep(0.3)  # it finishes its runs, which count no more
            second.kill()
            workers.start()
            await until(lambda: len(record.ends()) == 20)
            group.cancel_scope.cancel()
    assert await counts(queue) == {"completed": 20}
    assert set(record.ends().values()) == {1}


async def test_a_worker_that_is_ended_in_order_gives_back_at_once(server, queue, backend_name):
    """Far before its lease runs out, and without the cost of an attempt."""
    record, events = Record(), [submission() for _ in range(20)]
    with Workers(server, queue, backend_name, seconds=0.2, lease=600) as workers:
        async with anyio.create_task_group() as group:
            group.start_soon(queue.follow, "0-0", record.handle)
            await submit_all(queue, events)
            first = workers.start()
            await until(record.begun)
            first.terminate()
            await anyio.to_thread.run_sync(first.wait)
            assert first.returncode == 0
            workers.start()
            await until(lambda: len(record.ends()) == 20)
            group.cancel_scope.cancel()
    assert await counts(queue) == {"completed": 20}
    assert {one.attempt for one in record.moved if one.status == "completed"} == {1}
