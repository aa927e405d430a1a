"""An event between its submission and the answer of the server."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import anyio
import attrs

if TYPE_CHECKING:
    from datetime import datetime

    from lionpride_exec._events.event import Event


@attrs.define(eq=False)
class Submitted:
    """
    An event that was sent to the server.

    Attributes:
        event: The event.
        queued_at: The ``queued_at`` of its record before that.
        taken: The event, or the known event with its key. None until it is known.
        error: Why neither is here. None until it is known.
        decided: Set when one of the two is known.
    """

    event: Event
    queued_at: datetime | None
    taken: Event | None = None
    error: Exception | None = None
    decided: anyio.Event = attrs.field(factory=anyio.Event)

    async def wait(self) -> Event:
        """
        Return the event, or the known event with its key, once the server has answered.

        Raises:
            ClusterError: The server was not reached, or refused. The event may be in the queue all the same.
            NotFoundError: An event in ``after`` is not in the queue.
            ExistsError: The key belongs to an event that cannot be here.
        """
        await self.decided.wait()
        if self.taken is None:
            assert self.error is not None
            raise copy(self.error) from self.error.__cause__  # a new one each time: tasks must not share a traceback
        return self.taken
