"""Events that act on their own executor: they do not wait for each other for ever."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from support import (
    Job,
    JobProcessor,
    check_invariants,
    counts,
    make_executor,
    with_processor,
)

from lionpride_exec import (
    EventStatus,
    QueueFullError,
)

pytestmark = pytest.mark.anyio


class Acts(Job):
    """Runs an async function of itself."""

    act: object = None

    async def _invoke(self):
        return await self.act(self)


@pytest.mark.parametrize("call", ["stop", "join", "forward"])
async def test_two_events_that_make_the_same_call(call):
    """Two events that both stop (join, forward) do not wait for each other."""
    executor = make_executor()

    async def act(_):
        await wait_all_tasks_blocked()
        await getattr(executor, call)()

    await executor.start()
    events = [Acts(act=act) for _ in range(2)]
    for event in events:
        await executor.append(event)
    for event in events:
        await event.wait()
    await executor.stop()
    assert counts(executor) == {"completed": 2}


async def test_an_event_that_removes_itself_and_stops():
    """Whoever is no longer in the executor but runs in it is not waited for either."""
    executor = make_executor()

    async def act(_):
        await executor.cleanup_events(["processing"])
        await executor.stop()

    await executor.start()
    event = Acts(act=act)
    await executor.append(event)
    await event.wait()
    assert event.status is EventStatus.COMPLETED
    await executor.stop()


async def test_what_an_event_left_behind_may_wait_for_it():
    """A task that outlives the event in which it was started is not taken for it."""
    ended = []

    class Starter(Job):
        async def _invoke(self):
            group.start_soon(self.wait_for_me)

        async def wait_for_me(self):
            await gate.wait()
            await self.wait()
            ended.append(self.status)

    gate = anyio.Event()
    executor = make_executor()
    async with anyio.create_task_group() as group:
        async with executor:
            await executor.append(Starter())
        gate.set()
    assert ended == [EventStatus.COMPLETED]


async def test_forward_inside_the_only_slot():
    """The caller lends its slot to the batch."""
    executor = make_executor(concurrency_limit=1)

    async def forward(_):
        await executor.append(Job(name="inner"))
        await executor.forward()
        return executor.status_counts()["completed"]

    async with executor:
        event = await executor.append(Acts(act=forward))
        await event.wait()
    assert event.response == 1


async def test_events_that_find_more_work_than_there_is_room_for():
    """A crawler whose pages wait for room does not wait for itself: theirs is taken in beyond the bound."""

    class Page(Job):
        depth: int = 0

        async def _invoke(self):
            for _ in range(10 if self.depth < 3 else 0):
                await executor.append(Page(depth=self.depth + 1), wait=True)

    executor = with_processor(
        type("Pages", (JobProcessor,), {"event_type": Page}),
        concurrency_limit=2, max_queue_size=5, queue_capacity=10_000, capacity_refresh_time=0.01,
    )  # fmt: skip
    async with executor:
        await executor.append(Page())
    assert counts(executor) == {"completed": 1111}
    check_invariants(executor)


async def test_an_event_that_finds_a_full_queue_without_wait():
    """append() without wait=True raises also in a running event, which fails unless it catches the error."""
    executor = make_executor(max_queue_size=5)

    async def act(_):
        for _ in range(10):
            await executor.append(Job(), delay=5)

    async with executor:
        parent = await executor.append(Acts(act=act))
    assert parent.status is EventStatus.FAILED
    assert isinstance(parent.execution.error, QueueFullError)
    assert counts(executor) == {"failed": 1, "completed": 5}


async def test_a_running_event_that_moves_to_another_executor():
    """join() of the other executor returns at the end of the event, which the first executor still runs."""
    first, second = make_executor(), make_executor()
    gate = anyio.Event()
    async with first:
        event = await first.append(Job(gate=gate, started=anyio.Event()))
        await event.started.wait()
        await first.cleanup_events(["processing"])
        await second.start()
        await second.append(event)
        async with anyio.create_task_group() as group:
            group.start_soon(second.join)
            await wait_all_tasks_blocked()
            gate.set()
        assert counts(second) == {"completed": 1}
        await second.stop()
    check_invariants(second)


class Overtaken(Job):
    """The worker that starts the event waits before it runs the event, so that another task can run it first."""

    waits: object = None

    async def invoke(self):
        """Wait for the next of the waits, then run the event."""
        await self.waits.pop(0)()
        await super().invoke()


async def test_an_event_that_another_task_runs_outlives_the_cancelled_worker():
    """The event ends as its own run says, and the block of the executor can be left."""
    gate, hold = anyio.Event(), anyio.Event()
    event = Overtaken(gate=gate, started=anyio.Event(), waits=[hold.wait, anyio.lowlevel.checkpoint])
    async with make_executor() as executor:
        await executor.append(event)
        await wait_all_tasks_blocked()
        async with anyio.create_task_group() as group:
            group.start_soon(event.invoke)
            await event.started.wait()
            executor.cancel(event)  # cancels the worker, which waits
            await wait_all_tasks_blocked()
            assert event.status is EventStatus.PROCESSING
            gate.set()
    assert event.status is EventStatus.COMPLETED
    check_invariants(executor)
