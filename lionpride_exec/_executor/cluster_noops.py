"""What an executor with a cluster does not do: parts that do nothing, since the server does their work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event


class NoQueueing:
    """In place of the queueing and the followers of an executor. The server queues events and their followers."""

    def queue_unless_handled(self, event: Event) -> None:
        """Do nothing: the processor gives the event back."""

    def forget_place(self, event: Event) -> None:
        """Do nothing: an event that ends while it waits has left the queue of the processor."""

    def follow_up(self, event: Event) -> None:
        """Do nothing: the server queues or skips the events that come after this one."""


def forget_nothing(_event_id: UUID) -> None:
    """Do nothing: the server has the keys."""
