"""find(), count() and journal_events() with a cluster: what its server can answer, and what it cannot."""

import pytest
from cluster_events import Add, Echo, Fail
from cluster_support import executor_on

from lionpride_exec import ClusterError, ConfigurationError, EventStatus

pytestmark = pytest.mark.anyio


async def ended(executor):
    """Have some events end, and one wait. Return the one that failed."""
    await executor.invoke(Add(a=1, b=2), key=("a", 1))
    failed = await executor.append(Fail(text="HTTP 503"), key="bad")
    await failed.wait()
    await executor.append(Add(a=3, b=4), key="later", delay=1000)
    return failed


async def test_an_event_is_found_by_its_key(server):
    """By any executor of the queue, whichever event it is; the other arguments count beside the key."""
    async with executor_on(server) as one, executor_on(server, one.cluster, work=False) as other:
        failed = await ended(one)
        for executor in (one, other):
            (found,) = await executor.find(key="bad")
            assert (found.id, found.status, found.key, found.attempt) == (failed.id, EventStatus.FAILED, "bad", 1)
            assert found.error.startswith("ValueError: HTTP 503")
            assert found.queued_at <= found.started_at <= found.finished_at
            assert found.tag == "test.fail"
            assert (found.event is failed) == (executor is one)
            (first,) = await executor.find(key=("a", 1), status="completed", tag="test.add", since=100)
            assert (first.key, first.event.result()) == (["a", 1], 3)
            (later,) = await executor.find(key="later")
            assert (later.status, later.started_at, later.error) == ("pending", None, None)
            assert await executor.find(key="bad", status="completed") == []
            assert await executor.find(key="none") == []
            assert await executor.find(key="bad", before=found) == []
        one.cancel(later.id)


async def test_the_server_counts_by_status(server):
    """And by key."""
    async with executor_on(server) as executor:
        await ended(executor)
        assert await executor.count() == 3
        assert await executor.count(status="failed") == 1
        assert await executor.count(status=["failed", "completed", "aborted"]) == 2
        assert await executor.count(key="bad", error="ValueError") == 1
        await executor.stop(grace=0)


async def test_all_events_are_gone_through(server):
    """Each once, in no order, by any filter."""
    async with executor_on(server) as executor:
        failed = await ended(executor)
        assert {one.key if isinstance(one.key, str) else "a" async for one in executor.journal_events()} == {
            "a", "bad", "later",
        }  # fmt: skip
        assert [one.id async for one in executor.journal_events(status="failed")] == [failed.id]
        assert [one.id async for one in executor.journal_events(error=ValueError)] == [failed.id]
        assert [one.key async for one in executor.journal_events(key="later", status=["pending", "failed"])] == [
            "later"
        ]
        await executor.extend([Echo(value=number) for number in range(1200)])
        ids = [one.id async for one in executor.journal_events(tag="test.echo")]
        assert len(ids) == len(set(ids)) == 1200
        await executor.stop(grace=0)


async def test_what_the_server_cannot_answer(server):
    """Is refused by name."""
    async with executor_on(server, work=False) as executor:
        for question in ({}, {"status": "failed"}, {"since": 10}):
            with pytest.raises(ConfigurationError, match=r"find\(\) needs a key= with a cluster"):
                await executor.find(**question)
        for question in ({"error": "x"}, {"tag": "x"}, {"since": 1}):
            with pytest.raises(ConfigurationError, match=r"count\(\) takes status= or key= with a cluster"):
                await executor.count(**question)
    with pytest.raises(ClusterError):
        await executor.count()


async def test_an_event_of_an_unknown_class_is_found(server):
    """Its status and its key are known. Its event is not."""
    async with executor_on(server, work=False, types={"test.gone": Echo}) as one:
        event = await one.append(Echo(), key="k")
        async with executor_on(server, one.cluster, work=False) as other:
            (found,) = await other.find(key="k")
            assert (found.id, found.status, found.key, found.event) == (event.id, "pending", "k", None)
        one.cancel(event)
