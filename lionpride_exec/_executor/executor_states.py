"""
The lifetimes of an executor's task group and of its two tasks, as tables.

The owner of the group may be a block, ``run()``, or the root task behind ``start()``. The dispatcher runs in the group.
Each of the three has a state, and one part moves it: ``ExecutorGroup``, ``DispatcherTask``, ``RootTask``::

    group        IDLE ─▶ OPEN ◀─▶ LEAVING
                  ▲ ▲     │ │        │
                  │ └─────┘ ▼        │
                  └────── BROKEN ◀───┘

    dispatcher   GONE ─▶ LAUNCHED ◀─▶ RUNNING
                  ▲          │           │
                  └──────────┴───────────┘

    root task    GONE ─▶ LAUNCHED ──▶ RUNNING
                  ▲          │           │
                  └──────────┴───────────┘

The root task outlives its group, and a group may have another owner. So these are two machines, and each pair of their
states has a meaning:

- The group is IDLE while there is a root task: the root task is going to open the group, or is about to end.
- The group is not IDLE, and there is a root task: the root task owns the group.
- The group is not IDLE, and there is no root task: a block or ``run()`` owns the group.

A dispatcher lives in a group: it is GONE whenever the group is IDLE. While the group is BROKEN, a dispatcher that is
LAUNCHED does nothing any more: it ends at its first step, or asyncio cancels it before.

Three attributes of ``Transitions`` are no states of these machines. ``is_abandoned`` is an answer for tasks that wait.
It is set when the executor has been left and cleared by the next ``start()``, whatever the group does meanwhile.
``crash`` is an exception that waits for the next call, long after the root task has ended. ``is_loop_ending`` is no
state but a question to the root task: the root task sets the attribute when it is launched and resets it when it ends.
"""

from __future__ import annotations

from contextvars import ContextVar
from enum import Enum
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.state_machine import StateMachine, transition_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec._base.state_machine import Notifiable


# Set while the executor does what another process asks for. It may do so while its block is being left, since a journal
# keeps what comes too late for the block.
asked_from_outside: Final[ContextVar[bool]] = ContextVar("asked_from_outside", default=False)


class GroupState(Enum):
    """What the task group of an executor does."""

    IDLE = "idle"
    """There is no group. The last one may still be closing, with nothing in it that runs events."""
    OPEN = "open"
    """The group is open. The dispatcher can be launched in it."""
    LEAVING = "leaving"
    """The block is being left: it waits for its events. Only events that run here may append events."""
    BROKEN = "broken"
    """The group was left early, by a crash or a cancellation, and closes. Nothing begins in it any more."""


GROUP_TRANSITIONS: Final[Mapping[GroupState, frozenset[GroupState]]] = transition_table(
    {
        GroupState.IDLE: {GroupState.OPEN},
        GroupState.OPEN: {GroupState.LEAVING, GroupState.IDLE, GroupState.BROKEN},  # IDLE: the group is at rest
        GroupState.LEAVING: {GroupState.OPEN, GroupState.BROKEN},  # OPEN: stopped, but the dispatcher has not ended
        GroupState.BROKEN: {GroupState.IDLE},
    }
)


class TaskState(Enum):
    """How far the dispatcher or the root task is."""

    GONE = "gone"
    """There is no task, or it has ended."""
    LAUNCHED = "launched"
    """The task is to take its first step. asyncio can cancel the task before that, and then none of its code runs."""
    RUNNING = "running"
    """The task has taken its first step. It says itself that it ends."""


DISPATCHER_TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = transition_table(
    {
        TaskState.GONE: {TaskState.LAUNCHED},
        # GONE: the group was left early before the first step.
        TaskState.LAUNCHED: {TaskState.RUNNING, TaskState.GONE},
        # LAUNCHED: asyncio cancelled the task past all cancel scopes, and another task replaces it.
        TaskState.RUNNING: {TaskState.GONE, TaskState.LAUNCHED},
    }
)

ROOT_TASK_TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = transition_table(
    {
        TaskState.GONE: {TaskState.LAUNCHED},
        # GONE: the event loop ended before the first step, or could not start the task.
        TaskState.LAUNCHED: {TaskState.RUNNING, TaskState.GONE},
        TaskState.RUNNING: {TaskState.GONE},
    }
)


class GroupLifecycle(StateMachine[GroupState]):
    """
    The lifetimes of the groups of one executor, one after the other.

    Args:
        condition: Is notified after each change.
    """

    __slots__ = ()

    def __init__(self, condition: Notifiable) -> None:
        super().__init__("executor group", GROUP_TRANSITIONS, GroupState.IDLE, condition)


class DispatcherLifecycle(StateMachine[TaskState]):
    """
    The lifetimes of the dispatchers of one executor, of which there is at most one at a time.

    Args:
        condition: Is notified after each change.
    """

    __slots__ = ()

    def __init__(self, condition: Notifiable) -> None:
        super().__init__("dispatcher", DISPATCHER_TRANSITIONS, TaskState.GONE, condition)


class RootTaskLifecycle(StateMachine[TaskState]):
    """
    The lifetimes of the root tasks of one executor, of which there is at most one at a time.

    Args:
        condition: Is notified after each change.
    """

    __slots__ = ()

    def __init__(self, condition: Notifiable) -> None:
        super().__init__("root task", ROOT_TASK_TRANSITIONS, TaskState.GONE, condition)
