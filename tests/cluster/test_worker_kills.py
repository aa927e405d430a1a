"""Workers in processes of their own that are killed, stopped for a while, and ended in order."""

import signal

import anyio
import pytest
from cluster_support import submission, until
from queue_support import all_completed
from worker_forks import Workers

pytestmark = pytest.mark.anyio


async def test_workers_that_are_killed_lose_nothing(forks, server, queue, backend_name):
    """Each event ends once. What a killed worker ran is begun again, and nothing else."""
    events, kills, slots = [submission() for _ in range(1200)], 2, 25
    with Workers(forks, server, queue, [backend_name], slots=slots) as workers:
        async with all_completed(queue, events) as record:
            running = [workers.start() for _ in range(2)]
            for number in range(kills):
                await record.until_ended(400 * (number + 1))
                running[0].kill()
                running = [running[1], workers.start()]
    assert sum(record.begun().values()) - len(events) <= kills * slots


async def test_a_stalled_worker_that_wakes_up_changes_nothing(forks, server, queue, backend_name):
    """It runs into the event of a second worker, which is killed after that: a third one ends the event."""
    events = [submission() for _ in range(20)]
    with Workers(forks, server, queue, [backend_name], seconds=3) as workers:
        async with all_completed(queue, events) as record:
            first = workers.start()
            await until(lambda: len(record.begun()) == 20)
            first.send_signal(signal.SIGSTOP)
            second = workers.start()
            await until(lambda: set(record.begun().values()) == {2}, seconds=60)
            first.send_signal(signal.SIGCONT)
            await anyio.sleep(0.3)  # it finishes its runs, which count no more
            second.kill()
            workers.start()


async def test_a_worker_that_is_ended_in_order_gives_back_at_once(forks, server, queue, backend_name):
    """Far before its lease runs out, and without the cost of an attempt."""
    events = [submission() for _ in range(20)]
    with Workers(forks, server, queue, [backend_name], seconds=0.2, lease=600) as workers:
        async with all_completed(queue, events) as record:
            first = workers.start()
            await until(record.begun)
            first.terminate()
            assert await anyio.to_thread.run_sync(first.wait) == 0
            workers.start()
    assert {one.attempt for one in record.moved if one.status == "completed"} == {1}
