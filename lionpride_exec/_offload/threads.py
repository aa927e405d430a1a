"""
Plain functions in threads of AnyIO.

A thread cannot be stopped. By default a cancelled call waits until its function has returned, and is cancelled then. A
function that runs long can look for the cancellation itself: ``anyio.from_thread.check_cancelled()``. A call that is
allowed to abandon its thread is cancelled at once. The thread goes on.

The limiter counts the threads that work, the abandoned ones included. AnyIO's own count would not do: on asyncio it
gives the place of an abandoned thread to the next call, while the thread still works. So each call takes a place for
itself here, and AnyIO gets a limiter that never holds it up.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, WouldBlock, to_thread
from anyio.lowlevel import checkpoint_if_cancelled

from lionpride_exec._base.backend import running_loop, soon_caller

from .outcome import call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .pausable_timeout import PausableTimeout


class _State(Enum):
    """Where the function of a call is."""

    WAITING = auto()
    WORKING = auto()
    ABANDONED = auto()  # it works, and nobody waits for it
    OVER = auto()


class _ThreadCall:
    """
    One call in a thread, and the place that it has taken.

    The thread and the event loop both decide when the place is free. Each looks at the state and changes it under the
    lock.
    """

    __slots__ = ("_args", "_call_soon", "_function", "_kwargs", "_lock", "_release", "_state")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        release: Callable[[_ThreadCall], None],
    ) -> None:
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._release = release
        self._call_soon = soon_caller()
        self._lock = Lock()
        self._state = _State.WAITING

    def work(self) -> Any:
        """Call the function. In the thread."""
        with self._lock:
            if self._state is _State.OVER:  # cancelled before the thread has begun
                return None
            self._state = _State.WORKING
        try:
            return call(self._function, self._args, self._kwargs)
        finally:
            with self._lock:
                is_abandoned = self._state is _State.ABANDONED
                self._state = _State.OVER
            if is_abandoned and self._call_soon is not None:
                self._call_soon(self._give_back)

    def leave(self) -> bool:
        """Give the place back, or let the thread do so at its end. Return whether it is abandoned. In the loop."""
        with self._lock:
            if self._state is _State.WORKING:
                self._state = _State.ABANDONED
                return True
            self._state = _State.OVER
        self._release(self)
        return False

    def _give_back(self) -> None:
        self._release(self)


class ThreadCalls:
    """
    The threads of one processor.

    Args:
        total: How many functions may work at the same time.
        on_change: Called when the number of abandoned threads has changed.
    """

    def __init__(self, total: int, on_change: Callable[[], None]) -> None:
        self._total = total
        self._on_change = on_change
        self._limiter: CapacityLimiter | None = None
        self._no_limit: CapacityLimiter | None = None
        self._loop: object = None
        self._abandoned: set[_ThreadCall] = set()

    @property
    def working(self) -> int:
        """How many functions work, or are about to, the abandoned ones included."""
        return 0 if self._limiter is None else int(self._limiter.borrowed_tokens)

    @property
    def abandoned(self) -> int:
        """How many functions work whose call was cancelled."""
        return len(self._abandoned)

    @property
    def places(self) -> int:
        """How many calls can work at the same time, at least 1."""
        return max(1, self._total - self.abandoned)

    async def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        abandon: bool,
        time_left: PausableTimeout | None = None,
    ) -> Any:
        """
        Call a function in a thread, and return what it returns. Wait for a free place first, without ``time_left``.

        Cancellation: while the call waits for a place, at once. Later: at once if ``abandon``, and the thread goes on;
        otherwise when the function has returned.
        """
        limiter = self._limiter_here()
        one = _ThreadCall(function, args, kwargs, self._release)
        try:
            limiter.acquire_on_behalf_of_nowait(one)
        except WouldBlock:
            if time_left is not None:
                time_left.pause()
            await limiter.acquire_on_behalf_of(one)
            if time_left is not None:
                time_left.resume()
        try:
            result = await to_thread.run_sync(one.work, abandon_on_cancel=abandon, limiter=self._no_limit)
        finally:
            if one.leave():
                self._abandoned.add(one)
                self._on_change()
        await checkpoint_if_cancelled()  # what has been cancelled meanwhile does not complete
        return result

    def _limiter_here(self) -> CapacityLimiter:
        """Return the limiter for the running event loop."""
        loop = running_loop()
        if self._limiter is None or loop is not self._loop:
            self._loop = loop
            self._limiter = CapacityLimiter(self._total)
            self._no_limit = CapacityLimiter(inf)
            self._abandoned.clear()  # their loop is gone: nobody tells when they end
        return self._limiter

    def _release(self, one: _ThreadCall) -> None:
        if self._limiter is None:
            return
        try:
            self._limiter.release_on_behalf_of(one)
        except RuntimeError:  # it was taken in an event loop that has ended
            return
        if one in self._abandoned:
            self._abandoned.discard(one)
            self._on_change()
