"""What the limits have in common: the types and the checks of their fields."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from lionpride_exec._validation import is_finite

if TYPE_CHECKING:
    import attrs

KeyOf = str | Callable[[Any], Hashable] | None
CostOf = str | Callable[[Any], float] | None
Scope = Literal["queue", "process"]


def check_positive(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless a value is a positive, finite number."""
    if not is_finite(value) or value <= 0:
        raise ValueError(f"{name} must be a positive, finite number, got {value!r}")


def valid_getter(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Raise ``ValueError`` unless a ``key`` or ``cost`` is the name of a field, a function of the event, or None."""
    if value is not None and not isinstance(value, str) and not callable(value):
        raise ValueError(f"{attribute.name} must be the name of an attribute or a function of the event, got {value!r}")


def valid_name(_instance: object, _attribute: object, value: str | None) -> None:
    """Raise ``ValueError`` unless a name is a text that is not empty, or None."""
    if value is not None and not (isinstance(cast("object", value), str) and value):
        raise ValueError(f"name must be a text, got {value!r}")


def valid_scope(_instance: object, _attribute: object, value: str) -> None:
    """Raise ``ValueError`` unless a scope is one of ``Scope``."""
    if value not in get_args(Scope):
        raise ValueError(f"scope must be 'queue' or 'process', got {value!r}")


def shown(getter: object) -> str:
    """Return a field or a function as a person would name it."""
    return str(getattr(getter, "__qualname__", repr(getter)))
