"""
Executors that run each event in ``append()``.

Nothing is scheduled here: an append is followed by batches (``forward()``) until the event has ended, or cannot go on
by itself. So all that decides about an event decides as otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from anyio import sleep

from lionpride_exec._events.event import Event
from lionpride_exec._events.lifecycle import running_here
from lionpride_exec._executor.executor import Executor
from lionpride_exec._executor.explain import WaitReason
from lionpride_exec._status import TERMINAL, EventStatus

from ._view import ProcessorView, is_running, prepare

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._processing.processor import Processor

E = TypeVar("E", bound=Event)
X = TypeVar("X", bound=Executor)

# What somebody else has to end.
HELD_UP = frozenset({WaitReason.PAUSED, WaitReason.DEPENDENCY, WaitReason.GATE, WaitReason.LIMIT})


def inline(executor: X) -> X:
    """
    Have an executor run each event in ``append()``, for simple tests; the executor itself is given back.

    ``executor = inline(MyExecutor(config))``. It need not be started: ``append()`` returns when the event has ended,
    however it ended, and so do ``extend()``, ``invoke()`` and ``map()``, which stand on it. A failure is data: nothing
    is raised. Gates, limits, ``after``, keys and retries decide as otherwise:

    - What comes with time is waited for: a delay, the next attempt, a rate, a gate that answers ``Wait``. Under virtual
      time that is free; in real time it takes that long.
    - What does not is left PENDING: a pause, an event that has not completed and is come after, a gate that answers
      ``False``, a limit that somebody else holds. The next ``append()`` or ``forward()`` tries again.

    The capacity window (``queue_capacity`` in ``capacity_refresh_time``) holds nothing up, as in ``forward()``. Events
    that are pending already run along. An event may append others, and they run before it goes on. Tasks that append
    at the same time may wait for each other's events.

    ``map()`` runs up to its ``lookahead`` before it gives the first; an async iterable it takes only where the executor
    is started. With a journal the executor has to be started (``async with inline(MyExecutor(..., journal=...)):``), or
    ``append()`` raises :class:`ExecutorClosedError`.

    Cancellation: of ``append()``; what it runs ends CANCELLED (with a ``Retry`` or a journal: PENDING).

    Args:
        executor: Of any class. It stays of that class; there is no way back.

    Raises:
        TypeError: It is no executor.
    """
    if not isinstance(cast("object", executor), Executor):
        raise TypeError(f"executor must be an Executor, got {type(executor).__name__}")
    cls = type(executor)
    if not issubclass(cls, InlineExecutor):
        executor.__class__ = cast("type[X]", type(cls.__name__, (InlineExecutor, cls), {"__module__": cls.__module__}))
    return executor


class InlineExecutor(Executor):
    """What :func:`inline` puts before the class of an executor."""

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
    ) -> E:
        """Take an event in, as otherwise, and run it."""
        if self.journal is None:
            await prepare(self)  # also what was appended before
        if wait and self.processor is not None:
            await self._make_room(self.processor)
            wait = self.processor.is_running
        taken = await super().append(event, priority, wait=wait, delay=delay, at=at, after=after, key=key)
        await self._run_now(taken)
        return taken

    async def _make_room(self, processor: Processor) -> None:
        """Run what is queued until there is room, since nobody else does; or until nothing of it goes on."""
        while processor.queue.is_full and not processor.is_running:
            queued = {entry.event_id for entry in processor.queue.entries()}
            await self.forward()
            if queued == {entry.event_id for entry in processor.queue.entries()}:
                return

    async def _run_now(self, event: Event) -> None:
        """Return when an event has ended, or does not go on by itself."""
        if any(one is event for one in running_here()):
            return  # known by its key, and it is this that appends
        assert self.processor is not None
        while event.status not in TERMINAL and event in self:
            queued = self.processor.queue.qsize()
            await self.forward()
            if is_running(event):  # by the loop of a started executor, or for another caller
                await event.wait()
            elif event.status is EventStatus.PENDING:
                seconds = self._seconds_to_start(event)
                if seconds is not None:
                    await sleep(seconds)
                elif self._is_held_up(event) or self.processor.queue.qsize() == queued:
                    return

    def _seconds_to_start(self, event: Event) -> float | None:
        """Give the seconds after which a pending event may start without anybody doing anything; None: unknown."""
        assert self.processor is not None
        if event.id in ProcessorView(self.processor).strikes:
            return None  # asking again might end it
        return self.explain(event).seconds

    def _is_held_up(self, event: Event) -> bool:
        """Whether a pending event waits for what somebody has to do; if not, other events were in front of it."""
        return self.explain(event).waits_for in HELD_UP
