"""Workers that die, stall, or lose their lease while events of an executor run on them."""

import time
import uuid

import anyio
import pytest
from cluster_support import SECRET, link_of, until
from work_events import Step, executor_for, runs

from lionpride_exec import Cluster, Concurrent, Event, Executor

pytestmark = pytest.mark.anyio

LEASE = 1.0


class Slow(Event[int], tag="test_interruptions.slow"):
    name: str
    seconds: float = 0.0

    async def _invoke(self):
        runs[self.name].append(time.monotonic())
        await anyio.sleep(self.seconds if len(runs[self.name]) == 1 else 0)
        return len(runs[self.name])


class Once(Slow, tag="test_interruptions.once", on_crash="fail"):
    pass


class Twice(Slow, tag="test_interruptions.twice", max_attempts=2):
    async def _invoke(self):
        runs[self.name].append(time.monotonic())
        await anyio.sleep(60)


def stall(executor):
    """Have the worker of an executor take and renew nothing any more, as a blocked event loop would."""

    async def wait(*_, **_more):
        await anyio.sleep_forever()

    queue = link_of(executor).queue  # of the worker and of its leases
    queue.take = queue.renew = wait


async def begin_and_stall(server, name, group, event):
    """Return a client's event that has begun on a worker which renews nothing any more."""
    worker = executor_for(server, name, type(event), lease=LEASE)
    await group.start(worker.run)
    client = executor_for(server, name, type(event), work=False)
    await group.start(client.run)
    await client.append(event)
    while not runs[name]:
        await anyio.sleep(0.01)
    stall(worker)
    return worker, client


async def test_an_event_of_a_stalled_worker_runs_elsewhere(server, name):
    """Its client sees it run again, and one end. What the stalled worker reports later is not recorded."""
    seen = []
    async with anyio.create_task_group() as group:
        event = Slow(name=name, seconds=3)
        worker, client = await begin_and_stall(server, name, group, event)
        client.observe(lambda _, previous, target: seen.append((previous.value, target.value)))
        began = time.monotonic()
        other = executor_for(server, name, Slow, lease=LEASE)
        await group.start(other.run)
        with anyio.fail_after(10):
            await event.wait()
        assert time.monotonic() - began > LEASE * 0.5
        assert event.result() == 2
        assert event.execution.attempt == 2
        await worker.stop()  # its run has ended by then, and is fenced
        for each in (other, client):
            await each.stop()
    assert event.result() == 2
    assert seen[-3:] == [("processing", "pending"), ("pending", "processing"), ("processing", "completed")]


async def test_an_event_that_must_not_run_twice_ends_failed(server, name):
    """With on_crash="fail"."""
    async with anyio.create_task_group() as group:
        event = Once(name=name, seconds=3)
        worker, client = await begin_and_stall(server, name, group, event)
        other = executor_for(server, name, Once, lease=LEASE)
        await group.start(other.run)
        with anyio.fail_after(10):
            await event.wait()
        for each in (worker, other, client):
            await each.stop()
    assert event.status == "failed"
    assert "interrupted" in str(event.execution.error)
    assert len(runs[name]) == 1


async def test_an_event_that_kills_its_workers_ends_failed(server, name):
    """After max_attempts of them."""
    async with anyio.create_task_group() as group:
        event = Twice(name=name)
        workers = [*await begin_and_stall(server, name, group, event)]
        for _ in range(2):
            other = executor_for(server, name, Twice, lease=LEASE)
            workers.append(other)
            await group.start(other.run)
            begun = len(runs[name])
            with anyio.fail_after(10):
                while len(runs[name]) == begun and event.status != "failed":
                    await anyio.sleep(0.01)
            stall(other)
        with anyio.fail_after(10):
            await event.wait()
        for each in workers:
            await each.stop(grace=0)
    assert event.status == "failed"
    assert len(runs[name]) == 2


