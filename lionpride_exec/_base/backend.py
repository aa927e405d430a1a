"""
The only place that knows the backends apart, for four things that AnyIO does not offer.

One is a task that belongs to no task group, for ``Executor.start()``. There is none in AnyIO for good reasons: nobody
waits for it and nobody gets its exception. The executor makes up for both; it keeps the exception and raises it at its
next call. The second is a call from another thread that does not wait for its result. The third is a clock that is
finer than the one of the event loop, where that one is coarse. The fourth is a task in a group that leaves nothing
behind when it is cancelled before its first step.

Which backend runs is asked with ``in_trio_task()``. ``in_trio_run()`` is also true in the tasks of an asyncio loop
that hosts a trio guest run.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Coroutine
from contextvars import copy_context
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVarTuple, cast
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Args = TypeVarTuple("Args")

# The clock of libuv counts whole milliseconds, rounded down.
TICKS_PER_SECOND: Final = 1000

# Beyond this time, about two million years, a float cannot tell ticks apart.
MAX_TICKED: Final = 2.0**46

# The seconds by which a loop's reading of a clock may be behind that clock: some loops read it once in each pass, which
# may be long.
MAX_LAG: Final = 60.0

# How long in real time, which is what others lose, one task goes on without a checkpoint while it has work. With events
# that never wait it bounds the lag of the event loop: this, or one event, times the workers.
TIME_SLICE: Final = 250e-6

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
    lowlevel = _trio_lowlevel()
    if lowlevel is not None:

        async def run_to_end() -> None:
            """Do what asyncio's done callback does."""
            try:
                await run()
            finally:
                on_end()

        lowlevel.spawn_system_task(run_to_end, name=name, context=copy_context())
        return lambda: False
    task = asyncio.get_running_loop().create_task(_Deferred(run), name=name)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    task.add_done_callback(lambda _: on_end())
    return lambda: task.cancelling() > 0


def startable(function: Callable[[*Args], Coroutine[Any, Any, None]]) -> Callable[[*Args], Coroutine[Any, Any, None]]:
    """
    Return what to give to ``start_soon()`` of a task group of the running event loop instead of a function.

    AnyIO makes the coroutine of a task at once. On asyncio a task that is cancelled before its first step, as by the
    end of the event loop, then leaves a coroutine behind that "was never awaited". Here the coroutine is made at the
    first step. On trio each task takes its first step.
    """
    if _trio_lowlevel() is not None:
        return function
    return cast("Callable[[*Args], Coroutine[Any, Any, None]]", partial(_Deferred, function))


