"""Promises of the pages about clusters that are about no single part."""

import time

import anyio
import pytest
from cluster_support import SECRET, link_of, new_wire, opened, until
from work_events import Step, executor_for, runs

from lionpride_exec import Call, Cluster, Concurrent, Event, Executor, Retry

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- of each process


class Place(Event[None], tag="test_promises.place"):
    """Notes how many of its kind run at the same time."""

    name: str

    async def _invoke(self):
        runs[self.name].append(1)
        await anyio.sleep(0.3)
        runs[self.name].append(-1)


@pytest.mark.parametrize(("scope", "most"), [("queue", 1), ("process", 2)])
async def test_a_limit_of_the_process_counts_for_each_executor(server, name, scope, most):
    """Two executors have the limit twice. They stand for two processes: each has a worker of its own."""
    pair = [
        executor_for(server, name, Place, limits=[Concurrent(1, scope=scope)], concurrency_limit=2) for _ in range(2)
    ]
    async with pair[0], pair[1]:
        await pair[0].extend(Place(name=name) for _ in range(6))
        await pair[0].join()
    at_once = [sum(runs[name][:number]) for number in range(len(runs[name]))]
    assert max(at_once) == most


class Never(Event[None], tag="test_promises.never"):
    """Fails."""

    name: str

    async def _invoke(self):
        runs[self.name].append(1)
        raise OSError("never")


async def test_the_budget_of_retries_is_of_each_process(server, name):
    """A new worker has its own: ten retries in a minute are always allowed."""

    def new():
        return executor_for(server, name, Never, retry=Retry(attempts=100, backoff=0, jitter=0, budget=0.01))

    for number in (1, 2):
        async with new() as worker:
            event = await worker.append(Never(name=name))
            await event.wait()
        assert event.status == "failed"
        assert len(runs[name]) == 11 * number, "a start and ten retries"


# ---------------------------------------------------------------- what is kept, and how many


async def test_transitions_are_kept_for_ten_minutes(queue):
    """The server drops whole blocks of old ones, so some stay a while longer."""
    transitions = f"{queue.prefix}t"

    async def add(client):
        now = int((await client.time()).timestamp() * 1000)
        for minutes in (11, 9):
            for number in range(500):
                fields = {"i": "x", "s": "pending", "a": "0", "w": "", "o": ""}
                await client.xadd(transitions, fields, identifier=f"{now - minutes * 60_000}-{number + 1}")
        return now

    now = await queue.wire.command(add)
    await queue.promote()
    entries = await queue.wire.command(lambda client: client.xrange(transitions, "-", "+"))
    kept = [now - int(entry.identifier.partition(b"-")[0]) for entry in entries]
    assert kept.count(9 * 60_000) == 500
    assert kept.count(11 * 60_000) < 110, "a block has a hundred entries"


@pytest.mark.parametrize(("work", "allowed"), [(True, {3, 4}), (False, {1, 2})])
async def test_how_many_connections_an_executor_has(own_server, name, work, allowed):
    """The page says so. A busy one has no more than one that has nothing to do."""
    server = own_server()
    async with opened(new_wire(server)) as wire:

        async def count():
            return int((await wire.info())["connected_clients"]) - 1  # without that of the test

        async with executor_for(server, name, Step, work=work, concurrency_limit=20) as executor:
            await executor.extend(Step(name=name, number=number, seconds=0.01) for number in range(500))
            busy = [await count() for _ in range(50)]
            if work:
                await executor.join()
            await anyio.sleep(0.5)
            idle = await count()
            await executor.stop()
    assert max(busy) <= max(allowed)
    assert idle in allowed


# ---------------------------------------------------------------- functions with a tag


async def test_a_function_has_the_tag_that_types_gives_it(server, name):
    """So it can move and be renamed: what a client has submitted under the tag runs there."""

    async def fetch(number: int) -> int:
        raise AssertionError("the client does not work")

    async def fetch_of_another_module(number: int) -> int:
        return 2 * number

    def settings(function, **options):
        return Cluster(server.url, queue=name, secret=SECRET, types={"fetch": function}, **options)

    async with (
        Executor.of(fetch, cluster=settings(fetch, work=False)) as client,
        Executor.of(fetch_of_another_module, cluster=settings(fetch_of_another_module)) as worker,
    ):
        events = await client.extend(Call.of(fetch, number) for number in range(3))
        with anyio.fail_after(20):
            await client.join()
        assert [event.result() for event in events] == [0, 2, 4]
        assert not link_of(worker).work.tally.passed_on


# ---------------------------------------------------------------- the end


class Once(Event[None], tag="test_promises.once", on_crash="fail"):
    """Must not run twice."""

    name: str

    async def _invoke(self):
        runs[self.name].append(1)
        await anyio.sleep(60)


async def test_an_event_that_must_not_run_twice_ends_cancelled_when_its_worker_stops(server, name):
    """An event of another class is pending again. The end is on the server, for the client."""
    async with executor_for(server, name, Event, work=False) as client:
        once, other = await client.extend([Once(name=name), Step(name=name, seconds=60)])
        async with executor_for(server, name, Event) as worker:
            await until(lambda: len(runs[name]) == 2)
            began = time.monotonic()
            await worker.stop(grace=0.1)
        assert time.monotonic() - began < 5
        await until(lambda: (once.status, other.status) == ("cancelled", "pending"))
        assert (once.execution.attempt, other.execution.attempt) == (1, 0)
        assert len(runs[name]) == 2
        await client.stop()
