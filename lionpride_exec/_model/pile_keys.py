"""The forms of a key in ``pile[key]``, besides an id and a predicate, which :class:`Pile` handles itself."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from lionpride_exec.errors import NotFoundError

from .element import Element
from .progression import Progression

if TYPE_CHECKING:
    from collections.abc import Iterable

E = TypeVar("E", bound=Element)


def missing(item_id: UUID) -> NotFoundError:
    """Make the error for an id that is not there."""
    return NotFoundError(f"Item {item_id} not found in pile")


def by_position(items: dict[int, E], index: int) -> E:
    """
    Give the item at a position. O(distance from the nearer end).

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
    Give the items that a slice, a list or tuple, or a progression names, in its order. O(n).

    Raises:
        NotFoundError: An id is not there.
        IndexError: A position is out of range.
        ValueError: A list without entries.
        TypeError: A key of another kind, or a list of mixed ones.
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
