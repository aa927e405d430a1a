"""
Executors that run each event in ``append()``.

Nothing is scheduled here. After each append, batches (``forward()``) run until the event has ended or has to wait for
something that a batch cannot bring about. So gates, limits and retries decide about an event as in any executor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from anyio import sleep

from lionpride_exec._events.event import Event
from lionpride_exec._events.running_event import running_here
from lionpride_exec._executor.executor import Executor
from lionpride_exec._model.waiting import WaitReason
from lionpride_exec._status import TERMINAL, EventStatus

from ._processor_view import ProcessorView
from ._view import is_running, prepare

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from datetime import datetime, timedelta
    from uuid import UUID

    from lionpride_exec._events.submit_options import Unique
    from lionpride_exec._processing.processor import Processor

E = TypeVar("E", bound=Event)
X = TypeVar("X", bound=Executor)

# What a batch cannot end.
HELD_UP = frozenset({WaitReason.PAUSED, WaitReason.DEPENDENCY, WaitReason.GATE, WaitReason.REFUSAL, WaitReason.LIMIT})


def inline(executor: X) -> X:
    """
    Make an executor run each event in ``append()``, for simple tests, and return the executor.

    ``executor = inline(MyExecutor(config))``. The executor need not be started. ``append()`` returns when the event has
    ended, in any final status. ``extend()``, ``invoke()`` and ``map()`` use ``append()``, so they do the same. A failed
    event raises nothing. Gates, limits, ``after``, keys and retries decide as in any executor:

    - If the event waits for a time, so does ``append()``: for a delay, the next attempt, a rate, or a gate that answers
      ``Wait``. Under virtual time this costs nothing; in real time it takes as long as it says.
    - If the event waits for anything else, it stays PENDING: for the end of a pause, another event, a gate that answers
      ``False``, or a limit that another event holds. The next ``append()`` or ``forward()`` tries again.

    The capacity window (``queue_capacity`` in ``capacity_refresh_time``) delays nothing, as in ``forward()``. Events
    that are pending already run too. An event can append others, which run before it goes on. Tasks that append at the
    same time may wait for each other's events.

    ``map()`` runs up to its ``lookahead`` before it yields the first result. It takes an async iterable only if the
    executor is started. With a journal the executor has to be started
    (``async with inline(MyExecutor(..., journal=...)):``), or ``append()`` raises :class:`ExecutorClosedError`.

    Cancellation: If ``append()`` is cancelled, the event that it runs ends CANCELLED. With a ``Retry`` or a journal the
    event stays PENDING.

    Args:
        executor: An executor of any class. It keeps this class, and runs events in ``append()`` from now on.

    Raises:
        TypeError: The argument is no executor.
    """
    if not isinstance(cast("object", executor), Executor):
        raise TypeError(f"executor must be an Executor, got {type(executor).__name__}")
    cls = type(executor)
    if not issubclass(cls, InlineExecutor):
        executor.__class__ = cast("type[X]", type(cls.__name__, (InlineExecutor, cls), {"__module__": cls.__module__}))
    return executor


class InlineExecutor(Executor):
    """The class that :func:`inline` puts before the class of an executor."""

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | None = None,
        after: Event | UUID | Iterable[Event | UUID] = (),
        after_any_end: Event | UUID | Iterable[Event | UUID] = (),
        key: Hashable = None,
        expires: float | timedelta | datetime | None = None,
        unique: Unique = "ever",
    ) -> E:
        """Take an event in, and run it."""
        if self.journal is None:
            await prepare(self)  # also what was appended before
        if wait and self.processor is not None:
            await self._make_room(self.processor)
            wait = self.processor.is_running
        later: dict[str, Any] = {} if after_any_end == () else {"after_any_end": after_any_end}  # as in invoke()
        taken = await super().append(
            event,
            priority,
            wait=wait,
            delay=delay,
            at=at,
            after=after,
            key=key,
            expires=expires,
            unique=unique,
            **later,
        )
        await self._run_now(taken)
        return taken

    async def _make_room(self, processor: Processor) -> None:
        """Run queued events until there is room in the queue, or until none of them can go on."""
        while processor.queue.is_full and not processor.is_running:
            queued = {entry.event_id for entry in processor.queue.entries()}
            await self.forward()
            if queued == {entry.event_id for entry in processor.queue.entries()}:
                return

    async def _run_now(self, event: Event) -> None:
        """Run batches until an event has ended, or waits for something that a batch cannot bring about."""
        if any(one is event for one in running_here()):
            return  # its key is known, and the event itself appends
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
        """Return the seconds after which a pending event can start. None if not only time has to pass."""
        assert self.processor is not None
        if event.id in ProcessorView(self.processor).strikes:
            return None  # asking again might end it
        return self.explain(event).seconds

    def _is_held_up(self, event: Event) -> bool:
        """Whether a pending event waits for what a batch cannot bring about. If not, other events go first."""
        return self.explain(event).waits_for in HELD_UP
