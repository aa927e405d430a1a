"""The states of an executor's group, dispatcher and root task: each pair of them, and how an executor comes to it."""

import asyncio

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from parts import executor_states, state_machine
from support import ASYNCIO_ONLY, Job, counts, make_executor

from lionpride_exec import ExecutorClosedError

DispatcherLifecycle = executor_states.DispatcherLifecycle
GroupLifecycle = executor_states.GroupLifecycle
GroupState = executor_states.GroupState
RootTaskLifecycle = executor_states.RootTaskLifecycle
TaskState = executor_states.TaskState
InvalidStateChange = state_machine.InvalidStateChange

pytestmark = pytest.mark.anyio

LEGAL = {
    GroupLifecycle: {
        GroupState.IDLE: {"open"},
        GroupState.OPEN: {"leaving", "idle", "broken"},
        GroupState.LEAVING: {"open", "broken"},
        GroupState.BROKEN: {"idle"},
    },
    DispatcherLifecycle: {
        TaskState.GONE: {"launched"},
        TaskState.LAUNCHED: {"running", "gone"},
        TaskState.RUNNING: {"gone", "launched"},
    },
    RootTaskLifecycle: {
        TaskState.GONE: {"launched"},
        TaskState.LAUNCHED: {"running", "gone"},
        TaskState.RUNNING: {"gone"},
    },
}
PAIRS = [(kind, source, target) for kind, rows in LEGAL.items() for source in rows for target in rows]
MOVES = {(kind, source.value, target) for kind, rows in LEGAL.items() for source in rows for target in rows[source]}


class Listener:
    """Counts how often it is told of a change."""

    def __init__(self):
        self.changes = 0

    def notify(self):
        """Count."""
        self.changes += 1


# -------------------------------------------------------------------- the tables


@pytest.mark.parametrize(("kind", "source", "target"), PAIRS, ids=lambda each: getattr(each, "value", None))
def test_each_lifetime_obeys_its_table(kind, source, target):
    """A legal move is made and told; an illegal one raises an error that names both states, and changes nothing."""
    listener = Listener()
    lifecycle = kind(listener)
    lifecycle.state = source
    if target.value in LEGAL[kind][source]:
        lifecycle.move_to(target)
        assert (lifecycle.state, listener.changes) == (target, 1)
    else:
        with pytest.raises(InvalidStateChange, match=f" cannot go from {source.name} to {target.name}$"):
            lifecycle.move_to(target)
        assert (lifecycle.state, listener.changes) == (source, 0)


def test_a_lifetime_begins_with_nothing():
    """Before the first start there is no group, no dispatcher and no root task."""
    assert GroupLifecycle(Listener()).state is GroupState.IDLE
    assert DispatcherLifecycle(Listener()).state is TaskState.GONE
    assert RootTaskLifecycle(Listener()).state is TaskState.GONE


# -------------------------------------------------------------------- how an executor comes to each state


@pytest.fixture
def moves(monkeypatch):
    """Return all moves that executors make, in order: the machine, the state before and the state after."""
    made = []
    move_to = state_machine.StateMachine.move_to

    def note(lifecycle, target):
        before = lifecycle.state
        move_to(lifecycle, target)
        if type(lifecycle) in LEGAL:
            made.append((type(lifecycle), before.value, target.value))

    monkeypatch.setattr(state_machine.StateMachine, "move_to", note)
    return made


def path(moves, kind):
    """Return the states that one kind of machine went through."""
    own = [move for move in moves if move[0] is kind]
    return [own[0][1], *(target for _, _, target in own)] if own else []


async def leave_a_block():
    """Leave a block normally, while an event runs."""
    async with make_executor() as executor:
        await executor.append(Job(seconds=1.0))
        await wait_all_tasks_blocked()


async def start_and_stop():
    """Let a root task own the group."""
    executor = make_executor()
    await executor.start()
    await executor.invoke(Job())
    await executor.stop()


