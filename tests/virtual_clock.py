"""
Event loops on which an hour costs a millisecond.

On each of the three backends the clock stands still while anything can run; when all tasks are blocked, it
jumps to the next timer. trio brings such a clock, :class:`trio.testing.MockClock`. asyncio and uvloop get
theirs here; both loops are otherwise the real ones.

Worker threads live in real time. So *the clock holds still while a call of* ``anyio.to_thread.run_sync()``
*runs*, and the loop really waits, whatever timers are pending. On asyncio and uvloop
``loop.run_in_executor()``, and with it ``asyncio.to_thread()``, counts as well. :class:`ThreadWatch` and
:class:`HoldForThreads` say how they know. That leaves three things to know when writing a test:

* A thread that itself waits for the clock, as in ``to_thread.run_sync(from_thread.run, anyio.sleep, 1)``,
  waits for ever, since the clock waits for it.
* After the cancellation of a call with ``abandon_on_cancel=True``, the clock holds still until the thread
  ends on asyncio and uvloop, and no longer on trio.
* Sockets, subprocesses and threads started by hand do not hold the clock: it jumps over a timeout around
  them. Run a subprocess in a worker thread: ``await to_thread.run_sync(subprocess.run, command)``.
"""

import asyncio
import heapq
import itertools
import math
import selectors
import threading
from importlib.util import find_spec

import trio
from anyio._backends._asyncio import WorkerThread
from trio.testing import MockClock, active_thread_count

# While a thread runs, its loop looks again after this many real seconds, or as soon as the thread reports.
PATIENCE = 0.001


class ThreadWatch:
    """
    The part of an asyncio loop that knows whether a thread works for it.

    anyio hands work to a worker thread through a ``Queue``, and the thread calls ``task_done()`` on it when
    it has *reported* the result to the loop. So ``unfinished_tasks`` is above zero from the moment the work
    is handed over until the result is on its way, with no gap at either end.
    """

    _executor_calls = 0

    def run_in_executor(self, executor, func, *args):
        """Run a function as any loop does, and count the call until its future is done."""
        future = super().run_in_executor(executor, func, *args)
        self._executor_calls += 1
        future.add_done_callback(self._executor_call_ended)
        return future

    async def shutdown_default_executor(self, timeout=None):
        """Wait for the threads as long as it takes: under this clock any limit would be over at once."""
        await super().shutdown_default_executor()

    def _executor_call_ended(self, _):
        self._executor_calls -= 1

    def a_thread_runs(self):
        """Tell whether the result of a thread is still to come; if not, all have been reported by now."""
        return self._executor_calls > 0 or any(
            thread.queue.unfinished_tasks
            for thread in threading.enumerate()
            if isinstance(thread, WorkerThread) and thread.loop is self
        )


class VirtualClockLoop(ThreadWatch, asyncio.SelectorEventLoop):
    """
    The selector loop of asyncio, with a clock that jumps.

    The loop asks its selector to wait until the next timer is due. Ours looks whether a file is ready; if
    not, it puts the clock forward by the time that it was to wait, and returns. Without a timer it really
    waits.
    """

    def __init__(self):
        super().__init__(JumpingSelector(self))
        self.jump(0.0)

    def jump(self, now):
        """
        Set the clock.

        The loop calls what is due before ``time() + _clock_resolution``. That has to be the next float after
        the time: with more, a timer is called early, and if it then looks at the clock, sets itself again,
        for ever; with less (the usual 1 ns, from the 98th day on), one that is due is never called.
        """
        self.now = now
        self._clock_resolution = math.ulp(now)

    def time(self):
        """Give the virtual time, in seconds since the loop was made."""
        return self.now


class JumpingSelector(selectors.DefaultSelector):
    """The selector of a :class:`VirtualClockLoop`."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        """Give what is ready; when nothing is, let the time pass at once."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        # First the threads, then the files: when a thread ends in between, its result is among the files.
        if self._loop.a_thread_runs():
            return super().select(PATIENCE)
        ready = super().select(0)
        if not ready:
            self._loop.jump(self._loop.now + timeout)
        return ready


