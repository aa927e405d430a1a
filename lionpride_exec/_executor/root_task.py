"""
The root task behind ``start()``: it owns the group of the executor, and no task waits for it.

A root task belongs to the event loop: asyncio or trio cancels it when the loop ends. A crash of a root task is kept for
the next call of the executor, which raises it. The states and the table are in ``executor_states.py``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from lionpride_exec._base.backend import spawn

from .executor_states import RootTaskLifecycle, TaskState

if TYPE_CHECKING:
    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .dispatcher_task import DispatcherTask
    from .executor_group import ExecutorGroup
    from .facade import Facade
    from .lifetime_log import LifetimeLog
    from .transitions import Transitions


class RootTask:
    """
    The root tasks of one executor, one after the other.

    Args:
        executor: The executor, whose class names the task.
        coordination: The conditions that tasks wait for.
        index: Tells of failures at the end.
        transitions: Keeps the crash, and asks whether the event loop is ending.
        subscriptions: The streams that end with the root task.
        dispatcher: The task that runs events in the group.
        group: The group that the root task owns.
        log: Is told of a crash.

    Attributes:
        lifecycle: The state of the root task.
    """

    def __init__(
        self,
        executor: Facade,
        coordination: Coordination,
        index: StatusIndex,
        transitions: Transitions,
        subscriptions: Subscriptions,
        dispatcher: DispatcherTask,
        group: ExecutorGroup,
        log: LifetimeLog,
    ) -> None:
        self.lifecycle: RootTaskLifecycle = RootTaskLifecycle(coordination.conditions)
        self._executor = executor
        self._index = index
        self._transitions = transitions
        self._subscriptions = subscriptions
        self._dispatcher = dispatcher
        self._group = group
        self._log = log
        self._launches = 0  # the number of the last task: an earlier one may still report its end

    def ensure(self) -> None:
        """Launch a root task that opens a group and launches the dispatcher, unless there is a root task."""
        if self.lifecycle.state is not TaskState.GONE:
            return
        self._launches += 1
        self.lifecycle.move_to(TaskState.LAUNCHED)
        try:
            self._transitions.is_loop_ending = spawn(
                self._run,
                name=f"{type(self._executor).__name__} background",
                on_end=partial(self._end_unless_begun, self._launches),
            )
        except BaseException:
            self.lifecycle.move_to(TaskState.GONE)
            raise

    async def _run(self) -> None:
        """Own the group. Keep a crash for the next call."""
        self.lifecycle.move_to(TaskState.RUNNING)
        try:
            while True:
                async with self._group.own() as task_group:
                    self._dispatcher.ensure(task_group)
                if self._dispatcher.is_stopped():  # else start() was called while the group was closing
                    break
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:  # noqa: BLE001  no caller waits for a root task
            self._transitions.crash = exc
            self._log.crashed(exc)
        finally:
            self._end()

    def _end_unless_begun(self, launch: int) -> None:
        """Note that a task has ended. A task that took its first step has said so itself."""
        if launch == self._launches and self.lifecycle.state is TaskState.LAUNCHED:
            self._end()

    def _end(self) -> None:
        """Tell everyone who waits that the root task ends."""
        self._transitions.is_loop_ending = bool
        try:
            if not self._dispatcher.is_stopped():
                self._group.abandon()
            self._index.tell_failures()
            self._subscriptions.end()
        finally:
            self.lifecycle.move_to(TaskState.GONE)
