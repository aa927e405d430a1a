"""What a running event gets of the events that it comes after."""

from __future__ import annotations

from typing import Any
from uuid import UUID


async def results_before(event: Any) -> list[Any]:
    """Return the results of the events that an event comes after; see ``Event.after_results()``."""
    results = []
    for each in event._after:
        other = each
        if isinstance(each, UUID):  # the event has left memory
            other = await event._host.executor.get(each)
            await other.wait()  # the server of a cluster knows of an end before its executor hears of it
        results.append(other.result())
    return results
