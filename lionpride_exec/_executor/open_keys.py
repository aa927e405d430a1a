"""Whether a key is that of an event, for people who pause a key by its name and may have misspelled it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

from lionpride_exec._status import PENDING, PROCESSING

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.status_index import StatusIndex

    from .facade import Facade

# Events that are looked at between two checkpoints.
AT_A_TIME: Final = 200


async def has_open_events(executor: Facade, index: StatusIndex, keys: Collection[Hashable], limit: str | None) -> bool:
    """
    Return whether an event that has not ended has one of these keys, whatever the event waits for. O(open events).

    Args:
        executor: The executor.
        index: Where its events are.
        keys: The keys.
        limit: The name of the limit that has the key. None for any limit, and for partitions.
    """
    processor = executor.processor
    if processor is None:
        return False
    for number, event_id in enumerate([*index.event_ids(PENDING, PROCESSING)], 1):
        event = index.items.get(event_id, None)
        if event is not None and any(key in keys for key in _keys_of(processor, event, limit)):
            return True
        if number % AT_A_TIME == 0:
            await checkpoint()
    return False


def _keys_of(processor: Processor, event: Event, limit: str | None) -> Collection[Hashable]:
    """Return the keys of an event: what the queue or its run has read of the event, else what is read now."""
    run = processor._running.get(event.id.int)
    entry = processor.queue.entry_of(event.id) if run is None else run.entry
    router = processor.router
    try:
        key = router.route(event).key if entry is None else entry.route.key
    except Exception:  # noqa: BLE001  of a function of the user: the event fails when it is queued
        return ()
    if limit is None:
        return key
    return [key[place] for each, place in router.places() if each.name == limit]
