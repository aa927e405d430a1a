"""What an executor with a cluster says of its events: what they wait for, and how far they are."""

import io
import uuid

import pytest
from cluster_events import Add, Fail, Nap
from cluster_support import executor_on, link_of, until

from lionpride_exec import (
    Concurrent,
    ConfigurationError,
    Event,
    Executor,
    NotFoundError,
    Retry,
    WaitReason,
)

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- the progress


async def test_a_bar_shows_the_events_of_this_executor_wherever_they_run(server):
    """The client runs nothing itself. Its events wait for a worker."""
    file = io.StringIO()
    async with executor_on(server) as worker, executor_on(server, worker.cluster, work=False) as client:
        async with client.progress_bar(file=file, interval=600) as bar:
            await worker.stop()
            events = await client.extend(Add(a=number) for number in range(3))
            bar.refresh()
            await worker.start()
            for event in events:
                await event.wait()
    first, last = file.getvalue().splitlines()
    assert first.startswith("0 of 3 done (0%)  0 running  3 pending")
    assert first.endswith("  waiting for cluster (3)")
    assert last.startswith("3 of 3 done (100%)  0 running  0 pending")


# ---------------------------------------------------------------- explaining


async def test_explain_does_not_claim_more_than_is_known_here(server):
    """An event that waits elsewhere waits for a worker."""
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1), delay=60)
        told = executor.explain(event)
        assert told.waits_for is WaitReason.CLUSTER
        assert told.seconds is None
        assert "waits for a worker of the cluster" in str(told)
        assert executor.statistics().waits == {WaitReason.CLUSTER: 1}
        executor.cancel(event)
        await event.wait()
        assert executor.explain(event).waits_for is WaitReason.FINAL
        assert executor.statistics().waits == {}


async def test_explain_says_what_is_known_of_an_event_that_this_process_holds(server):
    limit = Concurrent(1, name=uuid.uuid4().hex)
    async with executor_on(server, limits=[limit]) as executor:
        first, second = await executor.extend([Nap(seconds=0.6), Nap(seconds=0.1)])
        await until(lambda: first.status == "processing")
        assert executor.explain(first).waits_for is WaitReason.RUNNING
        await until(lambda: executor.explain(second).waits_for is WaitReason.LIMIT)
        told = executor.explain(second)
        assert told.event is second
        assert told.limit == limit
        assert executor.statistics().running == 1


async def test_explain_remote_says_where_an_event_is(server):
    """Of own events and of those of others, by the same method."""
    async with executor_on(server) as worker, executor_on(server, worker.cluster, work=False) as client:
        running = await client.append(Nap(seconds=1.5))
        await until(lambda: running.status == "processing")
        for executor in (worker, client):
            told = await executor.explain_remote(running.id)
            assert (told.status, told.waits_for, told.attempt) == ("processing", WaitReason.RUNNING, 1)
            assert told.worker == link_of(worker).worker_name
            assert ":" in told.process
            assert told.renewed < 10
            assert told.seconds == 0
            assert abs((told.since - running.execution.started_at).total_seconds()) < 1
            assert f"held by worker {told.worker} (" in str(told)
        delayed = await client.append(Add(a=1), delay=60)
        told = await worker.explain_remote(delayed)
        assert told.waits_for is WaitReason.DELAY
        assert 50 < told.seconds <= 60
        assert told.worker == ""
        assert "waits for its time, at least" in str(told)
        after = await client.append(Add(a=1), after=[delayed, running])
        told = await worker.explain_remote(after)
        assert told.waits_for is WaitReason.DEPENDENCY
        assert set(told.after) == {delayed.id, running.id}
        client.cancel(delayed)
        await after.wait()
        told = await worker.explain_remote(after)
        assert (told.status, told.waits_for) == ("skipped", WaitReason.FINAL)
        with pytest.raises(NotFoundError):
            await worker.explain_remote(uuid.uuid4())


async def test_explain_remote_of_an_event_that_waits_for_a_worker(server):
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1))
        told = await executor.explain_remote(event)
        assert (told.waits_for, told.worker, told.process, told.renewed) == (WaitReason.CLUSTER, "", "", None)
        assert "waits for a worker of the cluster" in str(told)
        executor.cancel(event)


async def test_explain_remote_of_an_event_that_is_to_run_again(server):
    async with executor_on(server, retry=Retry(attempts=2, backoff=30, jitter=0)) as executor:
        event = await executor.append(Fail())
        await until(lambda: event.execution.attempt == 1 and event.status == "pending")
        told = await executor.explain_remote(event)
        assert told.waits_for is WaitReason.RETRY
        assert 20 < told.seconds <= 30
        executor.cancel(event)


async def test_explain_remote_names_the_limit_at_which_an_event_stands_in_line(server):
    limit = Concurrent(1, name=uuid.uuid4().hex)
    async with executor_on(server, limits=[limit], lookahead=1, concurrency_limit=1) as executor:
        events = await executor.extend([Nap(seconds=0.5) for _ in range(3)])
        await until(lambda: executor.processing_events)
        told = [await executor.explain_remote(event) for event in events]
        assert sum(one.waits_for is WaitReason.RUNNING for one in told) <= 1
        for event in events:
            executor.cancel(event)


async def test_explain_remote_of_an_event_in_a_queue_that_is_paused(server):
    async with executor_on(server, work=False) as executor:
        await executor.cluster.pause()
        event = await executor.append(Add(a=1))
        assert (await executor.explain_remote(event)).waits_for is WaitReason.PAUSED
        executor.cancel(event)


async def test_explain_remote_needs_a_cluster():
    executor = Executor.of(Add)
    with pytest.raises(ConfigurationError, match="the executor has no cluster"):
        await executor.explain_remote(Add(a=1))


# ---------------------------------------------------------------- progress


async def test_progress_is_that_of_the_executors_events(server):
    """Also where others run them. The time left follows from the ends that were seen."""
    async with executor_on(server, work=False) as client:
        events = await client.extend([Nap(seconds=0.05) for _ in range(60)])
        progress = client.progress()
        assert (progress.total, progress.done, progress.pending, progress.seconds_left) == (60, 0, 60, None)
        async with executor_on(server, client.cluster, concurrency_limit=2, event_type=Event):
            await until(lambda: len(client.completed_events) >= 20)
            progress = client.progress()
            assert progress.total == 60
            assert progress.done >= 20
            assert progress.done + progress.pending + progress.processing == 60
            assert progress.rate > 0
            left = (progress.pending + progress.processing) / progress.rate
            assert progress.seconds_left == pytest.approx(left, rel=0.5)
            await client.join()
        progress = client.progress()
        assert (progress.done, progress.seconds_left, progress.by_status["completed"]) == (60, 0, 60)
        assert {event.status for event in events} == {"completed"}


async def test_progress_of_a_worker_does_not_count_events_of_others(server):
    async with executor_on(server) as worker, executor_on(server, worker.cluster, work=False) as client:
        await client.extend([Add(a=number) for number in range(20)])
        await client.join()
        assert worker.progress().total == 0
        assert worker.statistics().status_counts["completed"] == 0
