"""The scope around an executor with a cluster is cancelled, at many moments."""

import uuid

import anyio
import pytest
from cluster_events import Nap
from cluster_support import Server, executor_on, link_of

from lionpride_exec import ExecutorClosedError

pytestmark = pytest.mark.anyio

MOMENTS = 100
AT_ONCE = 10


@pytest.fixture
def tcp_server():
    """A server on a port: where a Unix socket is closed, AnyIO 4.16 raises in a callback of asyncio now and then."""
    server = Server(on_port=True).start()
    yield server
    server.stop()


async def test_nothing_but_the_cancellation_comes_out(tcp_server):
    """Nothing is left PROCESSING, and each event that was submitted can still run."""
    queue, submitted, caught = f"test-{uuid.uuid4().hex}", [], []

    async def be_cancelled(number):
        is_early = number % 2
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                if is_early:
                    group.start_soon(cancel_after, scope, 0.01 * number)
                async with executor_on(tcp_server, queue, concurrency_limit=4) as executor:
                    while True:
                        events = await executor.extend([Nap(seconds=0.02) for _ in range(5)])
                        submitted.extend(events)
                        if not is_early:
                            group.start_soon(cancel_after, scope, 0.005 * number)
                        await events[0].wait()
        caught.append(scope.cancelled_caught)

    async def cancel_after(scope, seconds):
        await anyio.sleep(seconds)
        scope.cancel()

    for first in range(0, MOMENTS, AT_ONCE):
        async with anyio.create_task_group() as group:
            for number in range(first, first + AT_ONCE):
                group.start_soon(be_cancelled, number)
    assert caught == [True] * MOMENTS
    assert submitted
    async with executor_on(tcp_server, queue, concurrency_limit=50) as executor:
        queries = link_of(executor).queries
        counts = await queries.counts()
        with anyio.fail_after(30):
            while counts.get("pending") or counts.get("processing"):
                await anyio.sleep(0.05)
                counts = await queries.counts()
        assert set(counts) <= {"completed", "pending", "processing"}
        assert counts["completed"] >= len(submitted)
        for event in submitted[::20]:
            assert (await executor.get(event.id)).status == "completed"


@pytest.mark.parametrize("how", ["wait", "invoke", "join", "as_completed", "append"])
async def test_a_task_that_waits_is_cancelled(server, how):
    """The events go on."""
    async with executor_on(server) as executor:
        event = await executor.append(Nap(seconds=0.5))

        async def wait():
            match how:
                case "wait":
                    await event.wait()
                case "invoke":
                    await executor.invoke(Nap(seconds=0.4), key="k")
                case "join":
                    await executor.join()
                case "as_completed":
                    async for _ in executor.as_completed([event]):
                        pass
                case "append":
                    await executor.append(Nap(seconds=0.4), key="k")
                    await anyio.sleep_forever()

        with anyio.move_on_after(0.1) as scope:
            await wait()
        assert scope.cancelled_caught
        await event.wait()
        await executor.join()
        assert executor.status_counts()["completed"] == len(executor.states.items)


async def test_tasks_outside_of_a_block_that_is_cancelled_are_woken(server):
    executor, woken = executor_on(server, work=False), []

    async def wait(event):
        with pytest.raises(ExecutorClosedError):
            await event.wait()
        woken.append(event)

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with executor:
                event = await executor.append(Nap())
                group.start_soon(wait, event)
                await anyio.sleep(0.05)
                scope.cancel()
    assert woken == [event]
