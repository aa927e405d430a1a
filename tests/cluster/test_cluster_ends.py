"""Ends that somebody asks for, and events that come after others."""

import uuid

import anyio
import pytest
from cluster_events import Add, Count, Fail, Nap, Stubborn, Total
from cluster_support import calls_of, executor_on, link_of, until

from lionpride_exec import ExecutorClosedError, NotFoundError, Skip

pytestmark = pytest.mark.anyio


async def counts(executor):
    """Return how many events of the queue have each status, without zeros."""
    found = await link_of(executor).queries.counts()
    return {status: number for status, number in found.items() if number}


# ---------------------------------------------------------------- cancel and skip


@pytest.mark.parametrize("how", ["cancel", "skip"])
@pytest.mark.parametrize("state", ["waiting", "delayed", "running"])
async def test_an_event_ends_with_the_reason_wherever_it_is(server, how, state):
    async with executor_on(server) as here, executor_on(server, here.cluster, work=state == "running") as executor:
        here.pause()
        options = {"delay": 60} if state == "delayed" else {}
        event = await executor.append(Nap(seconds=30), **options)
        if state == "running":
            await until(lambda: event.status == "processing")
        assert getattr(executor, how)(event, "not wanted") is True
        with anyio.fail_after(5):
            await event.wait()
        assert event.status == ("cancelled" if how == "cancel" else "skipped")
        assert "not wanted" in str(event.execution.error)
        assert event.execution.retryable is False
        assert getattr(executor, how)(event) is False
        assert await counts(executor) == {str(event.status): 1}
        here.resume()


async def test_a_run_that_does_not_end_when_it_is_cancelled_may_complete(server):
    """A cancellation is a request."""
    async with executor_on(server) as executor:
        event = await executor.append(Stubborn(seconds=0.2))
        await until(lambda: event.status == "processing")
        assert executor.cancel(event)
        await event.wait()
        assert event.status == "completed"


async def test_an_event_is_cancelled_while_its_submission_is_on_the_way(server):
    """The request waits until the server knows the event."""
    name = uuid.uuid4().hex
    async with executor_on(server) as executor:
        async with anyio.create_task_group() as group:
            event = Count(name=name)
            group.start_soon(executor.append, event)
            await until(lambda: event in executor)
            assert executor.cancel(event, "at once")
        await event.wait()
        assert event.status in {"cancelled", "completed"}
        await until(lambda: not executor.pending_events)
    executor = executor_on(server, work=False)
    async with executor:
        async with anyio.create_task_group() as group:
            event = Count(name=name)
            group.start_soon(executor.append, event)
            await until(lambda: event in executor)
            executor.cancel(event, "at once")
        await event.wait()
        assert event.status == "cancelled"
        assert await counts(executor) == {"cancelled": 1}


async def test_all_waiting_events_are_cancelled_in_few_round_trips(server):
    async with executor_on(server, work=False) as executor:
        events = await executor.extend([Add(a=number) for number in range(500)])
        cancels = calls_of(executor, "cancel")
        for event in events:
            executor.cancel(event)
        await executor.join()
        assert len(cancels) <= 4
        assert await counts(executor) == {"cancelled": 500}


# ---------------------------------------------------------------- removing


async def test_an_open_event_that_is_removed_does_not_run(server):
    """The server is asked to end it. Who waits for it learns that it has left."""
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1), key="k")
        raised = []

        async def wait():
            with pytest.raises(ExecutorClosedError, match="removed the event"):
                await event.wait()
            raised.append(event)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0.05)
            assert await executor.cleanup_events(["pending"]) == 1
        assert raised
        assert event not in executor
        with anyio.fail_after(5):
            while await counts(executor) != {"cancelled": 1}:
                await anyio.sleep(0.01)
        copy = await executor.get(event.id)
        assert copy.status == "cancelled"
        assert "it was removed" in str(copy.execution.error)


async def test_a_running_event_that_is_removed_is_cancelled(server):
    async with executor_on(server) as executor:
        event = await executor.append(Nap(seconds=30))
        await until(lambda: event.status == "processing")
        assert await executor.cleanup_events(["processing"]) == 1
        with anyio.fail_after(5):
            while await counts(executor) != {"cancelled": 1}:
                await anyio.sleep(0.01)


