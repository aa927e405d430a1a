"""Events and progressions that are changed by hand, beside the executor."""

import anyio
import pytest
from support import (
    Job,
    JobProcessor,
    make_executor,
    owner_of,
    with_processor,
)

from lionpride_exec import (
    ConfigurationError,
    EventStatus,
    Execution,
    ExistsError,
)
from lionpride_exec.testing import check_invariants, record

pytestmark = pytest.mark.anyio


async def test_a_follower_taken_out_by_hand_does_not_hold_up_the_others():
    """Nobody told the executor; the rest goes on."""
    executor = make_executor()
    async with executor:
        first = await executor.append(Job(seconds=1))
        gone, other = [await executor.append(Job(), after=first) for _ in range(2)]
        executor.states.remove_item(gone.id)
        await other.wait()
    assert other.status is EventStatus.COMPLETED


async def test_a_restored_run_that_is_put_back():
    """Assigning PENDING to an event that only its record says to run has it queued."""
    restored = Job.from_dict(Job(execution=Execution(status=EventStatus.PROCESSING, attempt=1)).to_dict())
    executor = make_executor()
    async with executor:
        await executor.append(restored)
        restored.status = "pending"
    assert restored.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_an_event_removed_while_its_gate_is_asked_and_cancelled():
    """Nothing of it stays in the queue."""

    class Slow(JobProcessor):
        async def request_permission(self, **kwargs):
            await anyio.sleep(100)

    executor = with_processor(Slow, max_queue_size=1)
    await executor.start()
    await executor.append(Job())
    await anyio.sleep(1)
    await executor.cleanup_events(["pending"])
    assert executor.statistics().waits == {}
    await executor.stop(grace=0)
    assert executor.processor.queue.empty()
    await executor.append(Job())


async def test_a_key_of_an_event_that_was_taken_out_by_hand():
    """It is free again."""
    executor = make_executor()
    gone = await executor.append(Job(), key="k")
    executor.states.remove_item(gone.id)
    new = Job()
    assert await executor.append(new, key="k") is new


async def test_a_copy_of_an_event_that_was_removed_and_runs_is_refused():
    """Two events of one id never run in one executor: the second one to land would take the executor down."""
    gate = anyio.Event()
    async with make_executor() as executor:
        event = await executor.append(Job(gate=gate))
        await anyio.sleep(1)
        assert await executor.cleanup_events(["processing"]) == 1
        copy = Job(id=event.id)
        with pytest.raises(ExistsError, match="still runs here"):
            await executor.append(copy)
        assert copy not in executor
        assert owner_of(copy) is None
        await executor.append(event)  # itself may come back
        gate.set()
        await event.wait()
    assert event.status is EventStatus.COMPLETED
    check_invariants(executor)


async def test_append_where_a_progression_was_taken_out_leaves_nothing_behind():
    """What is refused because the progression is gone is not among the items."""
    executor = make_executor()
    executor.states.remove_progression("pending")
    event = Job()
    with pytest.raises(ConfigurationError, match="taken out"):
        await executor.append(event)
    assert event not in executor
    assert owner_of(event) is None


async def test_an_event_made_as_processing_and_set_back_is_well():
    """What may be set by hand is no broken record."""
    async with make_executor() as executor:
        trace = record(executor)
        event = await executor.append(Job(execution=Execution(status=EventStatus.PROCESSING)))
        event.status = EventStatus.PENDING
        check_invariants(executor)
        await event.wait()
    trace.check()
