"""
The only place that knows the backends apart, for two things that AnyIO does not offer.

One is a task that belongs to no task group, for ``Executor.start()``. There is none in AnyIO for good reasons: nobody
waits for it and nobody gets its exception. The executor makes up for both; it keeps the exception and raises it at its
next call. The other is a call from another thread that does not wait for its result.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

# asyncio itself keeps only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


def spawn(run: Callable[[], Coroutine[Any, Any, None]], name: str, on_end: Callable[[], None]) -> Callable[[], bool]:
    """
    Start ``run()`` as a root task of the running event loop: asyncio: a task; trio: a system task.

    It is cancelled when the event loop ends. On trio it must not raise anything but a cancellation. ``on_end()`` is
    called when it has ended, also if it was cancelled before its first step.

    Returns:
        A function that tells whether the task is being cancelled past all scopes, as asyncio does when it ends a loop.

    Raises:
        RuntimeError: No event loop runs.
    """
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)  # another thread may be importing it just now
    if lowlevel is not None and lowlevel.in_trio_task():

        async def run_to_end() -> None:
            """Do what asyncio's done callback does."""
            try:
                await run()
            finally:
                on_end()

        lowlevel.spawn_system_task(run_to_end, name=name, context=copy_context())
        return lambda: False
    task = asyncio.get_running_loop().create_task(run(), name=name)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    task.add_done_callback(lambda _: on_end())
    return lambda: task.cancelling() > 0


def soon_caller() -> Callable[[Callable[[], object]], bool] | None:
    """
    Give a function that has another one called by the running event loop, soon; None: no event loop runs.

    It may be used in any thread and within anything, so also by the garbage collector. It gives False, and does
    nothing, when the event loop has ended.
    """
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    schedule: Callable[[Callable[[], object]], object]
    if lowlevel is not None and lowlevel.in_trio_run():
        schedule = lowlevel.current_trio_token().run_sync_soon
    else:
        try:
            schedule = asyncio.get_running_loop().call_soon_threadsafe
        except RuntimeError:
            return None

    def call_soon(function: Callable[[], object]) -> bool:
        """Have it called; False: the event loop has ended, and nobody does any more."""
        try:
            schedule(function)
        except RuntimeError:
            return False
        return True

    return call_soon


def loop_clock() -> Callable[[], float]:
    """
    Give the clock behind ``anyio.current_time()`` of the running event loop, without the way to it.

    Raises:
        RuntimeError: No event loop runs.
    """
    trio = sys.modules.get("trio")
    lowlevel = getattr(trio, "lowlevel", None)
    if lowlevel is not None and lowlevel.in_trio_task():
        clock: Callable[[], float] = lowlevel.current_clock().current_time
        return clock
    return asyncio.get_running_loop().time


def asyncio_task() -> asyncio.Task[Any] | None:
    """Give the running task if it is one of asyncio's: those can be cancelled past all scopes."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
