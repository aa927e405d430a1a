"""
What lines in the log say of an event, in ``extra``. Spans and metrics use the same names.

The dots of the names cannot clash with the names of a ``LogRecord`` itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .call import Call, lasting_name_of

if TYPE_CHECKING:
    from .event import Event


def kind_of(event: Event[Any]) -> str:
    """Return the tag of the class of an event, else the name of the class. For a ``Call``, that of the function."""
    if isinstance(event, Call):
        try:
            return _name_of_function(event.function)
        except TypeError:  # it cannot be hashed
            return lasting_name_of(event.function)
    cls = type(event)
    return cls._kind.tag or cls.__qualname__


# The name takes a microsecond, and most programs call a few functions only.
_name_of_function = lru_cache(maxsize=64)(lasting_name_of)


def type_name(error: BaseException) -> str:
    """Return the full name of the type of an error, as ``error.type`` has it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def log_fields(executor: str, event: Event[Any] | None = None, error: BaseException | None = None) -> dict[str, Any]:
    """
    Return the ``extra`` of a line in the log.

    Args:
        executor: The name of the executor. "" if there is none.
        event: The event that the line is about. None if it is about none.
        error: The error that the line is about. None if it is about none.
    """
    fields: dict[str, Any] = {"lionpride.executor": executor} if executor else {}
    if event is not None:
        fields["lionpride.event.id"] = str(event.id)
        fields["lionpride.event.kind"] = kind_of(event)
        fields["lionpride.event.status"] = event.execution.status.value
        fields["lionpride.event.attempt"] = event.execution.attempt
    if error is not None:
        fields["error.type"] = type_name(error)
    return fields
