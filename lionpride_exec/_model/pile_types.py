"""The classes that a pile takes."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from .element import CLASS_KEY, Element, find_class, to_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def as_types(given: Any) -> set[type] | None:
    """Give item types as a set: from a class, its full name, a union, or several of these; None stays so."""
    return None if given is None else set(_each_type(given))


def _each_type(given: Any) -> Iterator[type]:
    origin = get_origin(given) or given
    if isinstance(given, str):
        yield find_class(given)
    elif isinstance(origin, type) and origin is not UnionType:  # a class, whose parameters have no effect
        yield cast("type[Any]", origin)
    else:
        several: Iterable[Any] = get_args(given) if origin is Union or origin is UnionType else given
        for one in several:
            yield from _each_type(one)


def check_type(cls: type, allowed: set[type] | None, strict: bool) -> None:
    """
    Check a class against the types of a pile.

    Raises:
        TypeError: It does not fit.
    """
    if allowed is None:
        return
    if strict:
        if cls not in allowed:
            raise TypeError(f"{cls.__name__} is not one of {names(allowed)} (strict_type=True)")
    elif not issubclass(cls, tuple(allowed)):
        raise TypeError(f"{cls.__name__} is not a subclass of any allowed type: {names(allowed)}")


def check_filter(wanted: set[type], allowed: set[type] | None, strict: bool) -> None:
    """
    Check that a pile can hold instances of all the classes that are looked for.

    Raises:
        TypeError: It cannot.
    """
    if allowed is None:
        return
    for one in wanted:
        if strict and one not in allowed:
            raise TypeError(f"{one.__name__} is not allowed in pile of {names(allowed)} (strict_type=True)")
        if not any(issubclass(one, other) or issubclass(other, one) for other in allowed):
            raise TypeError(f"{one.__name__} is not compatible with pile of {names(allowed)}")


def full_name(cls: type) -> str:
    """Give module and qualified name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def names(types: Iterable[type]) -> str:
    """Give the names of classes, for a message."""
    return ", ".join(sorted(one.__name__ for one in types))


def class_of(item: Any, meta_key: str | None) -> type[Element]:
    """Give the class of an element, or the one that its dict form names."""
    if isinstance(item, Element):
        return type(item)
    for key in (meta_key, "metadata", "node_metadata"):
        metadata = to_metadata(item.get(key))
        if CLASS_KEY in metadata:
            return find_class(metadata[CLASS_KEY])
    return Element
