"""The steps of a worker that no task waits for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lionpride_exec.errors import ClusterError

from .cluster_tally import what_follows

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup

logger = logging.getLogger("lionpride_exec")


class ClusterSteps:
    """Sends steps in tasks of their own, in the group that was opened last."""

    def __init__(self) -> None:
        self._group: TaskGroup | None = None  # None without a connection

    def open(self, group: TaskGroup) -> None:
        """Send the steps in a group from now on."""
        self._group = group

    def close(self) -> None:
        """Send nothing more."""
        self._group = None

    def send(
        self, step: Callable[..., Coroutine[Any, Any, object]], *args: Any, then: Callable[..., None] | None = None
    ) -> None:
        """Send a step in a task, then call ``then``. If the step fails, others take the event after the lease."""

        async def send() -> None:
            """Send the step."""
            try:
                await step(*args)
            except ClusterError as error:
                logger.warning("a step was not recorded%s: %s", what_follows(error), error)
            finally:
                if then is not None:
                    then(*args)

        if self._group is not None:
            self._group.start_soon(send)
        elif then is not None:
            then(*args)
