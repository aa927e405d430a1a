"""Invariants of what ``explain()`` says: what an event is said to wait for has not come yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._base.backend import current_time
from lionpride_exec._model.limits import Concurrent
from lionpride_exec._model.waiting import WaitReason

from .invariant import Findings, Look, When, invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lionpride_exec import Event, Processor
    from lionpride_exec._executor.explanation import Explanation
    from lionpride_exec.testing._processor_view import ProcessorView

# An explanation takes some microseconds, and is looked at after each transition.
MAX_EXPLAINED = 20


@invariant(When.BETWEEN_STEPS)
def explained(look: Look) -> Findings:
    """`explain()` names a true reason: a full limit, a time to come, a closed gate, a pause, a watcher, a lock."""
    processor, view = look.processor, look.processor_view
    if processor is None or view is None or look.now is None:
        return
    for event in spread(look.pending, MAX_EXPLAINED):
        told = look.explain(event)
        if (wrong := _find_wrong(look, processor, view, told)) is not None:
            yield f"an event is said to wait for {told.waits_for}, and {wrong}", [event]


def spread(events: Sequence[Event[Any]], number: int) -> Sequence[Event[Any]]:
    """Return at most so many of the events, taken at equal distances."""
    return events[:: max(-(-len(events) // number), 1)]


def _find_wrong(look: Look, processor: Processor, view: ProcessorView, told: Explanation) -> str | None:
    """Return what is wrong with an explanation of a PENDING event; None if nothing is."""
    match told.waits_for:
        case WaitReason.LIMIT:
            return _find_room(view, told)
        case WaitReason.DELAY:
            return None if told.seconds else "no time is left"
        case WaitReason.RUNNING | WaitReason.FINAL:
            return "it is PENDING"
        case WaitReason.START if not processor.is_handling(told.event_id):
            return None  # `nothing_lost` looks after these
        case reason if reason in _IS_SO:
            return None if _IS_SO[reason](look, processor, view, told) else "that is not so"
        case _:
            return None


# Whether what an explanation says is so.
_IS_SO: dict[WaitReason, Callable[[Look, Processor, ProcessorView, Explanation], bool]] = {
    WaitReason.PAUSED: lambda look, _, view, told: look.executor.is_paused or _is_paused(view, told),
    WaitReason.WATCHER: lambda look, *_: look.view.is_held_by_watcher,
    WaitReason.LOCK: lambda look, _, __, told: look.view.locks_held > 0 and told.holder is not None,
    WaitReason.CAPACITY: lambda _, processor, *__: not processor.available_capacity,
    WaitReason.SLOT: lambda _, processor, view, __: len(view.running) >= processor.running_limit,
    WaitReason.START: lambda _, processor, *__: processor.is_stopped() or not processor.is_running,
    WaitReason.GATE: lambda _, __, view, told: bool(told.seconds) or _is_a_gate_closed(view),
    WaitReason.REFUSAL: lambda _, __, view, told: bool(told.seconds) or _is_a_key_closed(view),
}


def _is_paused(view: ProcessorView, told: Explanation) -> bool:
    """Return whether the program has paused the limit and the key of an explanation."""
    found = [state for state in view.limit_states if state.limit is told.limit and state.key == told.key]
    return bool(found) and found[0].paused_until > current_time()


def _is_a_gate_closed(view: ProcessorView) -> bool:
    """Return whether a gate is asked, or nothing of some key may start now, however little it costs."""
    now = current_time()
    return view.asked is not None or any(state.free_at(0, now) > now for state in view.limit_states)


def _is_a_key_closed(view: ProcessorView) -> bool:
    """Return whether a refusal has closed some key, or its pace has."""
    now = current_time()
    return any(state.closed_until > now for state in view.limit_states)


def _find_room(view: ProcessorView, told: Explanation) -> str | None:
    """Return how much room a limit has for all that is queued; None if it has none for some of it."""
    limit = told.limit
    found = [state for state in view.limit_states if state.limit is limit and state.key == told.key]
    if limit is None or not found:
        return "there is no such limit"
    state = found[0]
    if isinstance(limit, Concurrent):
        used = float(sum(use.state is state for running in view.running.values() for use in running.uses))
    else:
        used = state.used
    largest = view.largest_cost(state)
    if used + largest > state.total:
        return None
    return f"{used} of its {state.total} are used, and nothing takes more than {largest}"
