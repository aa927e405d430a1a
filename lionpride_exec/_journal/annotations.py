"""The annotations of the fields of an event class, and of what its events return."""

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

    from .keeper import Keeper


def struct_of(cls: type[Event], hints: Mapping[str, Any], keeper: Keeper) -> Any:
    """
    Return a struct type for these fields of a class, which a keeper keeps. Each field may be left out.

    Raises:
        TypeError: msgspec cannot read a type. The message names the field.
    """
    try:
        return _struct_of(cls, hints)
    except TypeError:
        for name, hint in hints.items():
            try:
                _struct_of(cls, {name: hint})
            except TypeError as exc:
                reason = str(exc).replace(" | msgspec.UnsetType", "")  # the annotation does not say this
                raise TypeError(f"{keeper.name} cannot keep {cls.__qualname__}.{name}: {reason}") from exc
        raise


def _struct_of(cls: type[Event], hints: Mapping[str, Any]) -> Any:
    fields = [(name, plain_hint(hint) | msgspec.UnsetType, msgspec.UNSET) for name, hint in hints.items()]
    struct = msgspec.defstruct(f"{cls.__name__}Data", fields, kw_only=True, forbid_unknown_fields=True)
    msgspec.json.Decoder(struct)
    return struct


def hint_of(cls: type[Event], name: str, keeper: Keeper) -> Any:
    """
    Return the type that a field is annotated with.

    Raises:
        TypeError: The annotation cannot be resolved, or names a class of which msgspec would store only a part.
    """
    owner = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    bare = SimpleNamespace(__annotations__={name: inspect.get_annotations(owner)[name]})
    module = sys.modules.get(owner.__module__)
    try:
        hint = typing.get_type_hints(bare, vars(module) if module else {}, dict(vars(owner)))[name]
    except NameError as exc:
        raise TypeError(
            f"{keeper.name} cannot keep {cls.__qualname__}.{name}: its annotation cannot be resolved ({exc}); "
            "import what it names at run time, not for type checkers only"
        ) from exc
    parts = list(_parts(hint))
    if any(isinstance(part, type) and issubclass(part, Event) for part in parts):
        return Any  # an event is refused when it is written, with advice; None is not
    for part in parts:
        _check_part(cls, name, part, keeper)
    return hint


def plain_hint(hint: Any) -> Any:
    """Return the type for msgspec: Any for types that it does not know."""
    if hint is object or hint is Ellipsis or isinstance(hint, TypeVar):
        return Any
    # Where the annotation says float, an int stays an int.
    is_float = hint is float or (get_origin(hint) in {Union, UnionType} and float in get_args(hint))
    return hint | int if is_float else hint


def _parts(hint: Any) -> Iterator[Any]:
    """Yield a type and the types in it."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)


def _check_part(cls: type[Event], name: str, part: Any, keeper: Keeper) -> None:
    private = private_field(part)
    if private is not None:
        raise TypeError(
            f"{keeper.name} cannot keep {cls.__qualname__}.{name}: {private} is private, and would be left out"
        )


def private_field(part: Any) -> str | None:
    """Return the first private field of an attrs class or dataclass: msgspec leaves it out. None if there is none."""
    kind = get_origin(part) or part
    if not isinstance(kind, type):
        return None
    names = [field.name for field in attrs.fields(kind)] if attrs.has(kind) else []
    if is_dataclass(kind):
        names = list(kind.__dataclass_fields__)
    return next((f"{kind.__qualname__}.{name}" for name in names if name.startswith("_")), None)


def has_private_fields(hint: Any) -> bool:
    """Return whether msgspec would leave out fields of a value of this type."""
    return any(private_field(part) is not None for part in _parts(hint))


def read_path(kind: type, value: Any) -> Any:
    """Decode a path, which msgspec does not know."""
    if issubclass(kind, PurePath):
        return kind(value)
    raise NotImplementedError(f"Objects of type {kind.__qualname__} are unsupported")


def response_type(cls: type[Event]) -> Any:
    """Return T of ``class Fetch(Event[T])``. Any if the class does not say it."""
    for base in cls.__mro__:
        for generic in base.__dict__.get("__orig_bases__", ()):
            origin, arguments = get_origin(generic), get_args(generic)
            if isinstance(origin, type) and issubclass(origin, Event) and arguments:
                found = arguments[0]
                return Any if isinstance(found, str) else plain_hint(found)
    return Any


def returned_by(function: Callable[..., Any]) -> Any:
    """Return the annotated return type of a function. Any if there is none."""
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except Exception:  # noqa: BLE001  the function runs without its annotations
        return Any
    return Any if hint is None else plain_hint(hint)
