"""map() and extend() of an executor with a cluster."""

import uuid

import anyio
import anyio.lowlevel
import pytest
from cluster_events import Add, Count, Echo, Fail, Nap
from cluster_support import calls_of, cluster_on, executor_on, link_of

from lionpride_exec import ClusterError, Event, EventFailed, Executor

pytestmark = pytest.mark.anyio


async def numbers(number):
    """Yield numbers."""
    for one in range(number):
        await anyio.lowlevel.checkpoint()
        yield one


# ---------------------------------------------------------------- extend


async def test_extend_sends_200_events_in_a_round_trip(server):
    async with executor_on(server, work=False) as executor:
        submits = calls_of(executor, "submit")
        events = await executor.extend([Add(a=number) for number in range(1001)])
        assert [len(call["events"]) for call in submits] == [200] * 5 + [1]
        assert executor.pending_events == events
        assert await link_of(executor).queries.counts() == {"pending": 1001}
        for event in events:
            executor.cancel(event)


async def test_extend_takes_events_of_an_async_iterable(server):
    async def source():
        async for number in numbers(50):
            yield Add(a=number)

    async with executor_on(server) as executor:
        events = await executor.extend(source(), priority=lambda event: -event.a)
        await executor.join()
    assert [event.result() for event in events] == list(range(1, 51))


async def test_extend_raises_what_is_wrong_with_one_event(server):
    """The events before it stay, and the iterable is closed."""

    class Untagged(Event[None]):
        async def _invoke(self): ...

    async with executor_on(server) as executor:
        events = [Add(a=1), Add(a=2), Untagged(), Add(a=3)]
        with pytest.raises(TypeError, match="tag"):
            await executor.extend(events)
        await executor.join()
        assert {event.id for event in executor.completed_events} == {event.id for event in events[:2]}
        assert events[3].status == "pending"
        with pytest.raises(ValueError, match="priority|finite"):
            await executor.extend([Add(a=1)], priority=float("nan"))
        assert await executor.extend([]) == []


async def test_an_overridden_append_gets_each_event(server):
    seen = []

    class Own(Executor):
        async def append(self, event, *args, **kwargs):
            seen.append(event)
            return await super().append(event, *args, **kwargs)

    async with Own.of(Add, cluster=cluster_on(server)) as executor:
        events = await executor.extend([Add(a=1), Add(a=2)], key=lambda event: event.a)
        assert seen == events
        assert [event.result() async for event in executor.map(Add, [5])] == [6]
        assert len(seen) == 3


# ---------------------------------------------------------------- map


@pytest.mark.parametrize("ordered", [True, False])
async def test_map_returns_the_events_of_all_items(server, ordered):
    """Returned events leave memory, so it stays flat."""
    async with executor_on(server) as executor:
        results, most = [], 0
        async for event in executor.map(Add, range(100), ordered=ordered, lookahead=10):
            results.append(event.result())
            most = max(most, len(executor.states.items))
        assert (results if ordered else sorted(results)) == list(range(1, 101))
        assert most <= 12
        assert not any(executor.status_counts().values())
        assert await link_of(executor).queries.counts() == {"completed": 100, "pending": 0, "processing": 0}


async def test_map_takes_an_async_iterable(server):
    async with executor_on(server) as executor:
        results = [event.result() async for event in executor.map(Add, numbers(30), ordered=True)]
        assert results == list(range(1, 31))


@pytest.mark.parametrize("how", ["break", "cancel", "aclose"])
async def test_events_go_on_when_the_loop_is_left(server, how):
    """As with a journal."""
    name = uuid.uuid4().hex
    async with executor_on(server, concurrency_limit=2) as executor:
        items = [{"name": name, "seconds": 0.1} for _ in range(8)]
        mapped = executor.map(Count, items, lookahead=6)
        with anyio.CancelScope() as scope:
            async for _ in mapped:
                if how == "cancel":
                    scope.cancel()
                else:
                    break
        if how == "aclose":
            await mapped.aclose()
        del mapped
        await executor.join()
        counts = executor.status_counts()
        assert counts["cancelled"] == 0
        assert counts["completed"] >= 5
        assert Count.runs[name] >= 6


async def test_map_with_keys_does_nothing_twice(server):
    """The work of an earlier run, and of another process, is not repeated."""
    name = uuid.uuid4().hex
    items = [{"name": name, "number": number} for number in range(20)]
    async with executor_on(server) as one:
        first = {event.number: event.id async for event in one.map(Count, items[:10], key=lambda item: item["number"])}
        slow = await one.append(Nap(seconds=0.3), key="slow")
        async with executor_on(server, one.cluster) as other:
            second = {event.number: event.id async for event in other.map(Count, items, key=lambda i: i["number"])}
            assert second.items() >= first.items()
            assert len(second) == 20
            assert Count.runs[name] == 20
            mapped = other.map(Nap, [{"seconds": 9.0}], key=lambda _: "slow")
            assert [event.id async for event in mapped] == [slow.id]


async def test_map_ends_at_the_first_failure(server):
    async with executor_on(server) as executor:
        with pytest.raises(EventFailed, match="ValueError: no"):
            async for _ in executor.map(Fail, [{} for _ in range(10)], fail_fast=True):
                pass
        await executor.join()


async def test_map_of_a_function(server):
    """It is stored under its name."""
    async with Executor.of(double, cluster=cluster_on(server)) as executor:
        assert [event.result() async for event in executor.map(double, [1, 2], ordered=True)] == [2, 4]


async def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


@pytest.mark.parametrize("source", [range, numbers])
async def test_a_map_does_not_wait_for_each_answer(server, source):
    """The items that it may take ahead go in few round trips."""
    async with executor_on(server, work=False) as executor:
        submits = calls_of(executor, "submit")
        mapped = executor.map(Add, source(100), lookahead=100)
        with anyio.move_on_after(1.0):
            await anext(mapped)
        assert len(executor.pending_events) == 100
        assert len(submits) <= (5 if source is range else 50)
        for event in executor.pending_events:
            executor.cancel(event)


@pytest.mark.parametrize("how", ["the server refuses", "an item cannot be stored"])
async def test_a_map_raises_what_prevents_an_item_after_the_events_before_it(server, how, monkeypatch):
    async with executor_on(server) as executor:
        queue = link_of(executor).queue
        submit = queue.submit

        async def refuse_some(submissions):
            if how == "the server refuses" and len(submissions) > 1:
                raise ClusterError("full", retryable=True)
            return await submit(submissions)

        monkeypatch.setattr(queue, "submit", refuse_some)
        items = [Echo(value=1), Echo(value=2 if how == "the server refuses" else print), Echo(value=3)]
        results = []
        error = ClusterError if how == "the server refuses" else ValueError
        with pytest.raises(error):
            async for event in executor.map(Echo, items, lookahead=1 if how != "the server refuses" else 3):
                results.append(event.result())  # noqa: PERF401  those before the error
        assert results == ([] if how == "the server refuses" else [1])
        assert not any(executor.status_counts().values())