class HoldForThreads(trio.abc.Instrument):
    """Keeps a clock from jumping while a thread works for trio, which counts such threads itself."""

    def __init__(self, clock):
        self._clock = clock

    def after_task_step(self, task):
        """Look again: a call in a thread begins and ends within a step of its task."""
        threshold = math.inf if active_thread_count() else 0
        if threshold != self._clock.autojump_threshold:
            self._clock.autojump_threshold = threshold


def _trio_options():
    clock = MockClock(autojump_threshold=0)
    return {"clock": clock, "instruments": [HoldForThreads(clock)]}


# What the fixture ``anyio_backend`` gives, by id. Functions, since each run of trio needs a clock of its own.
VIRTUAL_BACKENDS = {
    "asyncio": lambda: ("asyncio", {"loop_factory": VirtualClockLoop}),
    "trio": lambda: ("trio", _trio_options()),
}

if find_spec("uvloop"):  # not on Windows, not for PyPy
    import uvloop

    class VirtualUvloop(ThreadWatch, uvloop.Loop):
        """
        uvloop, with a clock that jumps.

        libuv waits by itself and cannot be told to do otherwise, so it gets no timers: they are kept here.
        While there are any, a callback (the tick) runs in every pass of the loop. When nothing was scheduled
        from one tick to the next, the loop has nothing to do, and the clock jumps to the next timer.
        """

        def __init__(self):
            super().__init__()
            self.now = 0.0
            self._timers = []  # a heap of (when, number, handle)
            self._numbers = itertools.count()
            self._scheduled = 0  # how many callbacks were scheduled so far, without the ticks
            self._ticking = False  # whether a tick is scheduled; always so while there are timers

        def time(self):
            """Give the virtual time, in seconds since the loop was made."""
            return self.now

        def call_soon(self, callback, *args, context=None):
            """Schedule a callback, and count it."""
            self._scheduled += 1
            return super().call_soon(callback, *args, context=context)

        def call_soon_threadsafe(self, callback, *args, context=None):
            """Schedule a callback, and count it."""
            self._scheduled += 1
            return super().call_soon_threadsafe(callback, *args, context=context)

        def call_later(self, delay, callback, *args, context=None):
            """Schedule a callback for so many virtual seconds from now."""
            return self.call_at(self.now + delay, callback, *args, context=context)

        def call_at(self, when, callback, *args, context=None):
            """Schedule a callback for a virtual time."""
            handle = asyncio.TimerHandle(when, callback, args, self, context)
            heapq.heappush(self._timers, (when, next(self._numbers), handle))
            if not self._ticking:
                self._ticking = True
                super().call_soon(self._tick, -1)
            return handle

        def _timer_handle_cancelled(self, handle):
            """Do nothing: a cancelled timer is dropped when it is the next one."""

        def _tick(self, scheduled_before):
            """Call what is due, after a jump if nothing was scheduled since the last tick."""
            timers = self._timers
            while timers and timers[0][2].cancelled():
                heapq.heappop(timers)
            if not timers:
                self._ticking = False
                return
            # First the threads, then the count: a thread that has ended has scheduled its report.
            held = self.a_thread_runs()
            if not held and self._scheduled == scheduled_before:
                self.now = max(self.now, timers[0][0])
            while timers and timers[0][0] <= self.now:
                self.call_soon(self._fire, heapq.heappop(timers)[2])
            if held:
                super().call_later(PATIENCE, self._tick, self._scheduled)
            else:
                super().call_soon(self._tick, self._scheduled)

        @staticmethod
        def _fire(handle):
            if not handle.cancelled():
                handle._run()

    VIRTUAL_BACKENDS["asyncio+uvloop"] = lambda: ("asyncio", {"loop_factory": VirtualUvloop})
