"""
Plain functions in worker processes of AnyIO.

A process makes one call at a time. A way to a process and back takes about 0.1 ms, so calls of a short function are
sent together (``process_chunk.py``): as many as take ``CHUNK_SECONDS``, by the time that the last calls took. A call of
a function that is not known yet, or takes long, is sent alone.

There are at most ``total`` chunks at a time. When one ends, the next is sent before the outcomes of the first are given
to the events that wait for them. So the process works while the program takes note.
"""

from __future__ import annotations

from collections import OrderedDict
from contextvars import Context
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import anyio

from lionpride_exec._base.backend import running_loop

from .outcome import read
from .process_chunk import ProcessChunk
from .sendable import kind_of, pickled, sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from .pausable_timeout import PausableTimeout

# How many seconds the calls of a chunk take, by what is known of their function.
CHUNK_SECONDS: Final = 0.2

# Of how many functions it is known how long they take.
MAX_KINDS: Final = 256


class Kind:
    """
    The calls of one function.

    Attributes:
        pickled: The function.
        seconds: How many seconds a call takes, by the last ones. None if that is not known.
        waiting: The calls that wait for a process, in their order.
    """

    __slots__ = ("pickled", "seconds", "waiting")

    def __init__(self, pickled: bytes) -> None:
        self.pickled: bytes = pickled
        self.seconds: float | None = None
        self.waiting: OrderedDict[ProcessCall, None] = OrderedDict()


class ProcessCall:
    """
    One call.

    Attributes:
        arguments: The pickled arguments.
        kind: The calls of the same function.
        number: Its place in the order of all calls.
        chunk: The chunk that it is in. None while it waits.
        ended: Set once there is an outcome.
        time_left: The timeout around the call. None without one.
    """

    __slots__ = ("_error", "_outcome", "arguments", "chunk", "ended", "kind", "number", "time_left")

    def __init__(self, kind: Kind, arguments: bytes, number: int, ended: anyio.Event) -> None:
        self.kind: Kind = kind
        self.arguments: bytes = arguments
        self.number: int = number
        self.chunk: ProcessChunk | None = None
        self.ended: anyio.Event = ended
        self._outcome: bytes = b""
        self._error: BaseException | None = None
        self.time_left: PausableTimeout | None = None

    def pause_timeout(self) -> None:
        """Note that the call waits for a process. The timeout around the call stops."""
        if self.time_left is not None:
            self.time_left.pause()

    def begin(self) -> None:
        """Note that a process has the call, alone or with others. The timeout goes on."""
        if self.time_left is not None:
            self.time_left.resume()

    def give(self, outcome: bytes) -> None:
        """Learn what the function has returned or raised."""
        self._outcome = outcome
        self.ended.set()

    def fail(self, error: BaseException) -> None:
        """Learn that there will be no outcome."""
        self._error = error
        self.ended.set()

    def result(self) -> Any:
        """
        Return what the function has returned.

        Raises:
            BaseException: What the function has raised, or why there is no outcome.
        """
        if self._error is not None:
            raise self._error
        return read(self._outcome)


