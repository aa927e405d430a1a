"""What is not on disk yet of one event, and what a journal needs of its executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._status import EventStatus

    from .inserts import PendingInsert


class JournalHost(Protocol):
    """What a journal session needs of the executor. No method may wait."""

    def _find_here(self, event_id: UUID) -> Event | None:
        """Return an event that is in memory. None if it is not there."""

    def _find_ended_late(self, event_id: UUID) -> Event | None:
        """
        Return an event that ended while the journal was closed, so that its end is still to be written.

        It may have been removed from memory since. None if there is no event with this id.
        """
        ...

    def _takes(self, event: Event) -> bool:
        """Return whether the executor takes events of this class."""
        ...

    def _retire(self, event: Any) -> None:
        """Learn that the end of an event is on disk, so that the event may leave memory."""

    def _journal_closing(self) -> None:
        """Learn that the session writes nothing more."""

    def _journal_deleted(self, counts: dict[str, int]) -> None:
        """Learn how many ended events were deleted from the file, by status."""

    def _hold_back(self, token: object) -> None:
        """Start no event until the token is given to :meth:`_let_start`."""

    def _let_start(self, token: object) -> None:
        """Withdraw a token. Events start again once no token is left."""


@attrs.define(eq=False)
class PendingWrite:
    """
    What is not on disk yet of one event.

    Attributes:
        event: The event.
        insert: The row of the event, on its way to the disk. None once the row is there.
        final_status: The status the event ends with, once it is recorded. The event may not have been told yet.
        is_committed: Whether the row with the final status is on disk.
        on_commit: Called when the final status has been committed, if the event has not been told by then.
    """

    event: EventLifecycle
    insert: PendingInsert | None = None
    final_status: EventStatus | None = None
    is_committed: bool = False
    on_commit: Callable[[], None] | None = None
