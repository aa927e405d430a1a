"""Executors that are stopped and started again: nothing is lost, and nobody waits for ever."""

import anyio
import pytest
from anyio import current_time, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from support import (
    Job,
    JobProcessor,
    check_invariants,
    counts,
    create_processor,
    make_executor,
    with_processor,
)

from lionpride_exec import (
    ExecutorClosedError,
    ExistsError,
    Wait,
)
from lionpride_exec.testing import backend_options

pytestmark = pytest.mark.anyio


class Acts(Job):
    """Runs an async function of itself."""

    act: object = None

    async def _invoke(self):
        return await self.act(self)


async def test_start_while_the_old_loop_winds_down():
    """A start() right after a stop signal is not lost to the loop that is just ending."""
    executor = make_executor()
    await executor.start()
    await wait_all_tasks_blocked()
    await executor.processor.stop()
    await executor.start()
    assert await executor.invoke(Job(name="a")) == "a"
    await executor.stop()


@pytest.mark.parametrize("way", ["block", "start"])
async def test_an_event_that_stops_and_starts(way):
    """An event may pause its executor and resume it: what comes after runs."""
    executor = make_executor()

    async def restart(_):
        await executor.stop()
        await executor.start()

    if way == "block":
        async with executor:
            await executor.invoke(Acts(act=restart))
            await executor.invoke(Job())
    else:
        await executor.start()
        await executor.invoke(Acts(act=restart))
        await executor.invoke(Job())
        await executor.stop()
    assert counts(executor) == {"completed": 2}


@pytest.mark.parametrize("seconds", [0.0, 5.0])
@pytest.mark.parametrize("offset", range(8))
async def test_start_races_stop(seconds, offset):
    """Wherever in a stop() a start() falls: neither hangs, and the executor does what the last one said."""
    executor = make_executor()
    await executor.start()
    if seconds:
        await executor.append(Job(seconds=seconds))
    await wait_all_tasks_blocked()

    async def start_later():
        for _ in range(offset):
            await checkpoint()
        await executor.start()

    async with anyio.create_task_group() as group:
        group.start_soon(executor.stop)
        group.start_soon(start_later)
    if not executor.processor.is_stopped():
        await executor.invoke(Job())
        await executor.join()
    await executor.stop()
    check_invariants(executor)


async def test_a_loop_spawned_by_hand_and_cancelled():
    """When a loop that somebody else's group owned goes down, the executor's own goes on."""
    executor = make_executor()
    await executor.start()
    async with anyio.create_task_group() as group:
        group.start_soon(executor.processor.execute)
        await executor.invoke(Job())
        group.cancel_scope.cancel()
    await executor.invoke(Job())
    await executor.stop()
    assert counts(executor) == {"completed": 2}


class Hesitant(JobProcessor):
    """Says "not yet" to each event once, and keeps it waiting long."""

    answer = Wait(3000)
    seen: set = set()

    async def request_permission(self, **kwargs):
        if self.seen:
            return True
        self.seen.add(1)
        return self.answer


@pytest.mark.parametrize("answer", [Wait(3000), False])
def test_restart_under_another_clock(answer):
    """What waited for a time of one event loop does not wait for it in another, on another backend."""
    executor = with_processor(type("Made", (Hesitant,), {"answer": answer, "seen": set()}))

    async def first():
        with anyio.move_on_after(1):
            async with executor:
                await executor.append(Job())
                await anyio.sleep_forever()

    async def second():
        with anyio.fail_after(60):
            async with executor:
                pass

    anyio.run(first, backend="trio", backend_options=backend_options("trio")[1])
    anyio.run(second, backend="asyncio", backend_options=backend_options("asyncio")[1])
    assert counts(executor) == {"completed": 1}


@pytest.mark.parametrize("left", ["normally", "stopped", "cancelled"])
async def test_who_waits_for_room_is_told_at_the_end(left):
    """However an executor is left, append(wait=True) returns or raises."""
    executor = make_executor(concurrency_limit=1, max_queue_size=1)
    outcomes = []

    async def append():
        try:
            await executor.append(Job(), wait=True)
        except ExecutorClosedError:
            outcomes.append("closed")
        else:
            outcomes.append("taken")

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with executor:
                for _ in range(2):
                    await executor.append(Job(seconds=5.0), wait=True)
                    await wait_all_tasks_blocked()
                for _ in range(3):
                    group.start_soon(append)
                await wait_all_tasks_blocked()
                if left == "stopped":
                    await executor.stop()
                elif left == "cancelled":
                    scope.cancel()
                    await checkpoint()
    assert len(outcomes) == 3
    check_invariants(executor)


async def test_room_that_is_not_used_goes_to_the_next():
    """A waiter whose append fails in the end does not keep the room."""
    executor = make_executor(max_queue_size=1)
    await create_processor(executor)
    await executor.append(Job())
    twice, other = Job(), Job()

    async def append(event):
        try:
            await executor.append(event, wait=True)
        except ExistsError:
            await executor.processor.dequeue()

    async with anyio.create_task_group() as group:
        for event in (twice, twice, other):
            group.start_soon(append, event)
            await wait_all_tasks_blocked()
        await executor.processor.dequeue()
        await wait_all_tasks_blocked()
        await executor.processor.dequeue()
    assert other in executor


@pytest.mark.parametrize("how", ["append", "invoke", "extend", "map"])
async def test_waiting_for_room_in_an_executor_that_was_left(how):
    """Nobody takes anything out any more: it raises at once, before the next start."""
    executor = make_executor(max_queue_size=1, concurrency_limit=1)
    with anyio.move_on_after(1):
        async with executor:
            await executor.append(Job(seconds=100))
            await wait_all_tasks_blocked()
            await executor.append(Job())
            await anyio.sleep_forever()
    with anyio.fail_after(10), pytest.raises(ExecutorClosedError):
        match how:
            case "append":
                await executor.append(Job(), wait=True)
            case "invoke":
                await executor.invoke(Job())
            case "extend":
                await executor.extend([Job()])
            case "map":
                async for _ in executor.map(Job, [{}]):
                    pass
    async with executor:
        await executor.append(Job(), wait=True)
    assert counts(executor) == {"cancelled": 1, "completed": 2}


@pytest.mark.parametrize("by", ["outside", "event"])
async def test_start_goes_on_while_what_was_stopped_still_runs(by):
    """The last call counts at once, not when the longest of the old events has ended."""
    executor = make_executor()

    async def restart(_):
        with anyio.move_on_after(0.5):
            await executor.stop()
        await executor.start()
        await anyio.sleep(100)

    await executor.start()
    await executor.append(Acts(act=restart if by == "event" else lambda _: anyio.sleep(100)))
    await anyio.sleep(0.1)
    if by == "outside":
        await restart_now(executor)
    await anyio.sleep(1)
    new = await executor.append(Job())
    await new.wait()
    assert current_time() < 3
    await executor.stop(grace=0)


async def restart_now(executor):
    """Stop for a moment, and go on."""
    with anyio.move_on_after(0.5):
        await executor.stop()
    await executor.start()
