"""``Executor.of()``: an executor without three class statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._base.overrides import is_overridden
from lionpride_exec._events.call import Call, check_function, is_async, name_of
from lionpride_exec._events.event import Event
from lionpride_exec._offload.sendable import NEEDS_PICKLE, check_sendable
from lionpride_exec._offload.settings import check_run_in
from lionpride_exec._processing.config import MANY_SHORT, explain_refused_config
from lionpride_exec._processing.config_check import check_config
from lionpride_exec._processing.processor import Processor
from lionpride_exec.errors import ConfigurationError

from .keywords import OWN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lionpride_exec._cluster import Cluster
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.pile import Pile

    from .call_defaults import CallDefaults
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
    defaults: CallDefaults | None,
    **rest: Any,
) -> Any:
    """
    Make an executor for an event class, or for calls of a function; see ``Executor.of()``.

    Raises:
        TypeError: The target is neither an Event subclass nor a function.
        ConfigurationError: The processor does not have one of the keywords, or the value of one is of the wrong type,
            or ``run_in`` does not fit the target or makes ``carry`` useless.
        ValueError: A number is out of bounds.
    """
    processor_type = processor_for(target, getattr(cls, "processor_type", None))
    config = GENEROUS | place_for(target, config) | dict(config)
    if rest.get("carry") and not rest.get("middleware") and config.get("run_in") in NEEDS_PICKLE:
        raise ConfigurationError(
            f"carry has no effect with run_in={config['run_in']!r} and without middleware: context variables do not "
            "get into a process or an interpreter. Pass the values as arguments of the function or fields of the event"
        )
    check_config(processor_type, config, is_complete=True, also=OWN_NAMES)
    made = type(f"{processor_type.event_type.__name__}{cls.__name__}", (cls,), {"processor_type": processor_type})
    executor = cast("Any", made)(config, **rest)
    executor._parts.call_defaults = defaults
    codec = executor._parts.codec
    if codec is not None and not isinstance(target, type):
        codec.know_function(target)
    return executor


def place_for(target: type[Event] | Callable[..., Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the keywords of the processor that follow from a plain function, or from ``run_in``.

    Raises:
        ConfigurationError: There is no such place, or the work is async, or the function cannot be sent to a process.
    """
    run_in = config.get("run_in")
    if run_in is not None:
        check_run_in(run_in)
    own = getattr(target, "_run_in", None) if isinstance(target, type) else None
    if isinstance(target, type) and run_in is not None and own is None:
        raise ConfigurationError(
            f"run_in={run_in!r} is for plain functions: give it to the class, class {target.__name__}(Event, "
            f"run_in={run_in!r}), which then has a plain def _invoke(self)"
        )
    if not isinstance(target, type):
        if is_async(target):
            if run_in is not None:
                raise ConfigurationError(f"run_in={run_in!r} is for plain functions, and {name_of(target)} is async")
            return {}
        if run_in in NEEDS_PICKLE:
            check_sendable(target, run_in)
    place = run_in or own or (None if isinstance(target, type) else "thread")
    if place is None:
        return {}
    # How many events run follows the number of processes, and how short their functions are.
    many = {"concurrency_limit": MANY_SHORT, "max_queue_size": 10 * MANY_SHORT} if place == "process" else {}
    return {"run_in": place} | many


def check_backing(
    executor: object, base: type[object], journal: Journal | None, cluster: Cluster | None, *, carries: bool
) -> Cluster | None:
    """
    Return the cluster of an executor, whose class has a base with the methods as the package has them.

    Raises:
        ConfigurationError: There is a journal or ``carry`` too, or the executor overrides what a cluster cannot use.
    """
    if cluster is not None:
        if journal is not None:
            raise ConfigurationError("an executor has a journal or a cluster, not both: the cluster keeps the events")
        if carries:
            raise ConfigurationError("carry needs the events to run in this process: pass metadata with a cluster")
        for name in ("_create_processor", "_update_progression"):
            if is_overridden(executor, base, name):
                raise ConfigurationError(f"{type(executor).__name__}.{name}() cannot be overridden with a cluster")
    return cluster


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
    Make a processor class for an event class, or for calls of a function.

    Raises:
        TypeError: The target is neither an Event subclass nor a function.
    """
    if isinstance(target, type) and issubclass(target, Event):
        event_type: type[Event] = target
    else:
        try:
            check_function(target)
        except TypeError as exc:
            raise TypeError(f"target must be an Event subclass or a function: {exc}") from None
        event_type = Call
    label = name_of(target).rpartition(".")[2]
    return cast("type[Processor]", type(f"{label}Processor", (base or Processor,), {"event_type": event_type}))


def check_given_config(executor: object, base: type[object], config: Mapping[str, Any]) -> None:
    """
    Check the keywords that an executor was made with. A missing keyword may still be added before the start.

    Nothing is checked of an executor that makes its processor in its own way.

    Args:
        executor: The executor.
        base: A class with ``_create_processor()`` as the package has it.
        config: The keywords of the processor.

    Raises:
        ConfigurationError: A keyword is unknown, or the value of a keyword has the wrong type.
        ValueError: A number is out of bounds.
    """
    kind: object = cast("Any", executor).processor_type
    is_known = isinstance(kind, type) and issubclass(kind, Processor)
    if config and is_known and not is_overridden(executor, base, "_create_processor"):
        check_config(cast("type[Processor]", kind), config, is_complete=False)
