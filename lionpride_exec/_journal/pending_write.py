"""What is not on disk yet of one event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._status import EventStatus

    from .inserts import PendingInsert


@attrs.define(eq=False)
class PendingWrite:
    """
    What is not on disk yet of one event.

    Attributes:
        event: The event.
        insert: The row of the event, on its way to the disk. None once the row is there.
        final_status: The status the event ends with, once it is recorded. The event may not have been told yet.
        outcome: The outcome as it is stored, if it is recorded before the event is told.
        is_committed: Whether the row with the final status is on disk.
        on_commit: Called when the final status has been committed, if the event has not been told by then.
    """

    event: EventLifecycle
    insert: PendingInsert | None = None
    final_status: EventStatus | None = None
    outcome: bytes | None = None
    is_committed: bool = False
    on_commit: Callable[[], None] | None = None