async def fail_in_a_block():
    """Raise in a block whose dispatcher has not taken its first step."""
    with pytest.raises(ExceptionGroup):
        async with make_executor():
            raise ValueError


async def cancel_a_block_that_is_left():
    """Cancel a block while it waits for its events."""
    with anyio.move_on_after(5):
        async with make_executor() as executor:
            await executor.append(Job(seconds=100.0))


async def cancel_natively(name):
    """Cancel tasks by name, past all scopes, as asyncio does."""
    for task in asyncio.all_tasks():
        if task.get_name().endswith(name):
            task.cancel()
    for _ in range(2):  # the end of a task is told one step later
        await wait_all_tasks_blocked()


async def cancel_the_dispatcher():
    """Cancel the dispatcher past all scopes, then run an event."""
    async with make_executor() as executor:
        await executor.invoke(Job())
        await cancel_natively("dispatcher")
        await executor.invoke(Job())


async def cancel_the_root_task_at_once():
    """Cancel the root task before its first step."""
    executor = make_executor()
    await executor.start()
    await cancel_natively("background")


WAYS = {
    (GroupLifecycle, "idle", "open"): leave_a_block,
    (GroupLifecycle, "open", "leaving"): leave_a_block,
    (GroupLifecycle, "leaving", "open"): leave_a_block,
    (GroupLifecycle, "open", "idle"): leave_a_block,
    (GroupLifecycle, "open", "broken"): fail_in_a_block,
    (GroupLifecycle, "leaving", "broken"): cancel_a_block_that_is_left,
    (GroupLifecycle, "broken", "idle"): fail_in_a_block,
    (DispatcherLifecycle, "gone", "launched"): leave_a_block,
    (DispatcherLifecycle, "launched", "running"): leave_a_block,
    (DispatcherLifecycle, "running", "gone"): leave_a_block,
    (DispatcherLifecycle, "launched", "gone"): fail_in_a_block,
    (RootTaskLifecycle, "gone", "launched"): start_and_stop,
    (RootTaskLifecycle, "launched", "running"): start_and_stop,
    (RootTaskLifecycle, "running", "gone"): start_and_stop,
}
WAYS_ON_ASYNCIO = {  # trio has no cancellation past all scopes, and each of its tasks takes its first step
    (DispatcherLifecycle, "running", "launched"): cancel_the_dispatcher,
    (RootTaskLifecycle, "launched", "gone"): cancel_the_root_task_at_once,
}


def name_of(move):
    """Return the name of a move, for the name of a test."""
    kind, source, target = move
    return f"{kind.__name__}-{source}-{target}"


def test_each_legal_move_has_a_way():
    """The tests below make every legal move."""
    assert WAYS.keys() | WAYS_ON_ASYNCIO.keys() == MOVES


@pytest.mark.parametrize("move", WAYS, ids=name_of)
async def test_an_executor_makes_each_legal_move(move, moves):
    """Each move of the tables is made through the public methods, and each machine ends where it began."""
    await WAYS[move]()
    assert move in moves
    assert {path(moves, kind)[-1] for kind in LEGAL if path(moves, kind)} <= {"idle", "gone"}


@ASYNCIO_ONLY
@pytest.mark.parametrize("move", WAYS_ON_ASYNCIO, ids=name_of)
async def test_asyncio_makes_a_move_by_its_own_cancellation(move, moves):
    """Each move that only asyncio can make; each machine ends where it began."""
    await WAYS_ON_ASYNCIO[move]()
    assert move in moves
    assert {path(moves, kind)[-1] for kind in LEGAL if path(moves, kind)} <= {"idle", "gone"}


async def test_a_block_goes_through_its_states_in_order(moves):
    """The group opens, is left, and closes once the dispatcher has ended. There is no root task."""
    await leave_a_block()
    assert moves == [
        (GroupLifecycle, "idle", "open"),
        (DispatcherLifecycle, "gone", "launched"),
        (DispatcherLifecycle, "launched", "running"),
        (GroupLifecycle, "open", "leaving"),
        (GroupLifecycle, "leaving", "open"),
        (DispatcherLifecycle, "running", "gone"),
        (GroupLifecycle, "open", "idle"),
    ]


