"""What an executor still notes about events in progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._view import ExecutorView, end_waiters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lionpride_exec import Executor

    from ._view import ProcessorView


def leftovers(executor: Executor) -> dict[str, list[Any]]:
    """
    Return the notes that an executor has about events in progress, by name. O(number of events).

    Once every event has ended there must be none, so the answer is an empty dict. Keys, counts and results are no such
    notes: they stay as long as their events do.
    """
    view = ExecutorView(executor)
    notes: dict[str, Iterable[Any]] = {
        "running": view.running,
        "early": view.early,
        "waiting_after": view.waiting_after,
        "followers": view.followers,
        "unsettled": view.unsettled,
        "deferred_ends": view.deferred_ends,
        "unannounced_ends": view.unannounced_ends,
        "pending_writes": view.pending_writes,
        "guests": view.guests,
        "end_waiters": (waiter for event in executor.states.items for waiter in end_waiters(event) or ()),
    }
    if view.processor is not None:
        notes |= _leftovers_of_processor(view.processor)
    return {name: found for name, note in notes.items() if (found := list(note))}


def _leftovers_of_processor(view: ProcessorView) -> dict[str, Iterable[Any]]:
    queue = view.processor.queue
    return {
        "started": view.running,
        "queued": queue.entries(),
        "backlog": range(queue.backlog_size()),
        "room_waiters": range(view.room_waiters),
        "promised_places": range(view.promised_places),
        "asked": () if view.asked is None else (view.asked,),
        "strikes": view.strikes,
        "first_starts": view.first_starts,
        "excluded_from_waits": view.excluded_from_waits,
        "unbegun_starts": view.unbegun_starts,
        "limits_held": (state for state in view.limit_states if state.uses > len(state.returns())),
    }
