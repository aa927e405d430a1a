"""Checks of a ``processor_config`` where it is written, before there is a processor."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._model.limits import Router
from lionpride_exec.errors import ConfigurationError

from .config import MIN_REFRESH_TIME, REQUIRED, check_bounds, check_retry, check_timeout, explain_refused_config
from .keywords import ProcessorKeywords
from .offloading import make_settings
from .processor import Processor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# The numbers of a processor, and the places of its plain functions.
_NUMBERS: Final = (
    "queue_capacity",
    "capacity_refresh_time",
    "concurrency_limit",
    "max_queue_size",
    "max_denial_tracking",
)
_KNOWN: Final = frozenset(ProcessorKeywords.__annotations__)
_PLACES: Final = ("run_in", "threads", "processes", "interpreters", "abandon_on_cancel")


def check_config(
    processor_type: type[Any], config: Mapping[str, Any], *, is_complete: bool, also: Collection[str] = ()
) -> None:
    """
    Check the keywords with which a processor will be made.

    Nothing is checked of a class that overrides ``create()``, which may translate the keywords. The value of a keyword
    that a subclass has in its own constructor is left to the subclass. An iterator of limits is not used up here.

    Args:
        processor_type: The class of the processor.
        config: The keywords.
        is_complete: Whether a missing keyword is an error.
        also: Other names that may have been meant, for the message.

    Raises:
        ConfigurationError: A keyword is unknown or missing, or one of the limits, the retry or the place is wrong.
        ValueError: A number is out of bounds.
    """
    own = getattr(processor_type, "create", None)
    if getattr(own, "__func__", None) is not getattr(Processor.create, "__func__", None):
        return
    if processor_type.__init__ is Processor.__init__:  # most of them: without ``inspect``, which takes 80 us
        if config.keys() - _KNOWN or (is_complete and set(REQUIRED) - config.keys()):
            raise ConfigurationError(explain_refused_config(processor_type, config, also))
        _check_values(processor_type, config)
        return
    signature = inspect.signature(processor_type)
    try:
        (signature.bind if is_complete else signature.bind_partial)(pile=None, executor=None, **config)
    except TypeError as exc:
        raise ConfigurationError(explain_refused_config(processor_type, config, also) or str(exc)) from None
    foreign = _own_keywords(processor_type)
    _check_values(processor_type, {name: value for name, value in config.items() if name not in foreign})


def _own_keywords(processor_type: type[Any]) -> set[str]:
    """Return the parameters of the constructors of subclasses. The processor itself may get other values."""
    return {
        name
        for cls in processor_type.__mro__[: processor_type.__mro__.index(Processor)]
        if "__init__" in vars(cls)
        for name in inspect.signature(vars(cls)["__init__"]).parameters
    }


def _check_values(processor_type: type[Any], config: Mapping[str, Any]) -> None:
    numbers = {name: config[name] for name in _NUMBERS if name in config}
    if numbers:
        check_bounds(**({"queue_capacity": 1, "capacity_refresh_time": MIN_REFRESH_TIME} | numbers))
    check_retry(config.get("retry"))
    check_timeout(config.get("timeout"))
    limits = config.get("limits", ())
    if not isinstance(limits, Iterator):
        Router(limits)
    places = {name: config[name] for name in _PLACES if name in config}
    if places:
        make_settings(getattr(processor_type, "event_type", None), **places)