async def test_ended_events_that_are_removed_stay_in_the_queue(server):
    async with executor_on(server) as executor:
        event = await executor.append(Add(a=1), key="k")
        await executor.join()
        assert await executor.cleanup_events() == 1
        assert event not in executor
        assert not any(executor.status_counts().values())
        assert (await executor.get(event.id)).result() == 2
        assert (await executor.append(Add(a=1), key="k")).id == event.id


# ---------------------------------------------------------------- after


async def test_an_event_begins_after_those_that_it_comes_after(server):
    """Whoever submitted them."""
    async with executor_on(server) as one, executor_on(server, one.cluster, work=False) as other:
        first = await one.append(Nap(seconds=0.2))
        second = await other.append(Nap(seconds=0.1), after=first.id)
        third = await one.append(Add(a=1), after=[first, second.id])
        await third.wait()
        await until(lambda: second.status == "completed")
        assert first.execution.finished_at <= second.execution.started_at
        assert second.execution.finished_at <= third.execution.started_at


@pytest.mark.parametrize("work", [True, False])
async def test_a_worker_has_the_results_of_the_events_before(server, work):
    """Whether it has run them itself, or another process has submitted them."""
    async with executor_on(server, work=work) as executor:
        first = await executor.append(Add(a=1))
        others = [await executor.append(Add(a=number)) for number in (10, 100)]
        event = await executor.append(Total(), after=[first.id, *others])
        if not work:
            async with executor_on(server, executor.cluster, work=True):
                await event.wait()
    assert event.result() == 2 + 11 + 101


async def test_an_event_after_one_that_has_completed_begins_at_once(server):
    async with executor_on(server) as executor:
        first = await executor.append(Add(a=1))
        await first.wait()
        assert await executor.invoke(Add(a=2), after=first) == 3
        await executor.cleanup_events()
        assert await executor.invoke(Add(a=3), after=first.id) == 4


@pytest.mark.parametrize("when", ["before", "after its end"])
async def test_what_comes_after_an_event_that_fails_is_skipped_down_the_line(server, when):
    """The error of each names the event that it came after."""
    async with executor_on(server) as one, executor_on(server, one.cluster) as other:
        one.pause()
        other.pause()
        first = await one.append(Fail())
        if when == "after its end":
            one.resume()
            await first.wait()
        second = await other.append(Add(a=1), after=first.id)
        third = await one.append(Add(a=1), after=second.id)
        one.resume()
        other.resume()
        await second.wait()
        await third.wait()
        for event, before in ((second, first), (third, second)):
            assert event.status == "skipped"
            assert isinstance(event.execution.error, Skip)
            assert str(before.id) in str(event.execution.error)
            assert event.execution.started_at is None
        copy = await one.get(second.id)
        assert str(first.id) in str(copy.execution.error)


async def test_an_event_after_one_that_nobody_knows_is_refused(server):
    async with executor_on(server, work=False) as executor:
        event, unknown = Add(a=1), uuid.uuid4()
        with pytest.raises(NotFoundError, match=str(unknown)):
            await executor.append(event, after=unknown, key="k")
        assert event not in executor
        assert event.execution.queued_at is None
        with pytest.raises(ValueError, match="cannot come after itself"):
            await executor.append(event, after=event)
        assert await executor.known_keys(["k"]) == set()
        assert await counts(executor) == {}


async def test_an_event_after_one_that_is_cancelled_is_skipped(server):
    async with executor_on(server, work=False) as executor:
        first = await executor.append(Add(a=1))
        events = [await executor.append(Add(a=1), after=first) for _ in range(3)]
        executor.cancel(first)
        await executor.join()
        assert [event.status for event in events] == ["skipped"] * 3


async def test_a_delay_counts_from_the_submission_also_after_others(server):
    async with executor_on(server) as executor:
        first = await executor.append(Add(a=1))
        second = await executor.append(Add(a=1), after=first, delay=0.6)
        await second.wait()
        waited = second.execution.started_at - second.execution.queued_at
        assert 0.55 < waited.total_seconds() < 2
