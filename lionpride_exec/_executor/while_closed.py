"""What happens to the events of an executor while its journal is closed. The next opening tells the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.departures import Departure
    from lionpride_exec._journal.session import JournalSession


class WhileClosed:
    """
    What the next opening of a journal writes.

    Attributes:
        departed: The events that were removed.
        ended: The events that ended, removed ones included.
        priorities: The new priorities of events, by the numbers of their rows. None for the default.
    """

    __slots__ = ("departed", "ended", "priorities")

    def __init__(self) -> None:
        self.departed: list[Departure] = []
        self.ended: dict[UUID, Event] = {}
        self.priorities: dict[int, float | None] = {}

    def tell(self, session: JournalSession) -> None:
        """Tell an opened journal, and forget everything."""
        for seq, priority in self.priorities.items():
            session.writer.next.record_priority(seq, priority)
        for departure in self.departed:
            session.depart(departure)
        self.departed.clear()
        self.ended.clear()
        self.priorities.clear()
