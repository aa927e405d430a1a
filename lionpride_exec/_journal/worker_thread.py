"""
The one place at which a journal enters a worker thread.

The timing of threads differs from run to run. A test that has to be repeatable sets ``in_place_of_threads``, which does
the work in the event loop instead.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from anyio import CapacityLimiter, get_cancelled_exc_class, to_thread

from lionpride_exec._base.backend import asyncio_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

# Does the work in place of a thread. None: a thread does.
in_place_of_threads: ContextVar[Callable[[Callable[[], Any]], Awaitable[Any]] | None] = ContextVar(
    "in_place_of_threads", default=None
)


async def run_in_thread(function: Callable[[], T], *, limiter: CapacityLimiter, abandon_on_cancel: bool = False) -> T:
    """
    Run a function that blocks in a worker thread, and return its result.

    Cancellation: with ``abandon_on_cancel`` it is raised at once, and the function goes on. Otherwise it is raised at
    once before the function is called. Later the function returns first: what it has done is known, and the caller is
    cancelled at its next await. This holds for ``Task.cancel()`` of asyncio, too.
    """
    instead = in_place_of_threads.get()
    if instead is not None:
        result: T = await instead(function)
        return result
    if abandon_on_cancel:
        return await to_thread.run_sync(function, limiter=limiter, abandon_on_cancel=True)
    call = _ThreadCall(function)
    try:
        await to_thread.run_sync(call.run, limiter=limiter)
    except get_cancelled_exc_class():
        if call.claim():
            raise
        await _outlast(call)
    return call.outcome()


async def _outlast(call: _ThreadCall[Any]) -> None:
    """Wait for the thread of a call that asyncio has cancelled. Have the cancellation come at the next await."""
    task = asyncio_task()
    assert task is not None  # trio cancels no task that waits for its thread
    while not call.is_over.is_set():
        with suppress(get_cancelled_exc_class()):
            await to_thread.run_sync(call.is_over.wait, limiter=CapacityLimiter(1))
    task.uncancel()  # the number of cancellations stays the same: asyncio.timeout() compares it
    task.cancel()


class _ThreadCall(Generic[T]):
    """
    A function that is called once, by a thread, unless its caller has given the call up before.

    Args:
        function: The function.

    Attributes:
        is_over: Set once the function has returned or raised.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self.is_over: Event = Event()
        self._function = function
        self._claim = Lock()  # taken for good by the thread, or by the caller that gives up
        self._result: T
        self._error: BaseException | None = None

    def claim(self) -> bool:
        """Return whether the call is the caller's to make or to give up: for the first who asks."""
        return self._claim.acquire(blocking=False)

    def run(self) -> None:
        """Call the function, unless the call was given up."""
        if not self.claim():
            return
        try:
            self._result = self._function()
        except BaseException as exc:  # noqa: BLE001  raised in the caller's task
            self._error = exc
        finally:
            self.is_over.set()

    def outcome(self) -> T:
        """Return what the function has returned, or raise what it has raised."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result
