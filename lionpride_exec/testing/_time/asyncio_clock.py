"""
An asyncio loop on which an hour costs a millisecond.

The clock stands still while a task is ready to run. When all tasks are blocked, the clock jumps to the next timer. The
loop, its threads, sockets and processes are the real ones. They do not know of the virtual clock, so the clock waits
for them:

- While a thread works for the loop, the clock stands still, because that thread will end. A thread that waits for the
  loop (``anyio.from_thread``) does not work.
- While a file (a socket, a pipe, a process) is in use, the clock jumps when no file has become ready for
  ``io_patience`` real seconds. An answer that is under way arrives in that time. An idle connection does not stop the
  clock for ever.

The loop is a selector loop on all platforms. On Windows, selector loops have no subprocesses and no pipes.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import threading
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from anyio._backends._asyncio import WorkerThread

from lionpride_exec._base.outside_work import at_work

from .waiting_threads import futures_of, stacks, waits_for_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future
    from types import FrameType

    from .deadlock import Watch

    T = TypeVar("T")
    Ready = list[tuple[selectors.SelectorKey, int]]

# While a thread holds the clock, the loop looks again after this many real seconds, or at the next report.
POLL_INTERVAL = 0.001


class HeldLoop:
    """
    The part of an asyncio loop that knows which threads and processes work for it. Mixed in before the loop class.

    anyio hands work to a worker thread through a ``Queue``. The thread calls ``task_done()`` after it has *reported*
    the result to the loop. So ``unfinished_tasks`` is above zero from the moment the work is handed over until the
    result is on its way, without a gap.
    """

    has_virtual_clock = True  # read by the backend module of the package

    def _begin_watching(self) -> None:
        self._executor_calls = 0  # whose futures are not done
        self._pool: WeakSet[threading.Thread] = WeakSet()  # threads that have run such calls
        self._asked: WeakSet[Future[Any]] = WeakSet()  # futures of other threads, for what they asked this loop to do
        self._starting = 0  # processes that are being started
        self._processes: list[asyncio.SubprocessTransport] = []  # that may not have ended

    @property
    def _real(self) -> Any:
        """The methods of the loop class itself. Untyped, because the stubs of the loops differ from each other."""
        return super()

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule a callback as any loop does, and note the futures that the callback will answer."""
        self._asked.update(futures_of(callback))
        return self._real.call_soon_threadsafe(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Run a function as any loop does, and count the call until its future is done."""
        future = self._real.run_in_executor(executor, self._call_in_pool, func, *args)
        self._executor_calls += 1
        future.add_done_callback(self._executor_call_ended)
        return future

    async def shutdown_default_executor(self, *_: Any, **__: Any) -> None:
        """Wait for the threads without a limit: under this clock a limit would be over at once."""
        self._executor_calls += 1  # a thread waits for the threads
        try:
            await self._real.shutdown_default_executor()
        finally:
            self._executor_calls -= 1

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        """Start a process as any loop does, and remember it until it has ended."""
        return await self._start_process(self._real.subprocess_exec(*args, **kwargs))

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        """Start a shell as any loop does, and remember it until it has ended."""
        return await self._start_process(self._real.subprocess_shell(*args, **kwargs))

    async def _start_process(self, starting: Awaitable[Any]) -> Any:
        self._starting += 1
        try:
            started = await starting
        finally:
            self._starting -= 1
        self._processes.append(started[0])
        return started

    def _call_in_pool(self, func: Callable[..., T], *args: Any) -> T:
        self._pool.add(threading.current_thread())
        return func(*args)

    def _executor_call_ended(self, _: object) -> None:
        self._executor_calls -= 1

    def a_thread_runs(self) -> bool:
        """
        Return whether a thread works and will report a result. If not, all results have been reported.

        A thread that waits for the loop does not work. A process that works for an executor counts as a thread.
        """
        me: Any = self
        if me in at_work:
            return True
        busy = {
            thread.ident
            for thread in threading.enumerate()
            if isinstance(thread, WorkerThread) and thread.loop is me and thread.queue.unfinished_tasks
        }
        if not busy and not self._executor_calls:
            return False
        pool = {thread.ident for thread in self._pool}
        waiting = {ident for ident, frame in stacks() if (ident in busy or ident in pool) and self._is_asked_by(frame)}
        return bool(busy - waiting) or self._executor_calls > len(pool & waiting)

    def _is_asked_by(self, frame: FrameType) -> bool:
        return waits_for_answer(frame, self.blocked_tasks(), self._asked)

    def a_process_runs(self) -> bool:
        """Return whether a process has not ended yet."""
        if self._processes:
            self._processes = [one for one in self._processes if one.get_returncode() is None]
        return self._starting > 0 or bool(self._processes)

    def is_own_thread(self, thread: threading.Thread) -> bool:
        """Return whether a thread belongs to a loop, and works only when the loop hands work to it."""
        return isinstance(thread, WorkerThread) or thread in self._pool

    def blocked_tasks(self) -> list[tuple[str, Any]]:
        """Return the names and coroutines of the tasks that have not ended."""
        loop: Any = self
        return [(task.get_name(), task.get_coro()) for task in asyncio.all_tasks(loop)]


class VirtualClockLoop(HeldLoop, asyncio.SelectorEventLoop):  # type: ignore[misc]  # run_in_executor() by typeshed
    """
    The selector loop of asyncio, with a clock that jumps.

    The loop asks its selector to wait until the next timer is due. This selector checks whether a file is ready. If
    not, it puts the clock forward by that time and returns. Without a timer it really waits.

    Args:
        io_patience: Real seconds without a ready file after which the clock jumps, while files are in use.
        watch: Notified when nothing can go on. None to wait, as a real loop does.
    """

    def __init__(self, *, io_patience: float, watch: Watch | None) -> None:
        selector = JumpingSelector(self, io_patience, watch)
        self._begin_watching()
        super().__init__(selector)
        selector.own_files = len(selector.get_map())
        self.jump(0.0)

    def jump(self, now: float) -> None:
        """
        Set the clock.

        The loop calls the timers that are due before ``time() + _clock_resolution``. This sum has to be the next float
        after the time. With a larger one, a timer is called early. A timer that then looks at the clock sets itself
        again, for ever. With a smaller one (the usual 1 ns, from the 98th day on), a due timer is never called.
        """
        self.now: float = now
        self._clock_resolution = math.ulp(now)

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self.now


class JumpingSelector(selectors.DefaultSelector):
    """The selector of a :class:`VirtualClockLoop`."""

    def __init__(self, loop: VirtualClockLoop, io_patience: float, watch: Watch | None) -> None:
        super().__init__()
        self.own_files: int = 0  # those by which threads and signals wake the loop
        self._loop = loop
        self._io_patience = io_patience
        self._watch = watch

    def select(self, timeout: float | None = None) -> Ready:
        """Return the ready files. If there are none, put the clock forward instead of waiting."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        # Threads first, then files: the result of a thread that ends in between is among the files.
        if self._loop.a_thread_runs():
            return super().select(POLL_INTERVAL)
        uses_files = len(self.get_map()) > self.own_files or self._loop.a_process_runs()
        ready = super().select(self._io_patience if uses_files else 0)
        if ready:
            return ready
        if timeout is not None:
            self._loop.jump(self._loop.now + timeout)
            return ready
        return self._wait_for_ever(uses_files=uses_files)

    def _wait_for_ever(self, *, uses_files: bool) -> Ready:
        """Wait for something from outside, because there is no timer, or find that nothing will come."""
        if self._watch is None:
            return super().select(None)
        if uses_files or self._watch.may_be_woken(self._loop.is_own_thread):
            return super().select(POLL_INTERVAL)  # and look again: a thread may end without a report
        ready = super().select(0)  # the report of a thread that has just ended
        if not ready and not self._watch.end(self._loop.blocked_tasks()):
            assert self._watch.error is not None
            raise self._watch.error
        return ready
