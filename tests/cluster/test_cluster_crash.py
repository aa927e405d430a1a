"""Workers on all backends that are killed, stopped and ended many times, while they do all kinds of work."""

import random
import signal
from collections import Counter

import anyio
import pytest
from cluster_support import submission
from mixed_work import envelope
from parts import cluster
from queue_support import all_completed, counts, submit_all
from worker_forks import Workers

from lionpride_exec.testing import BACKENDS, check_cluster

pytestmark = pytest.mark.anyio


async def test_twenty_kills_lose_nothing(forks, server, queue):
    """Each event ends once, and what the killed workers ran is begun again, and nothing else."""
    events, kills, slots = [submission() for _ in range(2400)], 20, 20
    with Workers(forks, server, queue, BACKENDS, lease=4, slots=slots, seconds=0.02) as workers:
        running = [workers.start() for _ in range(4)]
        async with all_completed(queue, events, lease=4) as record:
            for number in range(kills):
                await record.until_ended(100 * (number + 1))
                running.pop(0).kill()
                running.append(workers.start())
    assert sum(record.begun().values()) - len(events) <= kills * slots


# ---------------------------------------------------------------- all kinds of work

# What runs take of limits, with the amount that may be held: slots for all, a rate, a rate that begins at the end.
SLOTS = ["slots", 25, 0, 1, True]
LIMITS = [[SLOTS], [SLOTS, ["rate", 400, 1e6, 1.5, False]], [["after", 20, 50_000, 0.7, True]], []]


def mixed_events(draw, number):
    """Return events of all kinds, and the status with which each ends by itself."""
    found = []
    for place in range(number):
        end = draw.choice(["completed", "completed", "completed", "failed", "skipped"])
        after = {found[draw.randrange(place)][0].event_id for _ in range(2)} if place and draw.random() < 0.3 else ()
        event = submission(
            level=draw.randint(1, 3),
            due=-draw.uniform(1, 3e6) if draw.random() < 0.2 else 0,
            key=f'"{place}"' if draw.random() < 0.5 else "",
            envelope=envelope(end, tries=draw.choice([1, 1, 3]), limits=draw.choice(LIMITS)),
            after=sorted(after),
        )
        found.append((event, end))
    return found


class Disturbances:
    """Kills workers, stops them for longer than their lease or ends them, and starts others in their place."""

    def __init__(self, workers, draw, lease):
        self.draw = draw
        self.lease = lease
        self.workers = workers
        self.running = [workers.start() for _ in range(4)]
        self.done = Counter()

    async def disturb(self):
        """Do something to the oldest worker."""
        how = self.draw.choice(["kill", "kill", "terminate", "stop"])
        self.done[how] += 1
        worker = self.running.pop(0)
        if how == "kill":
            worker.kill()
        elif how == "terminate":
            worker.terminate()
        else:
            worker.send_signal(signal.SIGSTOP)
        self.running.append(self.workers.start())
        if how == "stop":
            await anyio.sleep(1.3 * self.lease)
            worker.send_signal(signal.SIGCONT)
            self.running.insert(0, worker)
            worker = self.running.pop()
            worker.terminate()


async def test_all_kinds_of_work_end_once_whatever_becomes_of_the_workers(forks, server, queue):
    """Limits, delays, keys, followers, attempts, cancellations and retries. All invariants hold at each moment."""
    draw, queries, lease = random.Random(7), cluster.QueueQueries(queue), 1.5
    events = mixed_events(draw, 600)
    ids = [event.event_id for event, _ in events]
    cancelled = set()

    async def go_on():
        """Cancel something, retry something, and check all that holds."""
        some = draw.sample(ids, 10)
        words = await queue.cancel(some, "cancelled", [b""] * len(some))
        cancelled.update(one for one, word in zip(some, words, strict=True) if word in {"ended", "sent"})
        retried = draw.sample(ids, 10)
        for one, word in zip(retried, await queries.retry(retried), strict=True):
            assert word in {"queued", "open", "completed", "unknown", "after"}
            again.update([one] if word == "queued" else [])
        await check_cluster(queue)
        slots, _, after = await queries.limits(["slots", "rate", "after"])
        assert slots.used <= 25
        assert after.used <= 20

    again = set()
    with Workers(forks, server, queue, BACKENDS, kind="mixed", lease=lease, slots=15, seconds=0.02) as workers:
        disturbances = Disturbances(workers, draw, lease)
        await submit_all(queue, [event for event, _ in events])
        for _ in range(10):
            await disturbances.disturb()
            await go_on()
            await anyio.sleep(0.2)
        with anyio.fail_after(60):
            while (found := await counts(queue)).get("pending", 0) + found.get("processing", 0):
                await check_cluster(queue)
                await anyio.sleep(0.1)
        await check_cluster(queue, lease=2 * lease)
    assert len(disturbances.done) == 3
    assert sum(found.values()) == len(events)
    assert_ends(events, await queries.details(ids), cancelled)
    assert cancelled
    assert again


def assert_ends(events, details, cancelled):
    """Assert that each event has ended as it should. One that was cancelled may have ended before."""
    by_id = {found.event_id: found for found in details}
    for event, end in events:
        found = by_id[event.event_id]
        if found.because:
            assert found.status == "skipped"
            assert found.because in event.after
            assert by_id[found.because].status != "completed" or found.because in cancelled
        else:
            assert found.status in {end, "cancelled"}
            assert found.status == end or event.event_id in cancelled
        if found.status == "completed":
            assert all(by_id[one].status == "completed" for one in event.after)