async def test_a_worker_that_knows_not_the_class_leaves_the_event_to_others(server, name):
    """It is counted, logged once, and taken by a worker that has the class."""

    class Unknown(Event[int], tag=f"unknown.{uuid.uuid4().hex}"):
        async def _invoke(self):
            return 1

    async def work():
        return 2

    types = {"one.tag": work}
    async with Executor.of(Unknown, cluster=Cluster(server.url, queue=name, secret=SECRET, work=False)) as client:
        event = await client.append(Unknown())
        worker = Executor.of(Slow, cluster=Cluster(server.url, queue=name, secret=SECRET, types=types))
        async with worker:
            while not link_of(worker).work.tally.passed_on:
                await anyio.sleep(0.01)
            assert dict(link_of(worker).work.tally.passed_on) == {"unreadable": 1}
            assert event.status == "pending"
        client.cancel(event)
        await event.wait()


async def test_an_event_that_was_cancelled_does_not_run_again_after_the_death_of_its_worker(server, name):
    """The worker that was asked to end it does not, and another one takes the event over."""
    async with anyio.create_task_group() as group:
        event = Slow(name=name, seconds=3)
        worker, client = await begin_and_stall(server, name, group, event)
        link_of(worker).work.end = lambda *_: None  # it hears of nothing any more
        assert client.cancel(event)
        other = executor_for(server, name, Slow, lease=LEASE)
        await group.start(other.run)
        with anyio.fail_after(10):
            await event.wait()
        for each in (worker, other, client):
            await each.stop(grace=0)
    assert event.status == "cancelled"
    assert len(runs[name]) == 1


async def test_nothing_runs_twice_after_an_outage_longer_than_the_lease(own_server, name):
    """All leases have run out then, but nobody is dead. No worker takes over, or takes places from others."""
    server = own_server()
    pair = [executor_for(server, name, Step, limits=[Concurrent(3)], lease=LEASE) for _ in range(2)]
    async with pair[0], pair[1]:
        await pair[0].extend(Step(name=name, number=number, seconds=0.2) for number in range(30))
        while len(runs[name]) < 6:
            await anyio.sleep(0.01)
        await anyio.sleep(LEASE * 1.5)  # both may judge by now
        server.pause()
        await anyio.sleep(LEASE * 2)
        server.go_on()
        with anyio.fail_after(30):
            await pair[0].join()
    assert sorted(runs[name]) == list(range(30))


@pytest.mark.parametrize("on_crash", ["fail", "rerun"])
async def test_a_run_whose_place_another_worker_has_is_one_that_was_cut_short(server, name, on_crash):
    """The worker has stalled. An event that must not run twice ends FAILED; others run again."""

    class Lapses(Event[None], tag=f"test_interruptions.slow.{on_crash}", on_crash=on_crash):
        async def _invoke(self):
            runs[name].append(1)
            if len(runs[name]) == 1:
                await anyio.sleep(30)

    async with executor_for(server, name, Lapses) as executor:
        event = await executor.append(Lapses())
        with anyio.fail_after(10):
            await until(lambda: runs[name] and event.status == "processing")
            link_of(executor).work.lapse(event.id.hex)
            await event.wait()
    assert (event.status, len(runs[name])) == (("failed", 1) if on_crash == "fail" else ("completed", 2))


async def test_a_run_that_ends_late_after_its_place_was_lost_does_not_end_the_event(server, name):
    """The same worker takes the event again while its first run still cleans up."""

    class CleansUp(Event[int], tag="test_interruptions.cleans_up", on_crash="rerun"):
        async def _invoke(self):
            runs[name].append(1)
            try:
                await anyio.sleep(30 if len(runs[name]) == 1 else 0)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.3)
            return len(runs[name])

    async with executor_for(server, name, CleansUp) as executor:
        event = await executor.append(CleansUp())
        with anyio.fail_after(10):
            await until(lambda: runs[name] and event.status == "processing")
            link_of(executor).work.lapse(event.id.hex)
            await event.wait()
    assert event.result() == 2


@pytest.mark.parametrize("status", ["completed", "failed", "aborted", "pending", "processing", "nonsense"])
async def test_a_worker_ends_an_event_only_as_a_client_can_ask(server, name, status):
    """A message from a program without the secret must not make a worker sign a result."""

    class Asked(Event[int], tag="test_interruptions.asked"):
        async def _invoke(self):
            runs[name].append(1)
            await anyio.sleep(0.5)
            return 7

    async with executor_for(server, name, Asked) as executor:
        event = await executor.append(Asked())
        with anyio.fail_after(10):
            await until(lambda: runs[name] and event.status == "processing")
            link_of(executor).work.end(event.id.hex, status, b"")
            await event.wait()
    assert event.result() == 7
