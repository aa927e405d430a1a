"""An event on its way to the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec._journal.inserts import PendingInsert
    from lionpride_exec._journal.session import JournalSession


@attrs.define(eq=False)
class Coming:
    """
    An event that is stored and on its way to the disk.

    Attributes:
        event: The event.
        options: How the event is queued once it is on disk.
        arrival: The insert of the event's row. It is done once the row has been committed or was refused.
        session: The journal that was open when the event came.
        takes_room: Whether room in the queue was promised to the event.
        is_final: Whether the event had ended before it came.
        queued_at: The ``queued_at`` of the event's record before it came.
        keyless: The id of the event that has lost its key to this one. None if there is none.
        is_decided: Whether the event was queued, or has left again.
        taken: The event, or the known event with its key. None until ``wait_all_stored()`` has set it.
    """

    event: Event
    options: SubmitOptions
    arrival: PendingInsert
    session: JournalSession
    takes_room: bool
    is_final: bool
    queued_at: datetime | None
    keyless: UUID | None = None
    is_decided: bool = False
    taken: Event | None = None
