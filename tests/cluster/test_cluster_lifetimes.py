"""How an executor with a cluster starts, stops, waits and ends, with events of its own and of others."""

import time

import anyio
import pytest
from cluster_events import Add, Nap
from cluster_support import executor_on, until

from lionpride_exec import ExecutorClosedError

pytestmark = pytest.mark.anyio


async def test_the_block_waits_for_its_own_events_wherever_they_run(server):
    """Another executor works on them."""
    async with executor_on(server) as worker:
        async with executor_on(server, worker.cluster, work=False) as executor:
            event = await executor.append(Nap(seconds=0.5))
        assert event.status == "completed"


async def test_the_block_does_not_wait_for_events_of_others(server):
    """It ends what runs here, and gives the rest back."""
    async with executor_on(server, work=False) as other:
        events = await other.extend([Nap(seconds=0.3) for _ in range(30)])
        async with executor_on(server, other.cluster, concurrency_limit=2) as executor:
            assert await executor.invoke(Add(a=1), priority=-1) == 2
            began = time.monotonic()
        assert time.monotonic() - began < 5
        await until(lambda: not other.processing_events)
        assert len(other.pending_events) > 10
        for event in events:
            other.cancel(event)


async def test_an_executor_that_only_submits_runs_nothing(server):
    async with executor_on(server, work=False) as executor:
        event = await executor.append(Add(a=1))
        await anyio.sleep(0.3)
        assert event.status == "pending"
        executor.cancel(event)


async def test_join_waits_for_the_executors_events(server):
    async with executor_on(server, work=False) as other, executor_on(server, other.cluster) as executor:
        await executor.join()
        foreign = await other.append(Nap(seconds=60))
        mine = await executor.append(Nap(seconds=0.2))
        await executor.join()
        assert mine.status == "completed"
        assert foreign.status != "completed"
        other.cancel(foreign)
        await foreign.wait()


async def test_stop_ends_what_runs_here_and_lets_the_others_take_the_rest(server):
    """Events that are submitted meanwhile run elsewhere, or here after the next start."""
    async with executor_on(server, concurrency_limit=1) as executor:
        first, second = await executor.extend([Nap(seconds=1.0), Nap(seconds=0.1)])
        await until(lambda: first.status == "processing")
        await executor.stop()
        await until(lambda: first.status == "completed")
        third = await executor.append(Add(a=1))
        await executor.join()  # nothing runs here
        await anyio.sleep(0.6)
        assert (second.status, third.status) == ("pending", "pending")
        async with executor_on(server, executor.cluster):
            await second.wait()
            await third.wait()
        await executor.start()
        assert await executor.invoke(Add(a=2)) == 3


async def test_stop_with_a_grace_gives_running_events_back(server):
    async with executor_on(server, concurrency_limit=2) as executor:
        event = await executor.append(Nap(seconds=3))
        await until(lambda: event.status == "processing")
        await executor.stop(grace=0.1)
        await until(lambda: event.status == "pending")
        assert event.execution.attempt == 0
        assert event.execution.attempts[-1].interrupted
        executor.cancel(event)
        await event.wait()


async def test_an_executor_that_is_paused_holds_no_events(server):
    """Others run them. What runs here goes on."""
    async with executor_on(server, concurrency_limit=1) as executor:
        first = await executor.append(Nap(seconds=1.5))
        second = await executor.append(Add(a=1))
        await until(lambda: first.status == "processing")
        executor.pause()
        third = await executor.append(Add(a=2))
        async with executor_on(server, executor.cluster):
            await second.wait()
            await third.wait()
        assert first.status == "processing"
        executor.resume()
        assert await executor.invoke(Add(a=3)) == 4
        await first.wait()


async def test_a_pause_holds_up_the_block(server):
    """If nobody else works."""
    executor = executor_on(server)

    async def resume():
        await anyio.sleep(0.6)
        assert executor.status_counts()["pending"] == 1
        executor.resume()

    async with anyio.create_task_group() as group, executor:
        executor.pause()
        event = await executor.append(Add(a=1))
        group.start_soon(resume)
    assert event.result() == 2


async def test_resize_changes_how_many_run_here(server):
    async with executor_on(server, concurrency_limit=1) as executor:
        events = await executor.extend([Nap(seconds=0.4) for _ in range(8)])
        await until(lambda: executor.processing_events)
        executor.resize(concurrency_limit=8)
        await until(lambda: len(executor.processing_events) >= 5)
        await executor.join()
        assert {event.status for event in events} == {"completed"}


async def test_run_and_start_as_the_other_ways_to_begin(server):
    executor = executor_on(server)
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        assert await executor.invoke(Add(a=1)) == 2
        await executor.stop()
    with pytest.raises(ExecutorClosedError):
        await executor.append(Add(a=1))
    await executor.start()
    assert await executor.invoke(Add(a=2)) == 3
    nap = await executor.append(Nap(seconds=0.2))
    await executor.join()
    assert nap.status == "completed"
    await executor.stop()
    async with executor:
        assert await executor.invoke(Add(a=3)) == 4


async def test_events_that_are_open_when_the_executor_is_left_go_on_later(server):
    """Their ends are learned at the next start, whoever has run them."""
    executor = executor_on(server, work=False)
    with anyio.CancelScope() as scope:
        async with executor:
            first = await executor.append(Add(a=1), key="k")
            second = await executor.append(Add(a=2), delay=1)
            scope.cancel()
    with pytest.raises(ExecutorClosedError):
        await first.wait()
    assert (first.status, second.status) == ("pending", "pending")
    async with executor_on(server, executor.cluster) as other:
        copy = await other.append(Add(a=1), key="k")
        await copy.wait()
    async with executor:
        with anyio.fail_after(5):
            await first.wait()
        assert first.result() == 2
        assert await executor.append(Add(a=1), key="k") is first
        async with executor_on(server, executor.cluster):
            await second.wait()


def test_an_executor_lives_in_one_event_loop_after_the_other(server):
    """On another backend too."""
    executor = executor_on(server)

    async def main(number):
        async with executor:
            return await executor.invoke(Add(a=number))

    assert [anyio.run(main, number, backend=backend) for number, backend in enumerate(["asyncio", "trio"])] == [1, 2]
    assert executor.status_counts()["completed"] == 2


async def test_executors_in_two_event_loops_share_a_queue(server):
    """One of them runs in a thread."""
    async with executor_on(server, work=False) as executor:
        done = anyio.Event()

        async def work():
            async with executor_on(server, executor.cluster):
                while not stop:
                    await anyio.sleep(0.02)

        def in_thread(backend):
            anyio.run(work, backend=backend)

        async def run(backend):
            await anyio.to_thread.run_sync(in_thread, backend)
            done.set()

        for backend in ("asyncio", "trio"):
            stop = []
            async with anyio.create_task_group() as group:
                group.start_soon(run, backend)
                events = await executor.extend([Add(a=number) for number in range(50)])
                await executor.join()
                stop.append(True)
            assert [event.result() for event in events] == list(range(1, 51))


async def test_running_events_submit_others_while_the_block_is_left(server):
    """As without a cluster."""
    async with executor_on(server) as executor:
        from cluster_events import Parent  # noqa: PLC0415  it knows the executor

        Parent.executor = executor
        parent = await executor.append(Parent(number=3))
    assert parent.result() == 6
    assert executor.status_counts()["completed"] == 4
