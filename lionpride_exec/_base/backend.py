"""
The only module that treats the backends differently, for five things that AnyIO does not offer.

1. A task that belongs to no task group, for ``Executor.start()``. AnyIO has none for good reasons: no task waits for it
   or gets its exception. The executor does both: it keeps the exception and raises it at its next call.
2. A call from another thread that does not wait for the result.
3. A clock that is finer than the clock of the event loop, for event loops with a coarse clock.
4. A task in a group that leaves nothing behind when it is cancelled before its first step.
5. Whether the clock of the event loop is a virtual one, for tasks that look at something outside from time to time.

``in_trio_task()`` tells which backend runs. ``in_trio_run()`` would not do: it is also true in the tasks of an asyncio
loop that hosts a trio guest run.
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

# Above this time, about two million years, a float cannot represent single ticks.
MAX_TICKED: Final = 2.0**46

# How many seconds the time of an event loop may be behind its clock. Some event loops read the clock once in each pass,
# and a pass may be long.
MAX_LAG: Final = 60.0

# How many seconds of real time one task goes on without a checkpoint while it has work. With events that never wait,
# this bounds the lag of the event loop: the number of workers times this time, or times one event if that is longer.
TIME_SLICE: Final = 150e-6


class NobodyWaits:
    """The ``task_status`` of :meth:`Executor.run` if no task waits until it has started. See ``NOBODY_WAITS``."""

    def started(self, value: None = None) -> None:
        """Do nothing."""


# Does what ``anyio.TASK_STATUS_IGNORED`` does. To read that name at the import of the package would load half of AnyIO.
NOBODY_WAITS: Final = NobodyWaits()

# asyncio itself keeps only weak references to its tasks.
_tasks: set[asyncio.Task[None]] = set()


def spawn(run: Callable[[], Coroutine[Any, Any, None]], name: str, on_end: Callable[[], None]) -> Callable[[], bool]:
    """
    Start ``run()`` as a root task of the running event loop: a task of asyncio, or a system task of trio.

    The task is cancelled when the event loop ends. On trio the task must not raise any exception but a cancellation.
    ``on_end()`` is called when the task has ended, also if the task was cancelled before its first step.

    Returns:
        A function that returns whether the task is being cancelled past all cancel scopes. asyncio does so when an
        event loop ends.

    Raises:
        RuntimeError: No event loop runs.
    """
    lowlevel = _trio_lowlevel()
    if lowlevel is not None:

        async def run_to_end() -> None:
            """Call ``on_end()`` at the end, as the done callback does on asyncio."""
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
    Return a function to pass to ``start_soon()`` of a task group instead of ``function``.

    AnyIO makes the coroutine of a task at once. If asyncio cancels the task before its first step, for instance at the
    end of the event loop, it then warns that the coroutine "was never awaited". The function that is returned makes the
    coroutine at the first step. On trio each task takes its first step, so ``function`` itself is returned.
    """
    if _trio_lowlevel() is not None:
        return function
    return cast("Callable[[*Args], Coroutine[Any, Any, None]]", partial(_Deferred, function))


class _Deferred(Coroutine[Any, Any, None]):
    """A coroutine that is made at its first step."""

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
        return coroutine.__await__()  # later steps then bypass this object

    def send(self, value: Any) -> Any:
        """Take a step."""
        return self._begin().send(value)

    def throw(self, *error: Any) -> Any:
        """Take a step that begins with an error. If it is the first step, only raise the error."""
        if self._coroutine is None:
            self._function = _raise_at_once
            self._args = ()
        return self._begin().throw(*error)

    def close(self) -> None:
        """Close the coroutine. Do nothing if it has not been made."""
        if self._coroutine is not None:
            self._coroutine.close()


async def _raise_at_once() -> None:
    """Replace a coroutine that gets an error before its first step."""


