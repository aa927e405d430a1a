"""How ``Executor.schedule()`` makes a schedule of its arguments."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from lionpride_exec._events.call import Call, check_function, is_async, name_of
from lionpride_exec._events.event import Event
from lionpride_exec._model.triggers import Custom, make_trigger
from lionpride_exec._validation import seconds_of

from .schedule_policy import Policy
from .schedules import Schedules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from .parts import Parts
    from .schedule import Schedule


def make_schedule(
    parts: Parts, target: object, name: str | None, when: Mapping[str, Any], policy: Mapping[str, Any]
) -> Schedule:
    """
    Return a new schedule of an executor; see ``Executor.schedule()``.

    Raises as ``Executor.schedule()`` does. Nothing has changed then.
    """
    if name is not None and not _is_name(name):
        raise ValueError(f"name must be a text, got {name!r}")
    trigger = make_trigger(when["every"], when["cron"], when["trigger"], when["time_zone"])
    executor = parts.transitions.executor
    if isinstance(trigger, Custom) and is_async(when["trigger"]):
        raise TypeError(f"trigger must be a plain function, not async, got {name_of(when['trigger'])}")
    make, found = _maker_of(target, executor.event_type)
    schedules = parts.coordination.schedules
    if schedules is None:
        schedules = Schedules(executor, parts)
    lengths = {name: seconds_of(policy[name]) for name in ("misfire", "jitter")}
    schedule: Schedule = schedules.add(name or found, trigger, make, Policy(**{**policy, **lengths}))
    return schedule


def _is_name(name: object) -> bool:
    """Return whether a journal can hold a name: SQLite has no half of a surrogate pair."""
    return isinstance(name, str) and bool(name) and not any("\ud800" <= one <= "\udfff" for one in name)


def _maker_of(target: object, event_type: type[Event]) -> tuple[Callable[[datetime], Event], str]:
    """Return what makes the event of a due time, and a name for the target."""
    if isinstance(target, Event):
        _check_type(type(target), event_type)
        return lambda _: target.as_fresh_event(), type(target).__name__
    if isinstance(target, type) and issubclass(target, Event):
        kind: type[Event] = target
        _check_type(kind, event_type)
        try:
            kind()
        except TypeError as exc:
            raise TypeError(f"{kind.__name__} has required fields: pass a function that returns the event") from exc
        return lambda _: kind(), kind.__name__
    if not callable(target) or isinstance(target, type):
        raise TypeError(
            f"target must be an async function, an event class, an event, or a function that returns an event, "
            f"got {target!r}"
        )
    if not check_function(target):
        _check_arguments(target, 1, "must take one argument, the due time, or be async and take none")
        return _checked(target), name_of(target)
    _check_type(Call, event_type)
    _check_arguments(target, 0, "has required parameters: pass a function of the due time that returns Call.of(...)")
    function: Any = target
    return lambda _: Call.of(function), name_of(target)


def _check_type(kind: type[Event], event_type: type[Event]) -> None:
    if not issubclass(kind, event_type):
        raise TypeError(f"the executor takes {event_type.__name__}, not {kind.__name__}")


def _check_arguments(function: Callable[..., Any], number: int, rule: str) -> None:
    """
    Check that a function can be called with a number of arguments.

    Raises:
        TypeError: It cannot. A function that does not tell its parameters, as some in C, is taken as it is.
    """
    try:
        parameters = signature(function)
    except ValueError:
        return
    try:
        parameters.bind(*[None] * number)
    except TypeError as exc:
        raise TypeError(f"{name_of(function)} {rule}") from exc


def _checked(factory: Callable[..., Any]) -> Callable[[datetime], Event]:
    def make(due: datetime) -> Event:
        """Return the event of a due time."""
        event = factory(due)
        if not isinstance(event, Event):
            raise TypeError(f"{name_of(factory)} must return an event, got {type(event).__name__}")
        return event

    return make
