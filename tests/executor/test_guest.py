"""An executor on an asyncio loop beside a trio guest run, and one inside the guest run."""

import asyncio
import gc
from contextlib import asynccontextmanager

import anyio
import pytest
from parts import backend
from support import Job

from lionpride_exec import Executor

trio = pytest.importorskip("trio")


@asynccontextmanager
async def guest_run(function):
    """Run an async function on trio in the running asyncio loop; leave when it has ended, with an error if it had."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    trio.lowlevel.start_guest_run(
        function, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=over.set_result
    )
    try:
        yield
    finally:
        (await over).unwrap()


@asynccontextmanager
async def idle_guest():
    """Have a guest run go on that does nothing."""
    ready = asyncio.Event()
    enough = []

    async def wait():
        event = trio.Event()
        enough.append((trio.lowlevel.current_trio_token(), event))
        ready.set()
        await event.wait()

    async with guest_run(wait):
        await ready.wait()
        token, event = enough[0]
        try:
            yield
        finally:
            token.run_sync_soon(event.set)


def test_a_host_goes_on_after_a_guest_has_ended():
    """A full watcher that is dropped lets events start, also if a guest run was going on when the executor started."""

    async def main():
        with anyio.fail_after(30):
            executor = Executor.of(Job, concurrency_limit=1)
            async with idle_guest():
                await executor.start()
                watcher = executor.watch(buffer=1)  # nobody reads it, so it holds up the executor
                an_end = anyio.Event()  # not event.wait(), during which the watcher would hold nothing back
                executor.observe(lambda _, __, status: status.is_terminal and an_end.set())
                await executor.extend(Job() for _ in range(10))
                await an_end.wait()
            assert len(executor.completed_events) == 1
            del watcher
            gc.collect()
            await executor.join()
            await executor.stop()
            return len(executor.completed_events)

    assert asyncio.run(main()) == 10


def test_a_host_is_told_from_its_guest():
    """In a task of the host calls go to the host's loop and times are by its clock; in the guest by trio's."""
    found = []

    async def guest():
        found.append((backend.soon_caller(), backend.current_time(), trio.current_time()))
        assert backend.asyncio_task() is None

    async def main():
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        async with idle_guest():
            before, now, after = loop.time(), backend.current_time(), loop.time()
            assert before <= now <= after
            assert backend.asyncio_task() is asyncio.current_task()
            call_soon = backend.soon_caller()
        assert call_soon(called.set)
        async with asyncio.timeout(30):
            await called.wait()
        async with guest_run(guest):
            pass
        call_soon, guests_time, trios_time = found[0]
        assert 0 <= trios_time - guests_time < 30
        assert not call_soon(called.set)  # trio's loop has ended

    asyncio.run(main())


@pytest.mark.parametrize("lifetime", ["block", "start"])
def test_an_executor_runs_inside_a_guest(lifetime):
    """An executor whose lifetime is in the guest runs events on trio, and ends with the guest."""
    executor = Executor.of(Job)

    async def guest():
        if lifetime == "block":
            async with executor:
                await executor.extend(Job(name="guest") for _ in range(3))
        else:
            await executor.start()
            await executor.extend(Job(name="guest") for _ in range(3))
            await executor.join()

    async def main():
        async with asyncio.timeout(30), guest_run(guest):
            pass

    asyncio.run(main())
    assert [event.response for event in executor.completed_events] == ["guest"] * 3
