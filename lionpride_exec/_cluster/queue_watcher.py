"""Following all transitions of a queue, from any point that the server still has."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Self
from uuid import UUID

import anyio
import attrs
from anyio import current_time

from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ClusterError, WatcherTooSlow

from .server_queue import KEEP_TRANSITIONS, READ_AT_A_TIME, moved_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server_queue import ServerQueue

# Seconds between two reads while there is nothing new.
SECONDS_BETWEEN_READS = 0.1

# If two reads are so many seconds apart or less, the server has dropped no transition in between.
SAFE_GAP = KEEP_TRANSITIONS / 1000 / 2


@attrs.frozen
class QueueTransition:
    """
    A transition of an event in the queue of a cluster. Any executor may have submitted the event.

    Attributes:
        cursor: The place of the transition among all of the queue, for ``Cluster.watch(since=...)``.
        event_id: The id of the event.
        status: The new status.
        attempt: How often the event has begun.
        worker: The name of the worker that reported the transition. "" if the server made it by itself.
        at: When the transition was recorded, by the clock of the server, UTC.
    """

    cursor: str
    event_id: UUID
    status: EventStatus
    attempt: int
    worker: str
    at: datetime


class QueueWatcher:
    """
    Returns the transitions of a queue, oldest first: ``async for transition in cluster.watch()``.

    Args:
        queue: Returns the open queue.
        since: Only transitions after this cursor. With None, those from now on.
    """

    def __init__(self, queue: Callable[[], ServerQueue], since: str | None) -> None:
        self._queue = queue
        self._cursor = since
        self._unread: deque[QueueTransition] = deque()
        self._last_read = -inf  # loop time

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> QueueTransition:
        """
        Return the next transition, once there is one.

        Raises:
            WatcherTooSlow: The server has dropped transitions that were not read.
            ClusterError: The server was not reached, or the executor of the cluster does not run any more.

        Cancellation: nothing is lost: the next call returns the transition.
        """
        while not self._unread:
            if not await self._read():
                await anyio.sleep(SECONDS_BETWEEN_READS)
        return self._unread.popleft()

    async def _read(self) -> bool:
        """Read new transitions. Return whether there were any."""
        queue = self._queue()
        name = f"{queue.prefix}t"
        if self._cursor is None:
            self._cursor, _ = await queue.states([])
            self._last_read = current_time()
        cursor = self._cursor
        if _place(cursor) > (0, 0) and current_time() - self._last_read > SAFE_GAP and await queue.has_dropped(cursor):
            raise WatcherTooSlow(f"the server may have dropped transitions after {cursor}")
        self._last_read = current_time()
        answer = await queue.wire.command(lambda client: client.xread({name: cursor}, count=READ_AT_A_TIME))
        moved = [moved_of(entry) for entry in (answer or {}).get(name.encode(), ())]
        if moved:
            self._cursor = moved[-1].cursor
            self._unread += [
                QueueTransition(
                    one.cursor,
                    UUID(one.event_id),
                    EventStatus(one.status),
                    one.attempt,
                    one.worker,
                    datetime.fromtimestamp(_place(one.cursor)[0] / 1000, UTC),
                )
                for one in moved
                if one.event_id  # else another program has written the entry
            ]
        return bool(moved)


def _place(cursor: str) -> tuple[int, int]:
    """
    Return a cursor as numbers.

    Raises:
        ClusterError: It is no cursor.
    """
    milliseconds, _, number = cursor.partition("-")
    try:
        return int(milliseconds), int(number or 0)
    except ValueError:
        raise ClusterError(f"{cursor!r} is no cursor of a transition") from None


publish_classes(QueueTransition, QueueWatcher)
