"""What annotations say of the fields of an event, and of what it returns."""

from __future__ import annotations

import inspect
import sys
import typing
from dataclasses import is_dataclass
from pathlib import PurePath
from types import SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin

import attrs
import msgspec

from lionpride_exec._events.event import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def struct_of(cls: type[Event], hints: Mapping[str, Any]) -> Any:
    """
    Return a struct type for these fields of a class. Each field may be left out.

    Raises:
        TypeError: An annotation says what msgspec does not read; the field is named.
    """
    try:
        return _struct_of(cls, hints)
    except TypeError:
        for name, hint in hints.items():
            try:
                _struct_of(cls, {name: hint})
            except TypeError as exc:
                reason = str(exc).replace(" | msgspec.UnsetType", "")  # what was not written there
                raise TypeError(f"a journal cannot keep {cls.__qualname__}.{name}: {reason}") from exc
        raise


def _struct_of(cls: type[Event], hints: Mapping[str, Any]) -> Any:
    fields = [(name, plain_hint(hint) | msgspec.UnsetType, msgspec.UNSET) for name, hint in hints.items()]
    struct = msgspec.defstruct(f"{cls.__name__}Data", fields, kw_only=True, forbid_unknown_fields=True)
    msgspec.json.Decoder(struct)
    return struct


def hint_of(cls: type[Event], name: str) -> Any:
    """
    Give the type that a field is annotated with.

    Raises:
        TypeError: It cannot be resolved, or has something in it that msgspec would keep in part only.
    """
    owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    bare = SimpleNamespace(__annotations__={name: inspect.get_annotations(owner)[name]})
    module = sys.modules.get(owner.__module__)
    try:
        hint = typing.get_type_hints(bare, vars(module) if module else {}, dict(vars(owner)))[name]
    except NameError as exc:
        raise TypeError(
            f"a journal cannot keep {cls.__qualname__}.{name}: its annotation cannot be resolved ({exc}); "
            "import what it names at run time, not for type checkers only"
        ) from exc
    parts = list(_parts(hint))
    if any(isinstance(part, type) and issubclass(part, Event) for part in parts):
        return Any  # a value that holds an event is refused by itself, with what to do; None is not
    for part in parts:
        _check_part(cls, name, part)
    return hint


def plain_hint(hint: Any) -> Any:
    """Say what msgspec needs to hear: anything is what has no type of its own."""
    if hint is object or hint is Ellipsis or isinstance(hint, TypeVar):
        return Any
    # An int stays one, as people write numbers, where a float is asked for.
    is_float = hint is float or (get_origin(hint) in {Union, UnionType} and float in get_args(hint))
    return hint | int if is_float else hint


def _parts(hint: Any) -> Iterator[Any]:
    """Give the types in a type."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _check_part(cls: type[Event], name: str, part: Any) -> None:
    private = private_field(part)
    if private is not None:
        raise TypeError(f"a journal cannot keep {cls.__qualname__}.{name}: {private} is private, and would be left out")


def private_field(part: Any) -> str | None:
    """Return the first private field of an attrs class or dataclass, which msgspec passes over; else None."""
    kind = get_origin(part) or part
    if not isinstance(kind, type):
        return None
    names = [field.name for field in attrs.fields(kind)] if attrs.has(kind) else []
    if is_dataclass(kind):
        names = list(kind.__dataclass_fields__)
    return next((f"{kind.__qualname__}.{name}" for name in names if name.startswith("_")), None)


def has_private_fields(hint: Any) -> bool:
    """Whether msgspec would leave something out of a value of a type."""
    return any(private_field(part) is not None for part in _parts(hint))


def read_path(kind: type, value: Any) -> Any:
    """Read what msgspec does not know by itself: a path."""
    if issubclass(kind, PurePath):
        return kind(value)
    raise NotImplementedError(f"Objects of type {kind.__qualname__} are unsupported")


def response_type(cls: type[Event]) -> Any:
    """Give T of ``class Fetch(Event[T])``, as far as it says."""
    for base in cls.__mro__:
        for generic in base.__dict__.get("__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if isinstance(origin, type) and issubclass(origin, Event) and arguments:
                found = arguments[0]
                return Any if isinstance(found, str) else plain_hint(found)
    return Any


def returned_by(function: Callable[..., Any]) -> Any:
    """Give what the annotation of a function says it returns."""
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except Exception:  # noqa: BLE001  whatever an annotation is, it is not needed
        return Any
    return Any if hint is None else plain_hint(hint)
