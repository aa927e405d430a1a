"""The end of an event loop, at each moment of an executor's start: nothing is left that was never awaited."""

import asyncio
import gc
import sys
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint
from support import Job, make_executor

from lionpride_exec import Executor
from lionpride_exec.testing import BACKENDS, backend_options

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(autouse=True)
def complaints(monkeypatch):
    """Collect what Python complains about when objects are destroyed; there must be nothing."""
    found = []
    gc.collect()
    monkeypatch.setattr(sys, "unraisablehook", lambda told: found.append(str(told.exc_value)))
    yield found
    gc.collect()
    assert not found


def run(backend, function):
    """Run a function, whose loop then ends."""
    name, options = backend_options(backend)
    return anyio.run(function, backend=name, backend_options=options)


async def started(steps, number=3):
    """Start an executor, append events, and take some steps."""
    executor = make_executor()
    await executor.start()
    for _ in range(number):
        await executor.append(Job(seconds=1.0))
    for _ in range(steps):
        await checkpoint()
    return executor


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("steps", range(4))
def test_the_loop_ends_soon_after_the_start(backend, steps, number):
    """The function returns while the executor is being started."""
    run(backend, partial(started, steps, number))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("steps", range(3))
def test_an_error_ends_the_loop(backend, steps, error):
    """The function raises while the executor is being started."""

    async def main():
        await started(steps)
        raise error

    with pytest.raises(error):
        run(backend, main)


@pytest.mark.parametrize("steps", range(3))
def test_an_error_leaves_the_block(backend, steps):
    """The block is left by an error while its tasks are being started."""

    async def main():
        async with make_executor() as executor:
            await executor.append(Job(seconds=1.0))
            for _ in range(steps):
                await checkpoint()
            raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        run(backend, main)
    assert caught.group_contains(KeyboardInterrupt)


@pytest.mark.parametrize("steps", range(4))
def test_the_main_task_is_cancelled(backend, steps):
    """asyncio.run() is cancelled, as by Ctrl-C, while the executor is being started; on trio a scope is."""

    async def main():
        with anyio.CancelScope() as scope:
            (scope if backend == "trio" else asyncio.current_task()).cancel()
            await started(steps, number=1)
            await checkpoint()

    try:
        run(backend, main)
    except asyncio.CancelledError:
        assert backend != "trio"


def test_an_executor_starts_while_the_loop_ends(backend):
    """An async generator that is closed at the end of the loop starts an executor."""
    kept = []

    async def numbers():
        try:
            yield 1
        finally:
            await started(0)

    async def main():
        generator = numbers()
        kept.append(generator)
        assert await anext(generator) == 1

    run(backend, main)


@pytest.mark.parametrize("steps", range(3))
def test_a_map_ends_with_its_loop(backend, steps):
    """The loop ends while a source is being read."""
    kept = []

    async def source():
        for number in range(10):
            yield number
            await checkpoint()

    async def main():
        executor = Executor.of(anyio.sleep)
        await executor.start()
        calls = executor.map(anyio.sleep, source())
        kept.append((executor, calls))
        with anyio.move_on_after(0.5):
            await anext(calls)
        for _ in range(steps):
            await checkpoint()

    run(backend, main)
    kept.clear()
