"""What the settings of a cluster tell of the whole queue, and do with it, while their executor runs."""

import anyio
import pytest
from cluster_events import Add, Nap
from cluster_support import cluster_on, executor_on, link_of, until

from lionpride_exec import ClusterError, EventStatus, Executor, WaitReason, WatcherTooSlow

pytestmark = pytest.mark.anyio


async def test_counts_are_those_of_the_queue_and_not_of_one_executor(server):
    async with executor_on(server) as one, executor_on(server, one.cluster.queue, work=False) as other:
        await (await one.append(Add(a=1))).wait()
        await (await other.append(Add(a=1))).wait()
        counts = await other.cluster.counts()
        assert set(counts) == set(EventStatus)
        assert counts["completed"] == 2
        assert other.status_counts()["completed"] == 1


async def test_a_paused_queue_is_not_worked_on_until_it_goes_on(server):
    async with executor_on(server) as executor:
        await executor.cluster.pause()
        assert await executor.cluster.is_paused()
        event = await executor.append(Add(a=1))
        await anyio.sleep(0.3)
        assert event.status == "pending"
        await executor.cluster.resume()
        await event.wait()
        assert not await executor.cluster.is_paused()


async def test_the_workers_of_a_queue_are_known(server):
    async with executor_on(server) as one, executor_on(server, one.cluster.queue, work=False):
        await until(lambda: True)
        with anyio.fail_after(5):
            while not [each for each in await one.cluster.workers() if each.alive]:
                await anyio.sleep(0.01)
        (worker,) = await one.cluster.workers()
        assert ":" in worker.process
        assert worker.renewed < 15


async def test_all_transitions_of_a_queue_can_be_followed_from_any_point(server):
    """In order, whoever has submitted the events, and each once over an interruption."""
    async with executor_on(server) as executor:
        first = await executor.append(Add(a=1))
        await first.wait()
        seen = []
        async for transition in executor.cluster.watch(since="0"):
            seen.append(transition)
            if len(seen) == 2:
                break
        second = await executor.append(Add(a=2))
        with anyio.fail_after(5):
            async for transition in executor.cluster.watch(since=seen[-1].cursor):
                seen.append(transition)
                if transition.event_id == second.id and transition.status.is_terminal:
                    break
        told = [(each.event_id, each.status) for each in seen]
        assert told == [
            (event.id, status) for event in (first, second) for status in ("pending", "processing", "completed")
        ]
        assert [each.at for each in seen] == sorted(each.at for each in seen)
        assert [bool(each.worker) for each in seen] == [False, True, True] * 2
        watcher = executor.cluster.watch()
        with anyio.move_on_after(0.2) as scope:
            await anext(watcher)
        assert scope.cancelled_caught
        third = await executor.append(Add(a=3))
        assert (await anext(watcher)).event_id == third.id
        await third.wait()


async def test_a_watcher_that_is_too_slow_is_told(server):
    """The transition that it has handled last is not there any more, and was made long ago."""
    async with executor_on(server) as executor:
        await (await executor.append(Add(a=1))).wait()
        with pytest.raises(WatcherTooSlow):
            await anext(executor.cluster.watch(since="1000-0"))
        with pytest.raises(ClusterError, match="no cursor"):
            await anext(executor.cluster.watch(since="yesterday"))


async def test_a_watcher_of_a_queue_without_news_is_not_too_slow(server):
    """What it has handled last was dropped, but nothing came after that."""
    async with executor_on(server) as executor:
        await (await executor.append(Add(a=1))).wait()
        watcher = executor.cluster.watch(since="0")
        cursor = [await anext(watcher) for _ in range(3)][-1].cursor
        name = f"lp:{{{executor.cluster.queue}}}:t"
        await link_of(executor).queue.wire.command(lambda client: client.xtrim(name, "MAXLEN", 0))
        again = executor.cluster.watch(since=cursor)
        with anyio.move_on_after(0.2) as scope:
            await anext(again)
        assert scope.cancelled_caught
        event = await executor.append(Add(a=1))
        assert (await anext(again)).event_id == event.id
        await event.wait()


async def test_nothing_is_told_of_a_queue_while_its_executor_does_not_run(server):
    executor = Executor.of(Add, cluster=cluster_on(server))
    calls = [executor.cluster.counts, executor.cluster.workers, executor.cluster.pause, executor.cluster.resume]
    for call in (*calls, lambda: anext(executor.cluster.watch())):
        with pytest.raises(ClusterError, match="has to run"):
            await call()


async def test_an_executor_says_that_its_events_wait_in_the_queue(server):
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Nap())
        assert executor.explain(event).waits_for is WaitReason.CLUSTER
        assert dict(executor.statistics().waits) == {WaitReason.CLUSTER: 1}
        executor.cancel(event)
        await event.wait()
        assert executor.explain(event).waits_for is WaitReason.FINAL
        assert dict(executor.statistics().waits) == {}
