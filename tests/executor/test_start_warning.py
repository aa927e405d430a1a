"""The warning that tasks wait for an executor that nobody has started."""

import anyio
import pytest
from support import Job, JobExecutor, make_executor

from lionpride_exec import Executor, ExecutorClosedError, WaitReason

pytestmark = pytest.mark.anyio


async def double(number):
    """Stand for a call."""
    return 2 * number


async def _wait(executor):
    await (await executor.append(Job())).wait()


async def _invoke(executor):
    await executor.invoke(Job())


async def _join(executor):
    await executor.append(Job())
    await executor.join()


async def _map(executor):
    async for _ in executor.map(Job, [{}]):
        pass


async def _as_completed(executor):
    async for _ in executor.as_completed([await executor.append(Job())]):
        pass


WAITS = pytest.mark.parametrize("wait", [_wait, _invoke, _join, _map, _as_completed])


def warnings_in(caplog):
    """Return the messages that say that an executor does not run."""
    return [record.getMessage() for record in caplog.records if "does not run" in record.getMessage()]


@WAITS
async def test_a_wait_warns_once(wait, caplog):
    """After 5 s there is one warning, however many tasks wait; explain() says it too; a start ends the wait."""
    executor = make_executor()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, executor)
        await anyio.sleep(1)
        group.start_soon(_wait, executor)
        await anyio.sleep(3)
        event = executor.pending_events[0]
        assert warnings_in(caplog) == []
        assert executor.explain(event).holder is None
        await anyio.sleep(4)
        (message,) = warnings_in(caplog)
        assert "1 task has waited for 5 s" in message or "2 tasks have waited for 5 s" in message
        assert "async with executor" in message
        assert executor.explain(event).waits_for is WaitReason.START
        assert executor.explain(event).holder == "and 2 tasks have waited for 8 s"
        assert str(executor.explain(event)).endswith(
            "waits for the executor to be started, and 2 tasks have waited for 8 s"
        )
        await executor.start()
    await executor.stop()
    assert len(warnings_in(caplog)) == 1


@WAITS
async def test_an_executor_that_is_started_later_does_not_warn(wait, caplog):
    """A wait of less than 5 s is none of our business, and so is a wait in an executor that runs."""
    executor = make_executor()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, executor)
        await anyio.sleep(4)
        executor.pause()
        await executor.start()
        await anyio.sleep(60)
        assert executor.explain(executor.pending_events[0]).holder is None
        executor.resume()
    await executor.stop()
    assert warnings_in(caplog) == []


async def test_a_stopped_executor_warns_too(caplog):
    """An event that is appended after stop() waits for the next start."""
    executor = make_executor()
    await executor.start()
    await executor.stop()
    with anyio.move_on_after(6):
        await executor.invoke(Job())
    assert len(warnings_in(caplog)) == 1


async def _append_without_room(executor):
    while True:  # the queue of the test has room for one event
        await executor.append(Job(), wait=True)


async def _expect_closed(wait, executor):
    with pytest.raises(ExecutorClosedError):
        await wait(executor)


LASTING_WAITS = pytest.mark.parametrize("wait", [_wait, _invoke, _map, _as_completed])


@LASTING_WAITS
async def test_a_wait_after_stop_inside_the_block_goes_on_at_the_next_start(wait, caplog):
    """Nobody knows whether another task will call start(), so the wait lasts. After 5 s there is a warning."""
    executor = make_executor()
    async with executor, anyio.create_task_group() as group:
        await executor.stop()
        group.start_soon(wait, executor)
        await anyio.sleep(8)
        (message,) = warnings_in(caplog)
        assert "does not run since stop(), and 1 task has waited for 5 s: leave the loop" in message
        (event,) = executor.pending_events
        assert executor.explain(event).holder == "and 1 task has waited for 8 s"
        await executor.start()
    assert event.status == "completed"
    assert len(warnings_in(caplog)) == 1


@pytest.mark.parametrize("wait", [_wait, _invoke, _map, _as_completed, _append_without_room])
async def test_leaving_a_stopped_block_ends_a_wait(wait):
    """What waits for an event, or for room, raises once the block is left: the executor cannot go on by itself."""
    executor = make_executor(max_queue_size=1)
    async with anyio.create_task_group() as group:
        async with executor:
            await executor.stop()
            group.start_soon(_expect_closed, wait, executor)
            await anyio.sleep(1)


async def test_join_returns_when_the_executor_is_stopped(caplog):
    """join() asks whether anything is under way, and after stop() nothing is."""
    async with make_executor() as executor:
        await executor.stop()
        await _join(executor)
        assert [event.status for event in executor.pending_events] == ["pending"]
    assert warnings_in(caplog) == []


async def test_a_long_run_after_stop_does_not_warn(caplog):
    """While an event runs, the executor is at work, and who waits for the event is right to wait."""
    async with make_executor() as executor, anyio.create_task_group() as group:
        event = await executor.append(Job(seconds=30))
        await anyio.sleep(1)
        group.start_soon(executor.stop)
        await anyio.sleep(1)
        await event.wait()
    assert warnings_in(caplog) == []


async def test_a_wait_in_an_executor_that_was_started_again_does_not_warn(caplog):
    """After stop() and start() the executor is like a new one."""
    async with make_executor() as executor:
        await executor.stop()
        await executor.start()
        event = await executor.append(Job(), delay=60)
        await event.wait()
    assert warnings_in(caplog) == []


async def test_a_cancelled_wait_leaves_nothing(caplog):
    """A task that gives up is no longer counted, before the warning and after it."""
    executor = make_executor()
    for seconds in (2, 7):
        with anyio.move_on_after(seconds):
            await executor.invoke(Job())
        assert executor.explain(executor.pending_events[0]).holder is None
    assert len(warnings_in(caplog)) == 1


async def test_events_that_somebody_runs_do_not_warn(caplog):
    """forward() and invoke() run events of an executor that nobody has started."""
    executor = make_executor()
    event = await executor.append(Job(seconds=30))
    async with anyio.create_task_group() as group:
        group.start_soon(event.wait)
        group.start_soon(event.invoke)
    assert warnings_in(caplog) == []


async def test_a_map_of_calls_that_nobody_starts(caplog):
    """The executor of functions warns likewise, and the map goes on when it is started."""
    executor = Executor.of(double)
    results = []

    async def run_map():
        results.extend([call.result() async for call in executor.map(double, [1, 2])])

    async with anyio.create_task_group() as group:
        group.start_soon(run_map)
        await anyio.sleep(10)
        assert len(warnings_in(caplog)) == 1
        await executor.start()
    await executor.stop()
    assert sorted(results) == [2, 4]


async def test_two_executors_warn_for_themselves(caplog):
    """Each executor warns once."""
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(_wait, JobExecutor({}))
        await anyio.sleep(6)
        group.cancel_scope.cancel()
    assert len(warnings_in(caplog)) == 2
