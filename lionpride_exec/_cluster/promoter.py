"""Puts delayed events into their streams once they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from anyio import move_on_after

from lionpride_exec.errors import ClusterError

if TYPE_CHECKING:
    from .server_queue import ServerQueue

# Seconds between two calls, if no event is due before.
MAX_SLEEP: Final = 5.0


class Promoter:
    """
    Puts the delayed events of a queue into their streams in time. The promoter of each worker does so for all events.

    Args:
        queue: The queue.
    """

    def __init__(self, queue: ServerQueue) -> None:
        self._queue = queue
        self._has_changed = anyio.Event()  # set when something may be due earlier; replaced before the server is asked

    def look_again(self) -> None:
        """Ask the server again what is due: an event may have become due earlier."""
        self._has_changed.set()

    async def run(self) -> None:
        """
        Promote events until cancelled.

        Raises:
            ClusterError: The server refuses, or has lost its data.
        """
        while True:
            self._has_changed = anyio.Event()
            try:
                seconds = await self._queue.promote()
            except ClusterError as error:
                if not error.retryable:
                    raise
                seconds = None
            with move_on_after(MAX_SLEEP if seconds is None else min(seconds, MAX_SLEEP)):
                await self._has_changed.wait()
