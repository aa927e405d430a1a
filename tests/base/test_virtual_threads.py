"""Virtual time, and threads that wait for the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from anyio import from_thread, to_thread

from lionpride_exec.testing import BACKENDS, Deadlock, run

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


async def an_hour():
    """Wait for an hour of virtual time."""
    await anyio.sleep(3600)
    return anyio.current_time()


@pytest.mark.parametrize("timeout", [None, 7200])
def test_a_thread_runs_what_waits(backend, timeout):
    """from_thread.run() of something that takes an hour returns at once, within a scope with a deadline or not."""

    async def main():
        with anyio.move_on_after(timeout):
            return await to_thread.run_sync(from_thread.run, an_hour)

    assert run(main, backend=backend) == 3600


def test_a_thread_asks_for_a_sync_function(backend):
    """from_thread.run_sync() before and after an hour tells the times."""

    def work():
        return [
            from_thread.run_sync(anyio.current_time),
            from_thread.run(an_hour),
            from_thread.run_sync(anyio.current_time),
        ]

    assert run(to_thread.run_sync, work, backend=backend) == [0, 3600, 3600]


def test_threads_within_threads(backend):
    """What a thread has asked for may itself use a thread that asks."""

    async def nested():
        await anyio.sleep(60)
        return await to_thread.run_sync(from_thread.run, an_hour)

    assert run(to_thread.run_sync, from_thread.run, nested, backend=backend) == 3660


def test_several_threads_wait(backend):
    """Threads that wait for different times end in their order, each at its time."""
    ended = []

    async def wait(seconds):
        await anyio.sleep(seconds)
        return anyio.current_time()

    async def main():
        async with anyio.create_task_group() as group:
            for seconds in (30, 10, 20):
                group.start_soon(work, seconds)

    async def work(seconds):
        ended.append(await to_thread.run_sync(from_thread.run, wait, seconds))

    run(main, backend=backend)
    assert ended == [10, 20, 30]


class InThread:
    """Something to wait for, without a coroutine of its own."""

    def __await__(self):
        return to_thread.run_sync(from_thread.run, an_hour).__await__()


async def in_thread_steps():
    """Have a thread ask for an hour, in a step of an async generator."""
    yield await to_thread.run_sync(from_thread.run, an_hour)


def test_a_thread_asks_from_within_other_awaitables(backend):
    """A thread is found to wait also where its task is in an async generator or an object of another class."""

    async def main():
        return [await InThread()] + [hours async for hours in in_thread_steps()]

    assert run(main, backend=backend) == [3600, 7200]


def test_a_thread_that_works_still_holds_the_clock(backend):
    """While one thread waits for the event loop and another works, no time passes."""
    order = []

    def work():
        sum(range(1_000_000))
        order.append("worked")

    async def wait():
        await an_hour()
        order.append("waited")

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(to_thread.run_sync, from_thread.run, wait)
            group.start_soon(to_thread.run_sync, work)

    run(main, backend=backend)
    assert order == ["worked", "waited"]


def ask_by_call(portal):
    """Ask a portal in one step."""
    return portal.call(an_hour)


def ask_by_future(portal):
    """Ask a portal, and wait for the future."""
    return portal.start_task_soon(an_hour).result()


def ask_by_task_status(portal):
    """Ask a portal for a task that says when it has started."""

    async def start(*, task_status):
        task_status.started(await an_hour())

    return portal.start_task(start)[1]


@pytest.mark.parametrize("ask", [ask_by_call, ask_by_future, ask_by_task_status])
def test_a_thread_uses_a_portal(backend, ask):
    """A thread may ask a BlockingPortal in each of its ways."""

    async def main():
        async with from_thread.BlockingPortal() as portal:
            return await to_thread.run_sync(ask, portal)

    assert run(main, backend=backend) == 3600


def test_a_foreign_thread_does_not_matter(backend):
    """A thread of the program's own that is idle does not keep time from passing."""

    async def main():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            async with from_thread.BlockingPortal() as portal:
                return await to_thread.run_sync(ask_by_future, portal)

    assert run(main, backend=backend) == 3600


def test_a_deadlock_by_a_thread_is_told(backend):
    """A thread that waits for what will never come does not hide that the run is stuck."""

    async def main():
        event = anyio.Event()
        await to_thread.run_sync(from_thread.run, event.wait)

    with pytest.raises(Deadlock, match=r"test_a_deadlock_by_a_thread_is_told.<locals>.main\(\)"):
        run(main, backend=backend)


def test_a_thread_asks_asyncio_itself(backend):
    """The same by asyncio's own functions: run_in_executor() and run_coroutine_threadsafe()."""
    if backend == "trio":
        pytest.skip("asyncio's own")

    async def main():
        loop = asyncio.get_running_loop()

        def work():
            return asyncio.run_coroutine_threadsafe(an_hour(), loop).result()

        return [await to_thread.run_sync(work), await loop.run_in_executor(None, work)]

    assert run(main, backend=backend) == [3600, 7200]
