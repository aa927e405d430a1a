"""
A run of an event: what is known of the run while it lasts.

The record (``Execution``) says what has happened to an event, and is kept, copied and stored. Whether a task runs the
event now, how to cancel that task, and which outcome was decided from outside belong to the run. So they are in an
object that exists during the run only. ``event._current_run`` is that object, and ``NOT_RUNNING`` at other times.

``Event.invoke()`` makes this object. A processor makes a ``ProcessorRun`` instead (``_processing.processor_run``),
before it calls ``invoke()``.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._offload.offload import Offload
from lionpride_exec._status import TERMINAL

if TYPE_CHECKING:
    from anyio import CancelScope

    from lionpride_exec._offload.pausable_timeout import PausableTimeout
    from lionpride_exec._status import EventStatus


class RunningEvent:
    """
    An event that a task runs now.

    Attributes:
        event: The event.
        is_active: Whether the run has begun, and its outcome is not recorded yet. Exactly then the event counts as
            running. A record that says PROCESSING may have been restored, without a task that runs the event.
        scope: Cancels the run. None before and after the run. A worker has one scope for all events that it runs.
        is_given_up: Whether the task that made the run has ended before the run. The task that runs the event, by a
            call of ``invoke()``, then puts ``NOT_RUNNING`` in the place of the run.
        forced_outcome: The final status and the error of a run that is being cancelled. None if nothing was decided.
        timeout: How many seconds the run may take if the event has no timeout of its own. None for no limit.
        time_left: The timeout of the run, once it has begun. None without one.
    """

    __slots__ = ("event", "forced_outcome", "is_active", "is_given_up", "scope", "time_left", "timeout")

    def __init__(self, event: Any) -> None:
        self.event = event
        self.is_active: bool = False
        self.scope: CancelScope | None = None
        self.is_given_up: bool = False
        self.forced_outcome: tuple[EventStatus, BaseException] | None = None
        self.timeout: float | None = None
        self.time_left: PausableTimeout | None = None

    @property
    def offload(self) -> Offload:
        """Where plain functions of the event run: without a processor, in places that all these events share."""
        return _shared_offload()


@cache
def _shared_offload() -> Offload:
    return Offload()


# Stands for the run of an event that no task runs. Shared by all of them, so nothing of it changes.
NOT_RUNNING: Final = RunningEvent(None)

# What the current task runs, outermost first: events, and events whose permission gate is asked. An event that waited
# for one of them would wait for ever.
runs_here: ContextVar[tuple[RunningEvent, ...]] = ContextVar("runs_here", default=())


def running_here() -> list[Any]:
    """Return the events of the current context that have not ended: they run, or their permission gate is asked."""
    # A task that outlives the event which started it still has that event in its context.
    return [run.event for run in runs_here.get() if run.event.execution.status not in TERMINAL]
