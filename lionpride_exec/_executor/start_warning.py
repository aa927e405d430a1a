"""
The warning that tasks wait for an executor that was not started, or that was stopped.

A task that waits for an event asks the executor for a signal, which is set at the end of the event. While the executor
does not run, it gives out signals that warn. So a wait in an executor that runs costs nothing more. A stopped executor
does not end the waits itself: any task may start it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Self

import anyio

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wording import counted, shown_seconds

if TYPE_CHECKING:
    from .executor_lifetime import ExecutorLifetime
    from .facade import Facade
    from .transitions import Transitions

logger = logging.getLogger("lionpride_exec")

# A wait of this many seconds is worth a warning. A program that waits first and starts the executor later is quicker.
WARN_AFTER: Final = 5.0


class StartWarning:
    """
    Warns once that tasks wait for the events of an executor that does not run.

    Args:
        executor: The executor.
        transitions: Knows the events that somebody runs by hand.
        lifetime: Knows whether the executor runs.
    """

    def __init__(self, executor: Facade, transitions: Transitions, lifetime: ExecutorLifetime) -> None:
        self.waiting: dict[Signal, float] = {}  # the tasks that wait, in their order, and since when
        self._executor = executor
        self._transitions = transitions
        self._lifetime = lifetime
        self._has_warned = False

    def new_signal(self) -> Signal:
        """Return the signal of a task that begins to wait while the executor does not run."""
        return Signal(self)

    def warn(self) -> None:
        """Log the warning, if the executor does not run yet and there was no warning before."""
        if not self._has_warned and (told := self.describe()) is not None:
            self._has_warned = True
            if self._lifetime.is_running:
                text = "%r does not run since stop(), %s: leave the loop and the block, or use 'await executor.start()'"
            else:
                text = "%r does not run, %s: use 'async with executor:' or 'await executor.start()'"
            logger.warning(text, self._executor, told)

    def describe(self) -> str | None:
        """Return how many tasks wait, and for how long. None if nobody has waited for long, or the executor runs."""
        lifetime = self._lifetime
        is_at_work = self._transitions.running or (lifetime.is_running and not lifetime.is_stopped)
        if not self.waiting or is_at_work:
            return None
        seconds = current_time() - next(iter(self.waiting.values()))
        if seconds < WARN_AFTER:
            return None
        number = len(self.waiting)
        return f"and {counted(number, 'task')} {'has' if number == 1 else 'have'} waited for {shown_seconds(seconds)}"


class Signal(anyio.Event):
    """An ``anyio.Event`` whose waiting task is known to the warning."""

    def __new__(cls, warning: StartWarning) -> Self:  # noqa: ARG004  for the constructor
        """Make the object itself: ``anyio.Event`` would make one of the backend."""
        return object.__new__(cls)

    def __init__(self, warning: StartWarning) -> None:
        self._event = anyio.Event()
        self._warning = warning

    def set(self) -> None:
        """Wake the task."""
        self._event.set()

    def is_set(self) -> bool:
        """Return whether the task was woken."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait until the signal is set. After some seconds, warn if the executor does not run."""
        waiting = self._warning.waiting
        waiting[self] = current_time()
        try:
            with anyio.move_on_after(WARN_AFTER):
                await self._event.wait()
            if not self._event.is_set():
                self._warning.warn()
                await self._event.wait()
        finally:
            del waiting[self]

    def statistics(self) -> anyio.EventStatistics:
        """Return how many tasks wait."""
        return self._event.statistics()
