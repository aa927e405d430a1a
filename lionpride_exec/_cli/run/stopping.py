"""How a process that runs events ends before its time: by signals, or by an error."""

from __future__ import annotations

import os
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Any

import anyio

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._cli.errors import OutputError
from lionpride_exec._cli.exit_status import COMPLETED, INCOMPLETE, INTERRUPTED
from lionpride_exec._cli.streams import say_block
from lionpride_exec.errors import ClusterError, JournalError

from .error_report import user_traceback_of
from .target import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskStatus

    from lionpride_exec._executor.executor import Executor

    from .display import CommandDisplay


class StopSignals:
    """
    What Ctrl-C and SIGTERM do while an executor runs.

    Once: nothing more is started, and what runs may finish. Twice: what runs is cancelled. Three times: the process
    ends at once.

    Args:
        executor: Runs the events.
        display: Shows messages.
        stop: Called at the first signal. It returns the message.
        grace: Seconds that what runs may take after the first signal. None if it may take as long as it needs.

    Attributes:
        count: How many signals have come.
    """

    def __init__(
        self, executor: Executor, display: CommandDisplay, stop: Callable[[], str], *, grace: float | None = None
    ) -> None:
        self.count = 0
        self._executor = executor
        self._display = display
        self._stop = stop
        self._grace = grace

    async def watch(self, *, task_status: TaskStatus[Any]) -> None:
        """Watch for signals until cancelled."""
        with anyio.open_signal_receiver(SIGINT, SIGTERM) as signals:
            async with anyio.create_task_group() as stopping:
                task_status.started()
                async for _ in signals:
                    self.count += 1
                    if self.count == 1:
                        message = self._stop()
                        stopping.start_soon(self._executor.stop, self._grace)
                        self._display.message(message)
                    elif self.count == 2:  # noqa: PLR2004  the second
                        self._display.message("cancelling what runs; Ctrl-C again leaves at once")
                        stopping.start_soon(self._executor.stop, 0)
                    else:
                        self._display.close()
                        os._exit(INTERRUPTED)


def status_after(exc: BaseException, display: CommandDisplay) -> int:
    """
    Tell what has ended a run early, and return the exit status.

    An error of the target's own code around the events, such as its lifespan, is told with its traceback.

    Raises:
        BaseException: The error itself, if it is one that must not end a run.
    """
    status, told = COMPLETED, set[str]()
    for leaf in leaves(exc):
        traceback_text = ""
        if isinstance(leaf, OutputError | JournalError | ClusterError):
            message, its_status = f"{leaf}; stopped", INCOMPLETE
        elif isinstance(leaf, KeyboardInterrupt):
            message, its_status = "", INTERRUPTED
        elif isinstance(leaf, SystemExit):
            message, its_status = f"an event raised {describe(leaf)}; stopped", INCOMPLETE
        else:
            traceback_text = user_traceback_of(leaf)
            if not traceback_text:
                raise exc
            message, its_status = f"{describe(leaf)}; stopped", INCOMPLETE
        if message and message not in told:  # several tasks may have met the same error
            told.add(message)
            display.close()  # the lines of a traceback are written as they are
            say_block(message, traceback_text)
        status = max(status, its_status)
    return status