class _Deferred(Coroutine[Any, Any, None]):
    """A coroutine that begins to exist at its first step."""

    __slots__ = ("_args", "_coroutine", "_function")

    def __init__(self, function: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        self._function = function
        self._args = args
        self._coroutine: Coroutine[Any, Any, None] | None = None

    def _begin(self) -> Coroutine[Any, Any, None]:
        if self._coroutine is None:
            self._coroutine = self._function(*self._args)
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        self._coroutine = coroutine = self._function(*self._args)
        return coroutine.__await__()  # so the steps go past this object

    def send(self, value: Any) -> Any:
        """Take a step."""
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """Take a step that begins with an error; if it is the first one, it does nothing else."""
        if self._coroutine is None:
            self._function = _raise_at_once
            self._args = ()
        return self._begin().throw(*error)

    def close(self) -> None:
        """End it; if it has not begun, there is nothing to be done."""
        if self._coroutine is not None:
            self._coroutine.close()


async def _raise_at_once() -> None:
    """Stand for a coroutine that is thrown into before its first step."""


def soon_caller() -> Callable[[Callable[[], object]], bool] | None:
    """
    Return a function that makes the running event loop call another one soon. None if no event loop runs.

    It may be used in any thread and within anything, so also by the garbage collector. It gives False, and does
    nothing, when the event loop has ended.
    """
    lowlevel = _trio_lowlevel()
    schedule: Callable[[Callable[[], object]], object]
    if lowlevel is not None:
        schedule = lowlevel.current_trio_token().run_sync_soon
    else:
        try:
            schedule = asyncio.get_running_loop().call_soon_threadsafe
        except RuntimeError:
            return None

    def call_soon(function: Callable[[], object]) -> bool:
        """Schedule the call. Return False if the event loop has ended."""
        try:
            schedule(function)
        except RuntimeError:
            return False
        return True

    return call_soon


def loop_clock() -> Callable[[], float]:
    """
    Return the clock of the running event loop, read the short way: ``anyio.current_time()``, or finer.

    Where the clock of the event loop is coarse, as on uvloop, it is a finer clock that is never behind the event
    loop's own. So a time that was noted by it is never too early, and what waits for a time never starts too early.

    Raises:
        RuntimeError: No event loop runs.
    """
    lowlevel = _trio_lowlevel()
    if lowlevel is not None:
        clock: Callable[[], float] = lowlevel.current_clock().current_time
        return clock
    loop = asyncio.get_running_loop()
    return _fine_clock(loop) or loop.time


def current_time() -> float:
    """Return the time by :func:`loop_clock`."""
    return loop_clock()()


def scope_deadline(until: float) -> float:
    """
    Return the deadline of a cancel scope that ends when :func:`current_time` is ``until`` or later, not before.

    On a coarse clock a deadline that is no whole number of ticks would be reached too early by the timer, which AnyIO
    then sets again and again until the tick is over. So the deadline is the next whole tick.

    Raises:
        RuntimeError: No event loop runs.
    """
    if _trio_lowlevel() is not None:
        return until
    loop = asyncio.get_running_loop()
    clock = _fine_clock(loop)
    now = loop.time()
    if clock is None or not now < until < MAX_TICKED:
        return until
    until += max(now - clock(), 0.0)  # not 0 if the computer has slept since, which some clocks count and some do not
    ticks = int(until * TICKS_PER_SECOND)
    while ticks / TICKS_PER_SECOND < until:
        ticks += 1
    return ticks / TICKS_PER_SECOND


def timeout_deadline(seconds: float | None) -> float:
    """
    Return the deadline of a cancel scope that ends after so many seconds, not before; ``inf`` for None.

    Raises:
        RuntimeError: No event loop runs.
    """
    return math.inf if seconds is None else scope_deadline(current_time() + seconds)


def asyncio_task() -> asyncio.Task[Any] | None:
    """Return the running task if it is one of asyncio's: those can be cancelled past all scopes."""
    if _trio_lowlevel() is not None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _trio_lowlevel() -> Any:
    """Return ``trio.lowlevel`` if a task of trio runs, else None."""
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)  # another thread may be importing it just now
    return lowlevel if lowlevel is not None and lowlevel.in_trio_task() else None


class _FineClock:
    """A clock that goes beside the coarse one of an event loop."""

    # Kept here, so that tests which stop the clocks of a program (freezegun) do not stop this one: the event loop's
    # own cannot be stopped.
    read = staticmethod(time.perf_counter)

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def __call__(self) -> float:
        return self.read() + self._ahead


# The finer clock for each event loop; None if its own clock is exact.
_fine_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[], float] | None] = WeakKeyDictionary()


def _fine_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float] | None:
    """Return a clock for a loop whose own is coarse; None if it is exact."""
    try:
        return _fine_clocks[loop]
    except KeyError:
        clock = _fine_clocks[loop] = _make_fine_clock(loop) if _is_coarse(loop) else None
        return clock


def _is_coarse(loop: asyncio.AbstractEventLoop) -> bool:
    """
    Tell whether a loop's clock counts milliseconds.

    The loops of asyncio say what their clock can tell apart. Of the others, those on libuv have coarse clocks, and a
    clock that is written in Python is a virtual one, which is exact.
    """
    resolution: float | None = getattr(loop, "_clock_resolution", None)
    if resolution is not None:
        return resolution >= 1 / TICKS_PER_SECOND
    return not isinstance(getattr(loop.time, "__func__", loop.time), FunctionType)


def _make_fine_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    behind = loop.time() - _FineClock.read()
    if -MAX_LAG < behind <= 0:
        return _FineClock.read  # the loop reads the same clock
    return _FineClock(behind + 1 / TICKS_PER_SECOND)