def soon_caller() -> Callable[[Callable[[], object]], bool] | None:
    """
    Return a function that makes the running event loop call another function soon. None if no event loop runs.

    The function works in any thread and at any time, also in the garbage collector. It returns False, and does nothing,
    after the event loop has ended.
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


def running_loop() -> object:
    """
    Return what stands for the running event loop, as ``anyio.lowlevel.current_token()`` in a fifth of the time.

    Raises:
        RuntimeError: No event loop runs.
    """
    lowlevel = _trio_lowlevel()
    return asyncio.get_running_loop() if lowlevel is None else lowlevel.current_trio_token()


def has_virtual_clock() -> bool:
    """
    Return whether the clock of the running event loop jumps: a ``MockClock`` of trio, or a loop of ``testing``.

    Raises:
        RuntimeError: No event loop runs.
    """
    lowlevel = _trio_lowlevel()
    if lowlevel is not None:
        return type(lowlevel.current_clock()).__name__ == "MockClock"
    return getattr(asyncio.get_running_loop(), "has_virtual_clock", False) is True


def loop_clock() -> Callable[[], float]:
    """
    Return a function that returns the time of the running event loop in seconds: ``anyio.current_time()``, or finer.

    If the clock of the event loop is coarse, as on uvloop, the function reads a finer clock. The finer clock is never
    behind the clock of the event loop. So no recorded time is too early, and no event starts too early.

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
    """Return the time of :func:`loop_clock`, in seconds."""
    return loop_clock()()


def scope_deadline(until: float) -> float:
    """
    Return the deadline for a cancel scope that must not end before :func:`current_time` is ``until``.

    With a coarse clock, a timer for a deadline between two ticks fires too early, and AnyIO sets it again and again
    until the tick is over. So the deadline is the next whole tick.

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
    until += max(now - clock(), 0.0)  # not 0 after the computer has slept, since not all clocks count sleep
    ticks = int(until * TICKS_PER_SECOND)
    while ticks / TICKS_PER_SECOND < until:
        ticks += 1
    return ticks / TICKS_PER_SECOND


def timeout_deadline(seconds: float | None) -> float:
    """
    Return the deadline for a cancel scope that must not end before some seconds have passed. ``inf`` for None.

    Raises:
        RuntimeError: No event loop runs.
    """
    return math.inf if seconds is None else scope_deadline(current_time() + seconds)


def asyncio_task() -> asyncio.Task[Any] | None:
    """Return the running task of asyncio, which can be cancelled past all scopes. None on trio or without a task."""
    if _trio_lowlevel() is not None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def backend_name() -> str:
    """Return the backend that runs this task: "asyncio" or "trio"."""
    return "asyncio" if _trio_lowlevel() is None else "trio"


def _trio_lowlevel() -> Any:
    """Return ``trio.lowlevel`` if a task of trio runs. Otherwise return None."""
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)  # another thread may be importing it just now
    return lowlevel if lowlevel is not None and lowlevel.in_trio_task() else None


class _FineClock:
    """A fine clock that agrees with the coarse clock of an event loop."""

    # A class attribute, so that tests which freeze the clocks of a program (freezegun) do not freeze this one: the
    # clock of the event loop cannot be frozen either.
    read = staticmethod(time.perf_counter)

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def __call__(self) -> float:
        return self.read() + self._ahead


# The finer clock for each event loop. None if the clock of the event loop is exact.
_fine_clocks: WeakKeyDictionary[asyncio.AbstractEventLoop, Callable[[], float] | None] = WeakKeyDictionary()


def _fine_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float] | None:
    """Return a fine clock for an event loop with a coarse clock. None if the clock of the event loop is exact."""
    try:
        return _fine_clocks[loop]
    except KeyError:
        clock = _fine_clocks[loop] = _make_fine_clock(loop) if _is_coarse(loop) else None
        return clock


def _is_coarse(loop: asyncio.AbstractEventLoop) -> bool:
    """
    Return whether the clock of an event loop counts whole milliseconds.

    The event loops of asyncio state the resolution of their clock. Of the other event loops, those on libuv have coarse
    clocks. A clock that is written in Python is a virtual clock, which is exact.
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