class ProcessCalls:
    """
    The processes of one processor. A ``ChunkOwner``.

    Args:
        total: How many processes may work at the same time.
        on_change: Called when :attr:`places` has changed.

    Attributes:
        places: How many events can run at the same time without a wait for a process: as many as there are processes,
            or with short functions as many as are sent together, and as many again for each process that gets the next.
        ready: How many processes are known to have started.
        limiter: Of the processes that work.
    """

    def __init__(self, total: int, on_change: Callable[[], None]) -> None:
        self.places: int = total
        self.ready: int = 0
        self.limiter: anyio.CapacityLimiter
        self._total = total
        self._on_change = on_change
        self._loop: object = None
        self._kinds: OrderedDict[Hashable, Kind] = OrderedDict()
        self._waiting: dict[Kind, None] = {}  # those with calls that wait
        self._chunks: set[ProcessChunk] = set()
        self._numbers = count()
        # A result is read in a context of its own. To read a Decimal sets a context variable, and a worker of an
        # executor whose context has been changed is replaced.
        self._reading = Context()
        self._new_signal: Callable[[], anyio.Event] = anyio.Event

    @property
    def working(self) -> int:
        """How many processes work."""
        return sum(chunk.is_sent for chunk in self._chunks)

    async def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        kind: Hashable,
        time_left: PausableTimeout | None = None,
    ) -> Any:
        """
        Call a function in a process, and return what it returns. Wait for a free process first, without ``time_left``.

        Raises:
            ExecutionError: Function or arguments cannot be pickled, the process died, or the result cannot come back.
            BaseException: What the function raises.

        Cancellation: a call that has not begun is withdrawn. Otherwise its process is killed. The next call starts a
        new one.
        """
        self._follow_loop()
        one = self._make(function, args, kwargs, kind)
        one.time_left = time_left
        one.pause_timeout()
        one.kind.waiting[one] = None
        self._waiting[one.kind] = None
        self.dispatch()
        try:
            await one.ended.wait()
        except BaseException:
            await self._give_up(one)
            raise
        return self._reading.run(one.result)

    def _make(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], kind: Hashable
    ) -> ProcessCall:
        kind = kind_of(function) if kind is None else kind
        function, arguments = sendable(function, args, kwargs)
        known = self._kinds.get((function, kind))
        if known is None:
            known = self._kinds[function, kind] = Kind(pickled(function))
            if len(self._kinds) > MAX_KINDS:
                self._kinds.popitem(last=False)
        return ProcessCall(known, arguments, next(self._numbers), self._new_signal())

    def _follow_loop(self) -> None:
        """Forget what belongs to an event loop that has ended."""
        loop = running_loop()
        if loop is not self._loop:
            self._loop = loop
            # anyio.Event() looks for the backend each time, for 1 us, and then makes an object of this class.
            self._new_signal = type(anyio.Event())
            self.limiter = anyio.CapacityLimiter(self._total)
            self.ready = 0
            self._kinds.clear()
            self._waiting.clear()
            self._chunks.clear()

    # ---------------------------------------------------------------- chunks

    def dispatch(self) -> None:
        """Send calls to the processes that are free."""
        while self._waiting and len(self._chunks) < self._total:
            kind = min(self._waiting, key=lambda kind: next(iter(kind.waiting)).number)
            size = self._size(kind)
            calls = [kind.waiting.popitem(last=False)[0] for _ in range(min(size, len(kind.waiting)))]
            if not kind.waiting:
                del self._waiting[kind]
            chunk = ProcessChunk(self, kind, calls)
            self._chunks.add(chunk)
            chunk.start()

    def _size(self, kind: Kind) -> int:
        """Return how many calls of a kind are sent together: for some time, and not more than others could take."""
        if kind.seconds is None or kind.seconds >= CHUNK_SECONDS:
            return 1
        in_flight = sum(len(chunk.calls) for chunk in self._chunks)
        fair = ceil((len(kind.waiting) + in_flight) / (self._total + 1))
        return max(1, min(fair, int(CHUNK_SECONDS / max(kind.seconds, 1e-6))))

    def put_back(self, calls: Sequence[ProcessCall]) -> None:
        """Let calls that have not begun wait again, before all others of their kind."""
        for one in reversed(calls):
            one.chunk = None
            one.pause_timeout()
            one.kind.waiting[one] = None
            one.kind.waiting.move_to_end(one, last=False)
            self._waiting[one.kind] = None

    def over(self, chunk: ProcessChunk) -> None:
        """Learn that a chunk has ended, and its process is free or dead."""
        self._chunks.discard(chunk)

    def took(self, kind: Kind, seconds: float) -> None:
        """Learn how many seconds a call took."""
        kind.seconds = seconds if kind.seconds is None else (kind.seconds + seconds) / 2
        places = self._total
        if kind.seconds < CHUNK_SECONDS:
            places = (self._total + 1) * ceil(CHUNK_SECONDS / max(kind.seconds, 1e-6))
        if not 0.8 * self.places <= places <= 1.25 * self.places:
            self.places = places
            self._on_change()

    async def _give_up(self, one: ProcessCall) -> None:
        """Withdraw a call that was cancelled, or kill its process if it has begun."""
        if one.ended.is_set():
            return
        if one.chunk is not None:
            one.chunk.take_back()
        chunk = one.chunk
        if chunk is None:
            del one.kind.waiting[one]
            if not one.kind.waiting:
                del self._waiting[one.kind]
        elif not chunk.is_sent:
            chunk.calls.remove(one)
        elif not one.ended.is_set():
            with anyio.CancelScope(shield=True):
                await chunk.kill()
        self.dispatch()
