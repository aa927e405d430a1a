"""
The task group that an executor lives in: what runs in it, how it comes to rest, and what happens if it is left early.

In the group run the dispatcher with the processor's workers; guests, which run no events, such as the reader of a
``map()`` source; and with a journal the tasks that write and close the journal.

After ``stop()``, the dispatcher ends when the running events have ended. The group is then at rest: its owner cancels
the guests, the journal closes, and the group ends. If the group is left early, by a crash or a cancellation, the
executor is abandoned: waiting tasks are woken, and pending events stay PENDING. The states and the table are in
``executor_states.py``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from threading import get_ident
from typing import TYPE_CHECKING

import anyio

from lionpride_exec._base.backend import current_time, loop_clock, startable
from lionpride_exec._status import EventStatus

from .executor_states import GroupState, TaskState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._iteration.map_options import Guest
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .backing import Backing
    from .dispatcher_task import DispatcherTask
    from .executor_states import GroupLifecycle
    from .facade import Facade
    from .lifetime_log import LifetimeLog
    from .transitions import Transitions


class ExecutorGroup:
    """
    The task groups of one executor, one after the other.

    Args:
        executor: The executor, whose class names the tasks.
        coordination: The conditions that tasks wait for.
        index: Where the events are.
        transitions: Is told the clock of the event loop, and whether the executor is abandoned.
        subscriptions: The streams that end with the group.
        dispatcher: The task that runs events in the group.
        lifecycle: The state of the group.
        backing: The journal or the cluster. None if the executor has none.
        entered: Returns what surrounds the group: the lifespan of the executor.
        log: Is told of each group.

    Attributes:
        lifecycle: The state of the group. Only this object moves it.
        task_group: The group. None exactly while the state is IDLE.
        guests: The tasks in the group that run no events. Empty once the group has closed.
    """

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        subscriptions: Subscriptions,
        dispatcher: DispatcherTask,
        lifecycle: GroupLifecycle,
        backing: Backing | None,
        entered: Callable[[], AbstractAsyncContextManager[None]],
        log: LifetimeLog,
    ) -> None:
        self.lifecycle: GroupLifecycle = lifecycle
        self.task_group: TaskGroup | None = None
        self.guests: set[Guest] = set()
        self._executor = executor
        self._coordination = coordination
        self._conditions = coordination.conditions
        self._index = index
        self._transitions = transitions
        self._subscriptions = subscriptions
        self._dispatcher = dispatcher
        self._backing = backing
        self._entered = entered
        self._log = log
        self._is_surrounded = False  # from before the lifespan is entered until it has been left

    # ---------------------------------------------------------------- owning the group

    @asynccontextmanager
    async def own(self, check_free: Callable[[], None] | None = None) -> AsyncGenerator[TaskGroup]:
        """
        Own a task group for the dispatcher and the tasks that it starts, until all of them have come to rest.

        Args:
            check_free: Raises if another task has started the executor while this one waited for the journal. None for
                the root task: while there is a root task, no other task opens a group.
        """
        if self._is_surrounded:
            await self._wait_for_turn(check_free)
        self._is_surrounded = True
        try:
            if self._backing is not None:  # here, since the owner before has closed what was open
                await self._backing.open()
            async with self._entered():
                if check_free is not None:
                    check_free()
                async with self._own() as group:
                    yield group
        finally:
            self._is_surrounded = False
            self._conditions.notify()

    async def _wait_for_turn(self, check_free: Callable[[], None] | None) -> None:
        """
        Wait until the last lifespan has been left, which may take longer than its group.

        A task that is just entering the lifespan goes first. ``check_free`` raises once that task has opened its group.
        """

        def is_decided() -> bool:
            """Return whether the lifespan is free, or another task has opened its group."""
            return not self._is_surrounded or (check_free is not None and self.lifecycle.state is not GroupState.IDLE)

        while self._is_surrounded:
            await self._conditions.wait_for(is_decided)
            if check_free is not None:
                check_free()

    @asynccontextmanager
    async def _own(self) -> AsyncGenerator[TaskGroup]:
        group = anyio.create_task_group()
        at_rest = self._dispatcher.is_at_rest
        error: BaseException | None = None
        try:
            async with group:
                self._open(group)
                try:
                    if self._backing is not None:
                        await self._backing.run_in(group)
                    self._log.started()
                    yield group
                    while not at_rest():
                        await self._conditions.wait_for(at_rest)
                except BaseException:
                    self.lifecycle.move_to(GroupState.BROKEN)
                    raise
                for guest in tuple(self.guests):
                    guest.cancel()
                self._close()  # no await since the check: nothing can be started in it any more
        except BaseException as exc:
            error = exc
            self.abandon()
            raise
        finally:
            if self.task_group is group:  # else it has come to rest, and the next group may be open already
                self._dispatcher.group_closed()
                self._close()
            self._log.stopped(error)

    @contextmanager
    def leaving(self) -> Generator[None]:
        """Let only running events append events, inside the block. After an error the group is BROKEN instead."""
        self.lifecycle.move_to(GroupState.LEAVING)
        yield
        self.lifecycle.move_to(GroupState.OPEN)

    def _open(self, group: TaskGroup) -> None:
        self.lifecycle.move_to(GroupState.OPEN)
        self.task_group = group
        self._coordination.thread = get_ident()
        self._transitions.clock = loop_clock()
        self.choose_signal(is_stopped=False)
        for launch in self._coordination.launchers:
            launch()

    def _close(self) -> None:
        self.task_group = None
        self._coordination.thread = None
        self._transitions.clock = current_time
        self.choose_signal(is_stopped=True)
        self.lifecycle.move_to(GroupState.IDLE)

    def choose_signal(self, *, is_stopped: bool) -> None:
        """Let the tasks that begin to wait from now on warn if the executor is stopped, or has no group."""
        if is_stopped or self.task_group is None:
            self._transitions.new_signal = self._transitions.idle_signal
        else:
            # anyio.Event() looks for the backend each time, for 1 us, and then makes an object of this class.
            self._transitions.new_signal = type(anyio.Event())

    def abandon(self) -> None:
        """Wake all waiting tasks, now that no group runs events any more."""
        transitions = self._transitions
        transitions.is_abandoned = True
        if transitions.processor is not None:
            transitions.processor.abandon()
            transitions.processor.queue.close()
        for event_id in self._index.event_ids(EventStatus.PENDING, EventStatus.PROCESSING):
            if (event := self._index.items.get(event_id, None)) is not None:
                event._wake()
        self._subscriptions.end()
        self._conditions.notify()
        if self._backing is not None:
            self._backing.abandon()

    def is_deserted(self) -> bool:
        """Return whether no task in the group can change an event any more, so that the journal may close."""
        # In a group that is left early, a dispatcher that has not taken its first step never runs an event.
        state = self.lifecycle.state
        is_over = state is GroupState.IDLE or state is GroupState.BROKEN
        return is_over and self._dispatcher.lifecycle.state is not TaskState.RUNNING and not self.guests

    # ---------------------------------------------------------------- guests

    def try_start_guest(self, guest: Guest, run: Callable[[], Coroutine[object, object, None]], name: str) -> bool:
        """
        Run a guest in the group: a task that runs no events. The guest is cancelled when the group closes.

        Returns:
            False if there is no group. Nothing was started then.
        """
        if self.task_group is None:
            return False
        self.guests.add(guest)
        self.task_group.start_soon(startable(run), name=f"{type(self._executor).__name__} {name}")
        return True

    def guest_ended(self, guest: Guest) -> None:
        """Note that a guest has ended. The journal may have stayed open only for that guest."""
        self.guests.discard(guest)
        self._conditions.notify()
