"""What a journal needs of its executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._status import EventStatus

    from .reports import JournalReports


class JournalHost(Protocol):
    """
    What a journal session needs of the executor. No method may wait.

    Attributes:
        reports: Tells what happens to the journal.
    """

    reports: JournalReports

    def find_in_memory(self, event_id: UUID) -> Event | None:
        """Return an event that is in memory. None if it is not there."""

    def find_ended_while_closed(self, event_id: UUID) -> Event | None:
        """
        Return an event that ended while the journal was closed, so that its end is still to be written.

        It may have been removed from memory since. None if there is no event with this id.
        """
        ...

    def accepts(self, event: Event) -> bool:
        """Return whether the executor takes events of this class."""
        ...

    def retire(self, status: EventStatus) -> None:
        """Learn that the ends of some events with a status are on disk, so that these events may leave memory."""

    def next_to_start(self, ending: int) -> list[Event]:
        """
        Return the events that start next. Empty if a limit, a window, a gate or a hold may keep them back.

        Args:
            ending: How many running events are about to give their slots back.
        """
        ...

    def journal_closing(self) -> None:
        """Learn that the session writes nothing more."""

    def was_read(self, event: Event, seq: int) -> None:
        """Learn that an event that has ended was read from a row: to look at this object is to look at the event."""

    def changed_outside(self) -> None:
        """Learn that another process has changed the file: the inbox may have something new."""

    def rows_deleted(self, counts: dict[str, int]) -> None:
        """Learn how many ended events were deleted from the file, by status."""

    def hold(self, token: object) -> None:
        """Start no event until :meth:`release_hold` is called with the token."""

    def release_hold(self, token: object) -> None:
        """End a hold. Events start again once no hold is left."""
