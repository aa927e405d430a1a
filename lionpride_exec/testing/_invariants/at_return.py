"""What a call promises when it returns. A trace checks this."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._events.running_event import running_here
from lionpride_exec._status import TERMINAL
from lionpride_exec.testing._processor_view import ProcessorView

from .invariant import InvariantBroken, broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec import Event, Executor

    from .history import History

AT_RETURN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "known_once": "Work with a `key` is taken in once: `append()` returns the known event.",
        "stopped": "When `stop()` has returned, no event but its caller runs until the next start.",
    }
)


def check_known_once(history: History, event: Event[Any], key: Any, unique: str = "ever") -> None:
    """
    Check that an event that was taken in is the only event with its key in the executor.

    Args:
        history: What was recorded before.
        event: The event that was taken in.
        key: Its key. None if it has none.
        unique: As in ``append()``. With "open", an event that has ended, or that appends its successor, gives the key.

    Raises:
        InvariantBroken: The executor has another event with this key.
    """
    if key is None:
        return
    executor = history.executor
    known = executor.states.items.get(history.keys.get(key, event.id), event)
    history.keys[key] = event.id
    if unique == "open" and (known.execution.status in TERMINAL or any(known is one for one in running_here())):
        return
    if known is not event and event in executor:
        raise _broken("known_once", f"another is here with the key {key!r}", known, event)


def check_stopped(executor: Executor) -> None:
    """
    Check that nothing runs when ``stop()`` has returned.

    Raises:
        InvariantBroken: An event runs, and nothing was started since.
    """
    processor = executor.processor
    if processor is None or not processor.is_stopped():
        return
    view = ProcessorView(processor)
    calling = {event.id for event in running_here()}
    aside = view.excluded_from_waits
    running = [each.event for each in view.running.values()]
    left = [event for event in running if event.id not in aside and event.id not in calling]
    if left and not view.is_in_batch:
        raise _broken("stopped", f"{len(left)} events run", *left)


def _broken(name: str, found: str, *events: Event[Any]) -> InvariantBroken:
    return broken(name, AT_RETURN[name], found, events)
