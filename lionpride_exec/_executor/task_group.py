"""
The task group in which an executor lives: who owns it, what runs in it, and how it closes.

Whatever the lifetime, there is one group at a time. The dispatcher is a task in it that runs the processor's loop,
until that is stopped. When it has come to rest the group closes, and its guests are cancelled: tasks that run no
events, such as one that reads what a ``map()`` is given.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio import get_cancelled_exc_class

from lionpride_exec._base.backend import current_time, loop_clock, spawn, startable
from lionpride_exec._model.pile import Pile
from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.status_index import StatusBoard
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from anyio.abc import TaskGroup

    from lionpride_exec._base.conditions import Waiters
    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.subscriptions import Watchers


class Guest(Protocol):
    """A task in the group of an executor that runs no events."""

    def cancel(self) -> None:
        """Have it end."""


class GroupOwner(StatusBoard):
    """The part of an executor that owns a task group, and keeps the processor's loop alive in it."""

    _watchers: Watchers

    def __init__(self, event_type: type[Event], *, strict: bool, name: str) -> None:
        super().__init__(event_type, strict=strict, name=name)
        self._processor: Processor | None = None
        self._waiters: Waiters = self._coordination.conditions
        self._group: TaskGroup | None = None  # of the lifetime we are in
        self._is_broken = False  # that group is being left early: nothing in it is to go on
        self._guests: set[Guest] = set()  # tasks in that group that run no events; cancelled at its end
        self._background: object | None = None  # stands for the root task behind start(), while there is one
        self._is_ending: Callable[[], bool] = bool  # whether the event loop ends, and that root task with it
        self._clock: Callable[[], float] = current_time  # in a lifetime: the short way to the same reading
        self._is_dispatching = False  # a task of this executor keeps the processor's loop alive
        self._has_begun = False  # that task has taken its first step; before it, asyncio can end it without a trace
        self._is_abandoned = False
        self._crash: BaseException | None = None  # of the root task; whoever calls next is told

    # ---------------------------------------------------------------- the processor

    @property
    def processor(self) -> Processor | None:
        """
        The processor that starts the events. None until the first start, unless it was assigned before.

        Assign a processor that you made yourself, with ``pile=executor.states.items``, while the executor does not run:
        before the first start or after :meth:`stop`. ``_create_processor()`` does the same. What is pending is queued
        at the next start.

        Raises:
            ConfigurationError: Assigned a processor of another executor, or of another pile; nothing has changed.
            RuntimeError: Assigned while the executor runs, or a processor that runs already; nothing has changed.
        """
        return self._processor

    @processor.setter
    def processor(self, processor: Processor | None) -> None:
        if processor is self._processor:
            return
        if self._group is not None or self._background is not None or self._is_processing():
            raise RuntimeError(f"{self!r} is running: stop it before you assign another processor")
        if processor is not None:
            self._attach_processor(processor)
        self._processor = processor

    def _attach_processor(self, processor: Processor) -> None:
        """Have a processor share with this executor what both act on, or raise and change nothing."""
        pile: object = processor.pile
        if isinstance(pile, Pile) and pile is not self.states.items:
            raise ConfigurationError(f"The pile of {processor!r} must be executor.states.items: the events are there")
        processor._attach(self._coordination, self)

    def _is_processing(self) -> bool:
        """Return whether a task runs the processor."""
        return self._processor is not None and bool(self._processor._crews)

    # ---------------------------------------------------------------- the group

    @asynccontextmanager
    async def _own_group(self) -> AsyncGenerator[None]:
        """Own a task group for the dispatcher and what it starts, until both have come to rest."""
        group = anyio.create_task_group()
        try:
            async with group:
                self._group = group
                self._clock = loop_clock()
                self._is_broken = False
                self._waiters.notify()
                try:
                    yield
                    while not self._is_at_rest():
                        await self._waiters.wait_for(self._is_at_rest)
                except BaseException:
                    self._is_broken = True
                    raise
                else:
                    self._leave_group()  # no await since the check: nobody can start anything in it any more
                    for guest in tuple(self._guests):
                        guest.cancel()
                finally:
                    self._waiters.notify()
        except BaseException:
            self._abandon()
            raise
        finally:
            if self._group is group:  # else it has come to rest, and somebody may have the next one already
                self._leave_group()
                self._is_dispatching = False  # whatever it came to

    def _leave_group(self) -> None:
        self._group = None
        self._clock = current_time

    async def _wait_for_group(self) -> None:
        """Return when there is a task group, or none is to be expected: the background task may have yet to begin."""
        await self._waiters.wait_for(lambda: self._group is not None or self._background is None)

    def _check_not_running(self) -> None:
        if self._group is not None or self._background is not None:
            raise RuntimeError(f"{self!r} is running already")

    def _is_stopped(self) -> bool:
        return self._processor is not None and self._processor.is_stopped()

    def _is_at_rest(self) -> bool:
        """Whether the dispatcher is stopped and gone."""
        return self._processor is None or (self._is_stopped() and not self._is_dispatching)

    # ---------------------------------------------------------------- the dispatcher

    @property
    def _dispatches(self) -> bool:
        """Whether the dispatcher runs, or will: in a group that is being left early it does not begin any more."""
        return self._is_dispatching and (self._has_begun or not self._is_broken)

    def _launch(self, group: TaskGroup) -> None:
        if not self._is_dispatching:
            self._is_dispatching, self._has_begun = True, False
            group.start_soon(startable(self._keep_dispatching), group, name=f"{type(self).__name__} dispatcher")

    async def _keep_dispatching(self, group: TaskGroup) -> None:
        """Run the processor's loop until stopped: also when somebody else's runs first, or it is started again."""
        assert self._processor is not None
        if self._is_broken:
            self._is_dispatching = False
            self._waiters.notify()
            return
        self._has_begun = True
        try:
            while not self._processor.is_stopped():
                await self._processor.execute()
        except get_cancelled_exc_class():
            self._is_dispatching = False
            if anyio.current_effective_deadline() == -inf:
                raise
            self._launch(group)  # no scope asked for this cancellation: it ends this task, and another one goes on
        except BaseException:
            self._is_dispatching = False
            raise
        else:
            self._is_dispatching = False  # no await since the check of the loop above
        finally:
            self._waiters.notify()

    # ---------------------------------------------------------------- the root task behind start()

    def _ensure_dispatcher(self) -> None:
        """Have the dispatcher run: in the group there is, else in that of a root task of the event loop."""
        if self._group is not None:
            self._launch(self._group)
        elif self._background is None:
            self._background = token = object()
            try:
                self._is_ending = spawn(
                    partial(self._run_in_background, token),
                    name=f"{type(self).__name__} background",
                    on_end=partial(self._background_ended, token),
                )
            except BaseException:
                self._background = None
                raise

    async def _run_in_background(self, token: object) -> None:
        """Be the root task behind ``start()``: own the group, and keep a crash for whoever calls next."""
        try:
            while True:
                async with self._own_group():
                    assert self._group is not None
                    self._launch(self._group)
                if self._is_stopped():  # else it was started again while the group was closing
                    break
        except get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001  a root task has nobody to raise it to
            self._crash = exc
        finally:
            self._background_ended(token)

    def _background_ended(self, token: object) -> None:
        if self._background is token:
            self._background = None
            if not self._is_stopped():
                self._abandon()
            self._tell_failures()
            self._watchers.end()
            self._waiters.notify()

    @property
    def _is_interrupted(self) -> bool:
        """Whether the event loop that the executor lives in by ``start()`` is being ended."""
        return self._background is not None and self._is_ending()

    def _raise_crash(self) -> None:
        crash, self._crash = self._crash, None
        if crash is not None:
            raise crash

    # ---------------------------------------------------------------- the end

    def _abandon(self) -> None:
        """Tell everybody who waits that nothing will happen any more."""
        self._is_abandoned = True
        if self._processor is not None:
            self._processor.abandon()
            self._processor.queue.close()
        for status in (EventStatus.PENDING, EventStatus.PROCESSING):
            for event_id in self._by_status[status]:
                if (event := self.states.items.get(event_id, None)) is not None:
                    event._wake()
        self._watchers.end()
        self._waiters.notify()
