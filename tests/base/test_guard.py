"""Guard, and the containers that have one."""

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from lionpride_exec import Pile, Progression

pytestmark = pytest.mark.anyio


def make_guard():
    """Make a guard, with the container to which it belongs."""
    return Progression().guard


async def test_it_excludes_other_tasks():
    """One task at a time; `users` counts the holder and those who wait."""
    guard = make_guard()
    seen = []

    async def use(name):
        async with guard:
            seen.append(f"{name} in")
            await checkpoint()
            seen.append(f"{name} out")

    async with anyio.create_task_group() as tg:
        async with guard:
            tg.start_soon(use, "a")
            tg.start_soon(use, "b")
            await wait_all_tasks_blocked()
            assert seen == []
            assert guard.users == 3
    assert seen in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
    assert guard.users == 0


async def test_a_free_one_is_taken_without_yielding():
    """Nobody else runs between asking for a free guard and having it."""
    ran = []
    async with anyio.create_task_group() as tg:
        tg.start_soon(lambda: _note(ran))
        async with make_guard():
            assert ran == []
    assert ran == [True]


async def _note(ran):
    ran.append(True)


@pytest.mark.parametrize("make", [make_guard, Progression, Pile])
async def test_it_is_not_reentrant(make):
    """Entering it twice from one task is refused, and does not let go of the first."""
    guarded = make()
    guard = guarded if not isinstance(guarded, Pile | Progression) else guarded.guard
    async with guarded:
        with pytest.raises(RuntimeError, match="already held"):
            async with guarded:
                raise AssertionError("entered twice")
        assert guard.users == 1
    assert guard.users == 0


async def test_a_cancelled_waiter_leaves_nothing_behind():
    """Whoever gives up waiting is not counted any more; the guard stays usable."""
    guard = make_guard()

    async def wait():
        async with guard:
            raise AssertionError("entered")

    async with guard:
        async with anyio.create_task_group() as tg:
            tg.start_soon(wait)
            await wait_all_tasks_blocked()
            assert guard.users == 2
            tg.cancel_scope.cancel()
        assert guard.users == 1
    async with guard:
        assert guard.users == 1


async def test_an_error_inside_lets_it_go():
    """It is free again, and the error goes on."""
    guard = make_guard()
    with pytest.raises(ZeroDivisionError):
        async with guard:
            raise ZeroDivisionError
    assert guard.users == 0
    async with guard:
        pass


@pytest.mark.parametrize("make", [Progression, Pile])
async def test_methods_do_not_take_it(make):
    """Inside `async with`, which gives the container itself, all methods work."""
    container = make()
    async with container as entered:
        assert entered is container
        container.include(Progression())
        assert len(container) == 1
        container.clear()


def test_it_outlives_event_loops():
    """One guard serves one loop after another, of either backend."""
    guard = make_guard()

    async def use():
        async with guard:
            await checkpoint()

    for backend in ("asyncio", "trio", "asyncio"):
        anyio.run(use, backend=backend)
        assert guard.users == 0
