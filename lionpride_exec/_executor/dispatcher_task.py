"""
The dispatcher: the task that runs the processor's loop, with its workers, in the task group of the executor.

There is at most one dispatcher. It ends when the processor is stopped. The states and the table are in
``executor_states.py``.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import anyio

from lionpride_exec._base.backend import startable

from .executor_states import DispatcherLifecycle, GroupState, TaskState

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from lionpride_exec._base.coordination import Coordination

    from .executor_states import GroupLifecycle
    from .facade import Facade
    from .transitions import Transitions


class DispatcherTask:
    """
    Keeps the processor's loop running until the processor is stopped.

    Args:
        executor: The executor, whose class names the task.
        coordination: The conditions that tasks wait for.
        transitions: Knows the processor.
        group: The state of the group in which the dispatcher is launched.

    Attributes:
        lifecycle: The state of the dispatcher.
    """

    def __init__(
        self, executor: Facade, coordination: Coordination, transitions: Transitions, group: GroupLifecycle
    ) -> None:
        self.lifecycle: DispatcherLifecycle = DispatcherLifecycle(coordination.conditions)
        self._executor = executor
        self._transitions = transitions
        self._group = group

    def is_stopped(self) -> bool:
        """Return whether there is a processor, and it is stopped."""
        processor = self._transitions.processor
        return processor is not None and processor.is_stopped()

    def is_at_rest(self) -> bool:
        """Return whether the processor is stopped and the dispatcher has ended, or there is no processor."""
        return self._transitions.processor is None or (
            self.lifecycle.state is TaskState.GONE and self._transitions.processor.is_stopped()
        )

    def ensure(self, group: TaskGroup) -> None:
        """Launch the dispatcher in the group of the executor, unless there is one."""
        if self.lifecycle.state is TaskState.GONE:
            self._launch(group)

    def group_closed(self) -> None:
        """Note that the group has closed. A dispatcher in it has ended, even if it never took its first step."""
        if self.lifecycle.state is not TaskState.GONE:
            self.lifecycle.move_to(TaskState.GONE)

    def _launch(self, group: TaskGroup) -> None:
        self.lifecycle.move_to(TaskState.LAUNCHED)
        group.start_soon(startable(self._run), group, name=f"{type(self._executor).__name__} dispatcher")

    async def _run(self, group: TaskGroup) -> None:
        """Run the processor's loop until the processor is stopped, even if another task runs the loop first."""
        if self._group.state is GroupState.BROKEN:
            self.lifecycle.move_to(TaskState.GONE)
            return
        self.lifecycle.move_to(TaskState.RUNNING)
        processor = self._transitions.processor
        assert processor is not None
        try:
            while not processor.is_stopped():
                await processor.execute()
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() > -inf:
                self._launch(group)  # no scope asked for this cancellation: replace the task
                return
            self.lifecycle.move_to(TaskState.GONE)
            raise
        except BaseException:
            self.lifecycle.move_to(TaskState.GONE)
            raise
        self.lifecycle.move_to(TaskState.GONE)  # no await since the loop's check
