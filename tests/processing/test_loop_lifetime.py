"""The states of a processor's loop: every pair of them, and how a loop comes to each."""

import anyio
import pytest
from parts import processor_lifetime, state_machine
from support import Job, make_executor, view

LoopState = processor_lifetime.LoopState
StateMachine = state_machine.StateMachine
InvalidStateChange = state_machine.InvalidStateChange

pytestmark = pytest.mark.anyio

LEGAL = {
    LoopState.IDLE: {"starting"},
    LoopState.STARTING: {"active", "leaving"},
    LoopState.ACTIVE: {"draining", "leaving"},
    LoopState.DRAINING: {"active", "leaving"},
    LoopState.LEAVING: {"idle"},
}


def state_of(processor):
    """Return what the loop of a processor does."""
    return view.ProcessorView(processor).loop_state


@pytest.mark.parametrize("target", LoopState, ids=lambda state: state.value)
@pytest.mark.parametrize("source", LoopState, ids=lambda state: state.value)
def test_every_pair_of_states(source, target):
    """A loop goes to the states that may follow, and to no other."""
    machine = StateMachine("processor loop", processor_lifetime.LOOP_TRANSITIONS, source)
    if target.value in LEGAL[source]:
        machine.move_to(target)
        assert machine.state is target
    else:
        with pytest.raises(InvalidStateChange, match=f"processor loop cannot go from {source.name} to {target.name}"):
            machine.move_to(target)
        assert machine.state is source


async def test_a_loop_that_is_stopped_drains_then_leaves():
    """While an event runs after stop() the loop drains; when the event has ended, the loop is idle."""
    executor = make_executor()
    async with executor:
        processor = executor.processor
        event = await executor.append(Job(seconds=5.0))
        await anyio.sleep(1)
        assert state_of(processor) is LoopState.ACTIVE
        await processor.stop()
        await anyio.sleep(1)
        assert state_of(processor) is LoopState.DRAINING
        await event.wait()
        await anyio.sleep(1)
        assert state_of(processor) is LoopState.IDLE


async def test_start_takes_a_draining_loop_back():
    """start() while an event still runs makes the same loop active again."""
    executor = make_executor()
    async with executor:
        processor = executor.processor
        await executor.append(Job(seconds=5.0))
        await anyio.sleep(1)
        await processor.stop()
        await processor.start()
        assert state_of(processor) is LoopState.ACTIVE
        later = await executor.append(Job())
        await anyio.sleep(1)
        assert later.status == "completed"


async def test_a_cancelled_loop_is_idle():
    """A loop that was cancelled while it drained can be followed by another one."""
    executor = make_executor()
    async with executor:
        processor = executor.processor
        await executor.append(Job(seconds=500.0))
        await anyio.sleep(1)
        await executor.stop(grace=1)
        await anyio.sleep(1)
        assert state_of(processor) is LoopState.IDLE
        await executor.start()
        later = await executor.append(Job())
        await later.wait()
        assert state_of(processor) is LoopState.ACTIVE
