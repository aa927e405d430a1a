"""How far an event is on its way to the disk, and what a journal needs of the executor meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import Life
    from lionpride_exec._status import EventStatus

    from .commit import Arrival


class Host(Protocol):
    """What a book needs of the executor."""

    def _find_ended_late(self, event_id: UUID) -> Event | None:
        """Give an event whose end is still to be written, also one that was removed since."""
        ...

    def _find_here(self, event_id: UUID) -> Event | None:
        """Give an event that is in memory."""

    def _takes(self, event: Event) -> bool:
        """Whether an event is of a class that the executor takes."""
        ...

    def _retire(self, event: Any) -> None:
        """Let an event leave memory, whose end is on disk."""

    def _journal_closing(self) -> None:
        """Learn that from now on nothing is written."""

    def _journal_deleted(self, counts: dict[str, int]) -> None:
        """Learn that events that had ended were deleted from the file, by status."""

    def _hold_back(self, token: object) -> None:
        """Start nothing new, until the token is given back."""

    def _let_start(self, token: object) -> None:
        """Give a token back."""


@attrs.define(eq=False)
class Way:
    """
    How far an event is on its way to the disk.

    Attributes:
        event: Which one.
        arrival: Tells when the event itself is on disk; None: it is.
        end: What it ends with, if that has been noted; the event may not know of it yet.
        is_end_written: Whether that is on disk.
        then: Called when it is.
    """

    event: Life
    arrival: Arrival | None = None
    end: EventStatus | None = None
    is_end_written: bool = False
    then: Callable[[], None] | None = None
