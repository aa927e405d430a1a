"""
Which threads wait for the event loop.

A thread that works holds the virtual clock. But a thread may call back into the event loop, for example by
``anyio.from_thread.run()``. While it waits for the answer it does no work, so it must not hold the clock: what it waits
for may itself wait for the clock.

No library tells from outside what a thread waits for. So this module looks at the stack of the thread. A thread that
waits for the event loop stands in ``concurrent.futures.Future.result()``, or in the function of trio that sends a
message to the event loop. In both cases the question has been sent by then. Whether the answer has been given is told
by the future. The queue by which trio answers does not tell: from Python 3.13 on, it hands the answer to the waiting
thread and is empty at once, while the thread has not moved yet. So a task has to be at work on the message.
"""

from __future__ import annotations

import gc
import sys
import threading
from concurrent.futures import Future
from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio.from_thread

from .deadlock import frame_of, next_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from types import CodeType, FrameType

    Task = tuple[str, Any]  # its name and its coroutine

# Where a thread stands that waits for a future.
_WAITING = frozenset({Future.result.__code__, Future.exception.__code__})

# Whose futures are answered by the event loop.
_ASKING_MODULES = frozenset({"anyio.from_thread", "anyio._backends._asyncio", "anyio._backends._trio"})

# How anyio runs what a thread has asked a portal for; it has the future in a variable.
_PORTAL_CALL: CodeType = anyio.from_thread.BlockingPortal._call_func.__code__
_PORTAL_FUTURE = "future"

# The module of trio by which threads and tasks talk.
_TRIO_THREADS = "trio._threads"


def stacks() -> Iterator[tuple[int, FrameType]]:
    """
    Iterate over the identifier and the innermost frame of each other thread.

    The garbage collector rests meanwhile. On CPython 3.11.7, a collection that begins in the call below waits for
    a lock that the call holds, for ever.
    """
    me, collects = threading.get_ident(), gc.isenabled()
    gc.disable()
    try:
        frames = sys._current_frames()
    finally:
        if collects:
            gc.enable()
    return ((ident, frame) for ident, frame in frames.items() if ident != me)


def waits_for_answer(frame: FrameType, tasks: Iterable[Task], asked: Container[Future[Any]] = ()) -> bool:
    """
    Return whether a thread waits for the event loop by a future.

    Args:
        frame: The innermost frame of the thread.
        tasks: What is blocked in the event loop.
        asked: Futures that the event loop is known to answer.
    """
    at: FrameType | None = frame
    if at is not None and at.f_code is threading.Condition.wait.__code__:
        at = at.f_back
    if at is None or at.f_code not in _WAITING:
        return False
    future: Future[Any] = at.f_locals["self"]
    if future.done():
        return False
    asker = at.f_back
    is_asked_by_anyio = asker is not None and asker.f_globals.get("__name__") in _ASKING_MODULES
    return is_asked_by_anyio or future in asked or any(_answers(coroutine, future) for _, coroutine in tasks)


def _answers(coroutine: Any, future: Future[Any]) -> bool:
    """Return whether a task does what a portal was asked for, and will set this future."""
    while coroutine is not None:
        frame = frame_of(coroutine)
        if frame is not None and frame.f_code is _PORTAL_CALL:
            return frame.f_locals.get(_PORTAL_FUTURE) is future
        coroutine = next_of(coroutine)
    return False


def _works_on(coroutine: Any, message: object) -> bool:
    """Return whether a task runs what a thread has sent to trio, and will answer."""
    while coroutine is not None:
        frame = frame_of(coroutine)
        if (
            frame is not None
            and frame.f_globals.get("__name__") == _TRIO_THREADS
            and frame.f_locals.get("self") is message
        ):
            return True
        coroutine = next_of(coroutine)
    return False


def futures_of(callback: Any) -> Iterator[Future[Any]]:
    """Yield the futures that a callback from another thread has with it: asyncio's ``run_coroutine_threadsafe()``."""
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            value: object = cell.cell_contents
        except ValueError:  # the cell is empty
            continue
        if isinstance(value, Future):
            yield value


class TrioThreads:
    """Looks at the threads of trio. Use it in trio's own thread."""

    def __init__(self) -> None:
        send: Any = getattr(import_module(_TRIO_THREADS), "_send_message_to_trio", None)
        self._sends: CodeType | None = getattr(
            send, "__code__", None
        )  # None in versions of trio that do this in another way
        # The last statement of that function waits; before it the message has not been sent.
        lines = [] if self._sends is None else [line for _, _, line in self._sends.co_lines() if line is not None]
        self._waits_at = max(lines, default=0)

    def waiting(self, tasks: Iterable[Task]) -> int:
        """Count the threads that work for trio and wait for its event loop."""
        tasks = list(tasks)
        workers = {thread.ident for thread in threading.enumerate() if is_thread_of_trio(thread)}
        return sum(
            self._waits(frame, tasks) or waits_for_answer(frame, tasks) for ident, frame in stacks() if ident in workers
        )

    def _waits(self, frame: FrameType, tasks: Iterable[Task]) -> bool:
        if frame.f_code is not self._sends or frame.f_lineno != self._waits_at:
            return False
        message = frame.f_locals["message_to_trio"]
        return any(_works_on(coroutine, message) for _, coroutine in tasks)


def is_thread_of_trio(thread: threading.Thread) -> bool:
    """
    Return whether a thread is one that trio made to work for its event loop.

    Its stack would say so too. But CPython 3.11 can crash while one thread walks over the frames of another one that
    runs at the moment.
    """
    target: object = getattr(thread, "_target", None)  # of the standard library; gone once the thread has ended
    worker: object = getattr(target, "__self__", None)
    return type(worker).__module__ == "trio._core._thread_cache"
