"""What the methods of an executor do with a cluster, on a real server."""

from datetime import timedelta

import anyio
import pytest
from cluster_events import Add, Echo, Fail, Length, Nap, Pass
from cluster_support import executor_on, link_of, until

from lionpride_exec import (
    Event,
    EventFailed,
    ExecutorClosedError,
    ExistsError,
    RemoteError,
)

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- append


async def test_an_event_runs_and_its_response_comes_back(server):
    """With the record of the run, and the type of the response."""
    async with executor_on(server) as executor:
        event = await executor.append(Add(a=1, b=2))
        await event.wait()
        assert event.result() == 3
        execution = event.execution
        assert execution.status == "completed"
        assert execution.attempt == 1
        assert execution.duration > 0
        assert execution.queued_at <= execution.started_at <= execution.finished_at
        assert [status for status, _ in event.history()] == ["pending", "processing", "completed"]
        assert await executor.invoke(Length(minutes=5)) == timedelta(minutes=5)


async def test_append_returns_once_the_server_has_the_event(server):
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1))
        assert await link_of(executor).queries.counts() == {"pending": 1}
        assert event.status == "pending"
        assert event in executor
        executor.cancel(event)


@pytest.mark.parametrize("state", ["before", "after"])
async def test_append_is_refused_while_the_executor_does_not_run(server, state):
    executor = executor_on(server)
    if state == "after":
        async with executor:
            pass
    event = Add(a=1)
    with pytest.raises(ExecutorClosedError, match="takes events only while it runs"):
        await executor.append(event)
    assert event not in executor
    async with executor:
        assert await executor.invoke(event) == 2


async def test_an_event_that_cannot_be_stored_is_refused_and_left_as_it_was(server):
    class Untagged(Event[None]):
        async def _invoke(self): ...

    async with executor_on(server) as executor:
        refused = [(Untagged(), TypeError), (Echo(value=lambda: 1), ValueError)]
        for event, error in refused:
            with pytest.raises(error):
                await executor.append(event)
            assert event not in executor
            assert event.execution.queued_at is None
            assert event.status == "pending"
        ended = await executor.append(Add(a=1))
        await ended.wait()
        with pytest.raises(ExistsError):
            await executor.append(ended)
        assert executor.status_counts()["completed"] == 1


async def test_an_event_of_another_executor_is_refused(server):
    async with executor_on(server, work=False) as one, executor_on(server, one.cluster) as other:
        event = await one.append(Add(a=1))
        with pytest.raises(ExistsError, match="belongs to another executor"):
            await other.append(event)
        await event.wait()


async def test_a_cancelled_append_leaves_the_event_to_the_server(server):
    """It was sent already, and runs."""
    async with executor_on(server) as executor:
        event = Add(a=1)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await executor.append(event)
        assert scope.cancelled_caught
        if event in executor:
            await event.wait()
            assert event.result() == 2


async def test_events_wait_for_locks_that_tasks_hold(server):
    """Neither do they come in nor do they move while a task looks at them."""
    async with executor_on(server) as executor:
        async with anyio.create_task_group() as group:
            async with executor.states.progressions:
                group.start_soon(executor.append, Add(a=1))
                await anyio.sleep(0.1)
                assert not any(executor.status_counts().values())
        assert sum(executor.status_counts().values()) == 1
        first = await executor.append(Nap(seconds=0.5))
        await until(lambda: first.status == "processing")
        async with executor.states.progressions:
            await anyio.sleep(0.8)
            assert first.status == "processing"
        await first.wait()
        assert first.status == "completed"


# ---------------------------------------------------------------- results


async def test_the_error_of_another_process_comes_back(server):
    """As a journal would keep it."""
    async with executor_on(server) as executor:
        event = await executor.append(Fail(text="broken"))
        await event.wait()
        with pytest.raises(EventFailed, match="broken") as caught:
            event.result()
        cause = caught.value.__cause__
        assert isinstance(cause, RemoteError)
        assert (cause.type_name, cause.original_message) == ("ValueError", "broken")
        assert "raise ValueError(self.text)" in cause.traceback_text
        skipped = await executor.append(Pass())
        await skipped.wait()
        assert skipped.status == "skipped"
        assert "not necessary" in str(skipped.execution.error)
        late = await executor.append(Nap(seconds=5, timeout=0.05))
        await late.wait()
        assert late.status == "cancelled"
        assert "timed out" in str(late.execution.error)


async def test_invoke_wait_and_as_completed(server):
    async with executor_on(server, concurrency_limit=10) as executor:
        assert await executor.invoke(Add(a=20)) == 21
        events = [await executor.append(Nap(seconds=seconds)) for seconds in (0.6, 0.05)]
        assert [event.seconds async for event in executor.as_completed(events)] == [0.05, 0.6]


async def test_transitions_are_observed_and_watched(server):
    async with executor_on(server) as executor:
        seen = []
        executor.observe(lambda event, previous, status: seen.append((event.id, str(previous), str(status))))
        async with executor.watch(statuses=["processing", "completed"]) as transitions:
            event = await executor.append(Nap(seconds=0.01))
            watched = [await anext(transitions) for _ in range(2)]
        assert seen == [(event.id, "pending", "processing"), (event.id, "processing", "completed")]
        assert [transition.status for transition in watched] == ["processing", "completed"]


async def test_progressions_and_counts_follow_the_transitions(server):
    async with executor_on(server, concurrency_limit=1) as executor:
        naps = await executor.extend([Nap(seconds=0.3) for _ in range(2)])
        await until(lambda: executor.processing_events)
        assert executor.status_counts() | {"pending": 1, "processing": 1} == executor.status_counts()
        await executor.join()
        assert executor.completed_events == naps
        assert executor.page("completed") == naps[::-1]
        assert repr(executor) == "Executor('Event', 1 slot, running: 2 completed)"
