"""
Iterating over events as they end.

An event calls back at its end (``Event._call_at_end``), so no task has to wait for each event. The callback belongs to
an object of its own, not to the iterator. A loop that is left by ``break`` just drops its iterator, which has to clean
up then, so events must not keep the iterator alive.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._base.closing_iterator import ClosingIterator
from lionpride_exec._events.event import Event
from lionpride_exec._events.running_event import running_here
from lionpride_exec._status import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from lionpride_exec._events.host import EventHost

E = TypeVar("E", bound=Event[Any])


class EventIterator(ClosingIterator[E]):
    """
    An iterator over events for one consumer: ``async for``, with or without ``async with`` around it.

    The iteration ends early when the ``async with`` block is left, when :meth:`aclose` is called, or when the last
    reference is dropped. In CPython, ``break`` drops the reference of a plain loop at once.

    Raises:
        anyio.BusyResourceError: A second task asks for the next event while one does already. Nothing has changed.
    """


class _Watch(Generic[E]):
    """What the watched events call back."""

    def __init__(self) -> None:
        self.watched: dict[UUID, E] = {}  # have not ended; each will call back
        self.hosts: dict[int, EventHost] = {}  # the executors of these events
        self.ended: deque[E] = deque()
        self.lost: list[E] = []  # will not end
        self.attention: anyio.Event | None = None  # of the consumer, while it waits
        self.is_begun = False  # the events will call back

    def begin(self) -> None:
        """Ask each event to call back at its end, unless they are asked already."""
        if self.is_begun:
            return
        self.is_begun = True
        for event in list(self.watched.values()):
            event._call_at_end(self.note)

    def end(self) -> None:
        """Ask no event to call back any more."""
        self.is_begun = False
        for event in self.watched.values():
            event._call_no_more(self.note)

    def note(self, event: E) -> None:
        """Learn that an event has ended, or never will."""
        if self.watched.pop(event.id, None) is not None:
            if event.execution.status in TERMINAL:
                self.ended.append(event)
            else:
                self.lost.append(event)
            if self.attention is not None:
                self.attention.set()

    async def wait(self) -> None:
        """Wait until an event has called back. A cancelled wait leaves no callback in the events."""
        hosts = list(self.hosts.values())
        self.attention = hosts[0].new_signal() if len(hosts) == 1 else anyio.Event()
        try:
            with ExitStack() as stack:
                for host in hosts:
                    if (away := host.reader_away()) is not None:
                        stack.enter_context(away)
                await self.attention.wait()
        except BaseException:
            self.end()
            raise
        finally:
            self.attention = None


class Endings(EventIterator[E]):
    """The iterator of ``Executor.as_completed()``."""

    def __init__(self, events: Iterable[E]) -> None:
        self._watch = watch = _Watch[E]()
        self._consumer = anyio.ResourceGuard("iterating over")
        self._is_closed = False
        running = running_here()
        for event in events:
            if not isinstance(cast("object", event), Event):
                raise TypeError(f"as_completed() takes events, got {type(event).__name__}")
            if any(event is one for one in running):
                raise RuntimeError(f"{event} would wait for its own end")
            watch.watched[event.id] = event
            if event._host is not None:
                watch.hosts[id(event._host)] = event._host
        watch.begin()

    async def __anext__(self) -> E:
        with self._consumer:
            return await self._next()

    async def _next(self) -> E:
        """Return the next event, or raise ``StopAsyncIteration``."""
        watch = self._watch
        if watch.ended or not watch.watched or self._is_closed:
            await checkpoint()
        else:
            watch.begin()  # again, after a wait that was cancelled
            while not (watch.ended or not watch.watched or self._is_closed):
                await watch.wait()
        if self._is_closed:
            raise StopAsyncIteration
        if watch.ended:
            return _look_at(watch.ended.popleft())
        return self._last_word()

    def _last_word(self) -> E:
        """Handle events reported as lost: return one that finished after a restart, otherwise raise."""
        lost = self._watch.lost
        for event in lost:
            if event.execution.status in TERMINAL:
                lost.remove(event)
                return _look_at(event)
        self._is_closed = True
        if lost:
            lost[0]._check_ended()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """
        End the iteration; the events stay as they are. Idempotent.

        Cancellation: a checkpoint; the iterator is closed before it.
        """
        self._is_closed = True
        self._watch.end()
        if self._watch.attention is not None:
            self._watch.attention.set()
        await checkpoint()

    def __del__(self) -> None:
        self._watch.end()


def _look_at(event: E) -> E:
    """Note that the consumer sees how the event ended, then return the event."""
    if event._unseen is not None:
        event._unseen.look_at(event)
    return event
