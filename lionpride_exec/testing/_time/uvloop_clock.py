"""uvloop with a clock that jumps."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from time import perf_counter
from typing import TYPE_CHECKING, Any

import uvloop

from .asyncio_clock import POLL_INTERVAL, HeldLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from .deadlock import Watch


# libuv schedules what it reports (a signal, a file) behind the tick that is already scheduled, and no method of ours
# sees that. During the first quiet tick a report may arrive. The second may still run before it. The third is sure.
QUIET_TICKS = 3


class FileWatch(HeldLoop):
    """
    The part of a uvloop that knows whether files are in use. uvloop itself does not tell.

    A transport counts until it closes, a call until it returns. A server counts for ever, because the connections that
    it accepts are not seen.
    """

    def _begin_watching(self) -> None:
        super()._begin_watching()
        self._file_calls = 0  # that have not returned
        self._transports: list[asyncio.BaseTransport] = []  # that may not have closed
        self._watched: set[tuple[str, int]] = set()
        self._serves = False

    def uses_files(self) -> bool:
        """Return whether a file or a process is in use."""
        if self._transports:
            self._transports = [one for one in self._transports if not one.is_closing()]
        return bool(self._file_calls or self._transports or self._watched or self._serves) or self.a_process_runs()

    async def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self._file_calls += 1
        try:
            made = await getattr(self._real, name)(*args, **kwargs)
        finally:
            self._file_calls -= 1
        transport = made[0] if isinstance(made, tuple) and made else made
        if isinstance(transport, asyncio.BaseTransport):
            self._transports.append(transport)
        self._serves = self._serves or isinstance(made, asyncio.AbstractServer)
        return made

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        """Watch a file as any loop does, and remember it."""
        self._watched.add(("read", _number(fd)))
        return self._real.add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> Any:
        """Watch a file no more."""
        self._watched.discard(("read", _number(fd)))
        return self._real.remove_reader(fd)

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> Any:
        """Watch a file as any loop does, and remember it."""
        self._watched.add(("write", _number(fd)))
        return self._real.add_writer(fd, callback, *args)

    def remove_writer(self, fd: Any) -> Any:
        """Watch a file no more."""
        self._watched.discard(("write", _number(fd)))
        return self._real.remove_writer(fd)


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


def _counted(name: str) -> Callable[..., Any]:
    async def call(self: FileWatch, *args: Any, **kwargs: Any) -> Any:
        """Do as any loop does, and count the call."""
        return await self._call(name, *args, **kwargs)

    call.__name__ = name
    return call


for _name in (
    *("connect_accepted_socket", "connect_read_pipe", "connect_write_pipe"),
    *("create_connection", "create_datagram_endpoint", "create_server", "create_unix_connection"),
    *("create_unix_server", "getaddrinfo", "getnameinfo", "sendfile", "start_tls"),
    *("sock_accept", "sock_connect", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into"),
    *("sock_sendall", "sock_sendfile", "sock_sendto"),
):
    setattr(FileWatch, _name, _counted(_name))


class JumpingClock(FileWatch):
    """
    The part of a uvloop that has a clock which jumps.

    libuv does the waiting, and no option changes that. So libuv gets no timers: this class keeps them. A callback (the
    tick) runs in every pass of the loop. When nothing was scheduled for some ticks, the loop has nothing to do, and the
    clock jumps to the next timer.
    """

    def _begin(self, io_patience: float, watch: Watch | None) -> None:
        self._begin_watching()
        self._real_call_soon = self._real.call_soon  # looked up once: it is called for every callback
        self.now: float = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []  # a heap; the numbers keep the order
        self._numbers = itertools.count(1)
        self._scheduled = 0  # how many callbacks were scheduled so far, without the ticks
        # The last of those from other threads; they get numbers, since they could not count together without a lock.
        self._last_from_thread = 0  # none
        self._quiet_ticks = 0  # how many ticks in a row have found nothing scheduled
        self._quiet_since = perf_counter()  # in real time: when a tick last found something scheduled
        self._io_patience = io_patience
        self._watch = watch
        self._real_call_soon(self._tick, None)

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self.now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule a callback, and count it."""
        self._scheduled += 1
        return self._real_call_soon(callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        """Schedule a callback, and count it."""
        self._last_from_thread = next(self._numbers)
        return super().call_soon_threadsafe(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Schedule a callback for so many virtual seconds from now."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Schedule a callback for a virtual time."""
        loop: Any = self
        handle = asyncio.TimerHandle(when, callback, args, loop, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: the tick drops a cancelled timer when that timer comes first."""

    def _tick(self, scheduled_before: object) -> None:
        """Call the due timers; first jump to the next one if nothing was scheduled for some ticks."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        held = self.a_thread_runs()
        # After the threads: a thread that has ended has scheduled its report.
        scheduled = self._scheduled, self._last_from_thread
        if scheduled == scheduled_before:
            self._quiet_ticks += 1
        else:
            self._quiet_ticks = 0
            self._quiet_since = perf_counter()
        is_quiet = self._quiet_ticks >= QUIET_TICKS
        held = held or (is_quiet and self.uses_files() and perf_counter() - self._quiet_since < self._io_patience)
        is_idle = is_quiet and not held and not timers
        if is_quiet and not held and timers:
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            self.call_soon(self._fire, heapq.heappop(timers)[2])
        if held or (is_idle and not self._is_ended(scheduled)):
            self._real.call_later(POLL_INTERVAL, self._tick, scheduled)
        else:
            self._real_call_soon(self._tick, scheduled)

    def _is_ended(self, scheduled: tuple[int, int]) -> bool:
        """End the run if it is stuck. Return False if the loop has to look again later."""
        watch = self._watch
        if watch is None or self.uses_files() or watch.may_be_woken(self.is_own_thread):
            return False
        if (self._scheduled, self._last_from_thread) != scheduled:  # the report of a thread that has just ended
            return True
        if not watch.end(self.blocked_tasks()):
            self._real.stop()
        return True

    @staticmethod
    def _fire(handle: asyncio.TimerHandle) -> None:
        if not handle.cancelled():
            handle._run()


class VirtualUvloop(JumpingClock, uvloop.Loop):  # type: ignore[misc]  # its stubs contradict those of asyncio
    """
    uvloop, with a clock that jumps.

    Args:
        io_patience: Real seconds without a scheduled callback after which the clock jumps, while files are in use.
        watch: Notified when nothing can go on. None to wait, as a real loop does.
    """

    def __init__(self, *, io_patience: float, watch: Watch | None) -> None:
        super().__init__()
        self._begin(io_patience, watch)
