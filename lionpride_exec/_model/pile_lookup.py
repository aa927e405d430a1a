"""How a pile finds the items for the key in ``pile[key]``, and checks the classes of its items."""

from __future__ import annotations

from itertools import islice
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin
from uuid import UUID

from lionpride_exec.errors import NotFoundError

from .element import CLASS_KEY, Element, find_class, to_metadata
from .progression import Progression

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

E = TypeVar("E", bound=Element)


def missing(item_id: UUID) -> NotFoundError:
    """Return the error for an id that the pile does not have."""
    return NotFoundError(f"Item {item_id} not found in pile")


def by_position(items: dict[int, E], index: int) -> E:
    """
    Return the item at a position. O(distance from the nearer end).

    Raises:
        IndexError: There is no such position.
    """
    if not -len(items) <= index < len(items):
        raise IndexError(f"Index {index} is out of range for a pile of {len(items)}")
    position = index % len(items)
    from_end = len(items) - 1 - position
    if from_end < position:
        return next(islice(reversed(items.values()), from_end, None))
    return next(islice(items.values(), position, None))


def select(items: dict[int, E], key: Any) -> list[E]:
    """
    Return the items that a slice, a list or tuple, or a progression names, in its order. O(n).

    Raises:
        NotFoundError: There is no item with one of the ids.
        IndexError: A position is out of range.
        ValueError: The list is empty.
        TypeError: The key is of another kind, or a list mixes ids and positions.
    """
    if isinstance(key, slice):
        return list(items.values())[key]
    if isinstance(key, Progression):
        return _by_ids(items, key)
    if isinstance(key, list | tuple):
        return _listed(items, list(cast("Iterable[Any]", key)))
    raise TypeError(f"Invalid key type: {type(key).__name__}")


def _listed(items: dict[int, E], keys: list[Any]) -> list[E]:
    if not keys:
        raise ValueError("Cannot get items with an empty list/tuple")
    if all(isinstance(key, int) for key in keys):
        in_order = list(items.values())
        return [in_order[key] for key in keys]
    if all(isinstance(key, UUID) for key in keys):
        return _by_ids(items, keys)
    if all(isinstance(key, int | UUID) for key in keys):
        raise TypeError("Cannot mix int and UUID in a list/tuple")
    raise TypeError("A list/tuple must contain only int or UUID")


def _by_ids(items: dict[int, E], ids: Iterable[UUID]) -> list[E]:
    found: list[E] = []
    for item_id in ids:
        item = items.get(item_id.int)
        if item is None:
            raise missing(item_id)
        found.append(item)
    return found


def as_types(given: Any) -> set[type] | None:
    """Return item types as a set, from a class, its full name, a union, or several of these. None stays None."""
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
        TypeError: The class does not fit.
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
    Check that a pile can hold instances of all classes of a filter.

    Raises:
        TypeError: The pile cannot hold instances of one of the classes.
    """
    if allowed is None:
        return
    for one in wanted:
        if strict and one not in allowed:
            raise TypeError(f"{one.__name__} is not allowed in pile of {names(allowed)} (strict_type=True)")
        if not any(issubclass(one, other) or issubclass(other, one) for other in allowed):
            raise TypeError(f"{one.__name__} is not compatible with pile of {names(allowed)}")


def full_name(cls: type) -> str:
    """Return the module and the qualified name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def names(types: Iterable[type]) -> str:
    """Return the names of classes, for a message."""
    return ", ".join(sorted(one.__name__ for one in types))


def class_of(item: Any, meta_key: str | None) -> type[Element]:
    """Return the class of an element, or the class that its dict form names."""
    if isinstance(item, Element):
        return type(item)
    for key in (meta_key, "metadata", "node_metadata"):
        metadata = to_metadata(item.get(key))
        if CLASS_KEY in metadata:
            return find_class(metadata[CLASS_KEY])
    return Element
