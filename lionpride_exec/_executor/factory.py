"""``Executor.of()``: an executor without three class statements."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._events.call import Call, check_async, name_of
from lionpride_exec._events.event import Event
from lionpride_exec._processing.config import explain_refused_config
from lionpride_exec._processing.processor import Processor
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lionpride_exec._journal import Journal
    from lionpride_exec._model.pile import Pile

    from .facade import Facade

# The largest allowed capacity: a user who wants a rate sets one.
GENEROUS = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01}


def event_type_of(executor: object) -> type[Event]:
    """
    Return the class of the events that an executor takes: its processor's ``event_type``.

    Raises:
        ConfigurationError: The class has no ``processor_type``, or the processor has no ``event_type``.
    """
    try:
        kind: type[Event] = cast("Any", executor).processor_type.event_type
    except AttributeError:
        raise ConfigurationError(
            f"{type(executor).__name__} needs a class attribute processor_type = <Processor subclass> "
            "whose class attribute event_type is an Event subclass"
        ) from None
    return kind


def make_executor(
    cls: type[Any],
    target: type[Event] | Callable[..., Any],
    config: Mapping[str, Any],
    *,
    journal: Journal | None,
    **rest: Any,
) -> Any:
    """
    Make an executor for an event class, or for calls of an async function; see ``Executor.of()``.

    Raises:
        TypeError: The target is neither an Event subclass nor an async function.
        ConfigurationError: The processor does not have one of the keywords.
    """
    processor_type = processor_for(target, getattr(cls, "processor_type", None))
    config = GENEROUS | dict(config)
    check_config(processor_type, config)
    made = type(f"{processor_type.event_type.__name__}{cls.__name__}", (cls,), {"processor_type": processor_type})
    if journal is not None and not isinstance(target, type):
        journal._know_function(target)
    return cast("Any", made)(config, journal=journal, **rest)


async def make_processor(executor: Facade, pile: Pile[Event]) -> Processor:
    """
    Make the processor of an executor from its configuration.

    Raises:
        ConfigurationError: A key is missing or unknown.
        ValueError: A number is out of bounds.
    """
    kind, config = executor.processor_type, executor.processor_config
    try:
        return await kind.create(pile=pile, executor=executor, **config)
    except TypeError as exc:
        complaint = explain_refused_config(kind, config)
        if complaint is None:
            raise
        raise ConfigurationError(complaint) from exc


def processor_for(target: type[Event] | Callable[..., Any], base: type[Processor] | None) -> type[Processor]:
    """
    Make a processor class for an event class, or for calls of an async function.

    Raises:
        TypeError: The target is neither an Event subclass nor an async function.
    """
    if isinstance(target, type) and issubclass(target, Event):
        event_type: type[Event] = target
    else:
        try:
            check_async(target)
        except TypeError as exc:
            raise TypeError(f"target must be an Event subclass or an async function: {exc}") from None
        event_type = Call
    label = name_of(target).rpartition(".")[2]
    return cast("type[Processor]", type(f"{label}Processor", (base or Processor,), {"event_type": event_type}))


def check_config(processor_type: type[Processor], config: Mapping[str, Any]) -> None:
    """
    Refuse keywords that the processor does not have.

    Raises:
        ConfigurationError: There are unknown keywords. The message names them.
    """
    if getattr(processor_type.create, "__func__", None) is not getattr(Processor.create, "__func__", None):
        return  # its own keywords are checked when it is called
    try:
        inspect.signature(processor_type).bind(pile=None, executor=None, **config)
    except TypeError as exc:
        raise ConfigurationError(explain_refused_config(processor_type, config) or str(exc)) from None
