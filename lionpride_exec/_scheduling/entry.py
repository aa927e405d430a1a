"""One queued event, as the queue and the lanes see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._model.limits import Route


class Entry(NamedTuple):
    """One queued event. Entries sort by priority, lower first, then by arrival, which is different for each."""

    priority: float
    arrival: int
    event_id: UUID
    route: Route