async def test_a_root_task_is_there_longer_than_its_group(moves):
    """start() launches a root task, which opens the group; after stop() the group closes before the root task ends."""
    await start_and_stop()
    assert moves == [
        (RootTaskLifecycle, "gone", "launched"),
        (RootTaskLifecycle, "launched", "running"),
        (GroupLifecycle, "idle", "open"),
        (DispatcherLifecycle, "gone", "launched"),
        (DispatcherLifecycle, "launched", "running"),
        (DispatcherLifecycle, "running", "gone"),
        (GroupLifecycle, "open", "idle"),
        (RootTaskLifecycle, "running", "gone"),
    ]


async def test_run_has_no_root_task_and_is_not_left(moves):
    """The group of run() goes from open to idle."""
    executor = make_executor()
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.invoke(Job())
        await executor.stop()
    assert path(moves, GroupLifecycle) == ["idle", "open", "idle"]
    assert path(moves, RootTaskLifecycle) == []


async def test_stop_and_start_in_a_block_launch_a_second_dispatcher(moves):
    """The group stays open meanwhile."""
    async with make_executor() as executor:
        await executor.invoke(Job())
        await executor.stop()
        await wait_all_tasks_blocked()
        assert path(moves, DispatcherLifecycle) == ["gone", "launched", "running", "gone"]
        await executor.start()
        await executor.invoke(Job())
        assert path(moves, DispatcherLifecycle)[3:] == ["gone", "launched", "running"]
        assert path(moves, GroupLifecycle) == ["idle", "open"]


async def test_start_while_the_group_closes_opens_the_next_group(moves):
    """The same root task opens a second group, once a slow guest has left the first one."""
    executor = make_executor()

    async def source():
        yield Job()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)

    async def read():
        with pytest.raises(ExecutorClosedError):
            async for _ in executor.map(Job, source()):
                pass

    async with anyio.create_task_group() as group:
        await executor.start()
        group.start_soon(read)
        await anyio.sleep(1)
        group.start_soon(executor.stop)
        await anyio.sleep(1)
        assert path(moves, GroupLifecycle) == ["idle", "open", "idle"]
        await executor.start()
        await executor.append(Job())
        await executor.join()
        assert path(moves, GroupLifecycle) == ["idle", "open", "idle", "open"]
        assert path(moves, RootTaskLifecycle) == ["gone", "launched", "running"]
        await executor.stop()
    assert counts(executor) == {"completed": 1}  # and that of the map, which has left the executor


@ASYNCIO_ONLY
async def test_a_root_task_that_ended_before_its_first_step_can_be_replaced(moves):
    """The second root task runs, whenever the end of the first one is told."""
    executor = make_executor()
    await executor.start()
    await cancel_natively("background")
    await executor.start()
    await executor.invoke(Job())
    await executor.stop()
    assert path(moves, RootTaskLifecycle) == ["gone", "launched", "gone", "launched", "running", "gone"]


async def test_a_block_that_is_left_goes_back_to_open_for_a_moment(moves):
    """While the block waits for its events it takes no others; a refused event changes no state."""
    executor = make_executor()
    async with anyio.create_task_group() as group:

        async def late():
            await anyio.sleep(1)
            with pytest.raises(ExecutorClosedError, match="is being left and takes nothing more in"):
                await executor.append(Job())
            assert path(moves, GroupLifecycle) == ["idle", "open", "leaving"]

        group.start_soon(late)
        async with executor:
            await executor.append(Job(seconds=2.0))
    assert path(moves, GroupLifecycle) == ["idle", "open", "leaving", "open", "idle"]
    assert counts(executor) == {"completed": 1}
