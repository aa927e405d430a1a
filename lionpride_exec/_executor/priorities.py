"""Giving an event that waits another priority, wherever in the executor it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lionpride_exec._events.submit_options import PLAIN, priority_of
from lionpride_exec._processing import steering
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

    from .parts import Parts


def set_priority(parts: Parts, event: Event, priority: float | None) -> bool:
    """
    Give an event that waits another priority, and have it written if there is a journal.

    Args:
        parts: The parts of the executor.
        event: An event of the executor.
        priority: Lower runs first; finite. None for the default.

    Returns:
        Whether the event waits. If not, nothing has changed.

    Raises:
        ValueError: The priority is NaN or infinite. Nothing has changed.
        ConfigurationError: The executor has a cluster. Nothing has changed.
        RuntimeError: This is not the thread of the event loop. Nothing has changed.
    """
    parts.coordination.check_thread()
    if priority is not None:
        priority = check_priority(priority)
    if parts.cluster is not None:
        raise ConfigurationError(
            "set_priority() is not available with a cluster: the level of an event on the server is that of append(). "
            "Cancel the event and append event.as_fresh_event() with the new priority"
        )
    if event.execution.status is not EventStatus.PENDING or event.id in parts.coordination.deferred_ends:
        return False
    queueing, waiting = parts.queueing, parts.dependencies.waiting
    if event.id in waiting:
        options, needed = waiting[event.id]
        waiting[event.id] = attrs.evolve(options, priority=priority), needed
    elif queueing.inserts is not None and queueing.inserts.is_being_stored(event):
        queueing.inserts.set_priority(event, priority)
    elif queueing.enqueue_override.set_priority(event.id, priority):
        pass
    elif queueing.processor is None or not steering.set_priority(
        queueing.processor, event.id, priority_of(event, priority)
    ):
        queueing.early[event.id] = attrs.evolve(queueing.early.get(event.id, PLAIN), priority=priority)
    if (link := parts.link) is not None and link.session is not None:
        link.session.record_priority(event, priority)
    elif link is not None and event._seq:
        link.while_closed.priorities[event._seq] = priority
    return True
