"""
A sequence of ids that removes any id in O(1). ``_model.id_order`` says how.

The methods through which events come and go (``append()``, ``include()``, ``exclude()``) work on the attributes of the
``IdOrder`` themselves: a call of its methods would double their cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast, overload
from uuid import UUID

import attrs

from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec.errors import NotFoundError

from .element import Element, Mode, to_uuid
from .id_order import CHUNK_SIZE, Chunk, IdOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_MISSING: Final = object()


class _Dead:
    """Counts of removed ids, in pickles of version 0.1.0: for each id, and in total."""

    counts: dict[int, int]
    total: int


class Progression(Element):
    """
    Ids in order. An id may occur several times.

    A method that takes an id also takes the text of the id, or an element with the id. Any other value raises
    ``ValueError``. Each method costs O(1) amortised for one id, unless its docstring says otherwise.

    ``async with progression`` holds the lock of the progression, by which a task protects several steps from other
    tasks that do the same. The methods do not take the lock. Several threads may append at the same time. All other
    use by several threads needs a lock of the caller.

    Args:
        name: The name by which a flow finds the progression.
        order: The first ids: an iterable of ids, or one id.
    """

    _inherits_init: ClassVar[bool] = True

    name: str | None = None
    _order: IdOrder = attrs.field(factory=IdOrder, init=False)
    # The lock behind ``async with``. The field keeps its old name: the name is public and in pickles.
    guard: CountedLock = attrs.field(factory=CountedLock, init=False)

    def __init__(self, *, name: str | None = None, order: Any = None, **fields: Any) -> None:
        self.__attrs_init__(name=name, **fields)
        if order is not None:
            self.extend(_as_iterable(order))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read a pickle, also one of version 0.1.0, which kept a deque and the ids in it that were removed."""
        kept = dict(state)
        if "_ids" in kept:
            ids, _, dead = kept.pop("_ids"), kept.pop("_counts"), kept.pop("_dead")
            kept["_order"] = IdOrder(_living(ids, dead))
        self.__dict__.update(kept)

    # ---------------------------------------------------------------- one id

    def append(self, item: Any) -> None:
        """Append the id of an item."""
        item_id = item if type(item) is UUID else to_uuid(item)
        order, number = self._order, item_id.int
        if number in order.places:
            order.append(item_id)
            return
        last = order.last
        if len(last.ids) >= CHUNK_SIZE:
            last = order.grow()
        last.ids.append(item_id)
        order.places[number] = last

    def include(self, item: Any) -> bool:
        """Append the id of an item unless the id is present. Return whether the id was added."""
        item_id = item if type(item) is UUID else to_uuid(item)
        order, number = self._order, item_id.int
        places = order.places
        if number in places:
            return False
        last = order.last
        if len(last.ids) >= CHUNK_SIZE:
            last = order.grow()
        last.ids.append(item_id)
        places[number] = last
        return True

    def exclude(self, item: Any) -> bool:
        """Remove the first occurrence of the id of an item. Return whether there was one."""
        item_id = item if type(item) is UUID else to_uuid(item)
        order, number = self._order, item_id.int
        chunk = order.places.pop(number, None)
        if chunk is None:
            return False
        if type(chunk) is not Chunk:
            chunk = order.remove_repeated(number, cast("list[Chunk]", chunk))
        ids = chunk.ids
        if ids[0] is item_id:  # nearly always: events come and go in the same order
            del ids[0]
        else:
            order.cut(number, ids)
        if not ids:
            order.leave_out(chunk)
        return True

    def remove(self, item: Any) -> None:
        """
        Remove the first occurrence of the id of an item.

        Raises:
            ValueError: The progression does not contain the id.
        """
        if not self.exclude(item):
            raise ValueError(f"{to_uuid(item)} is not in the progression")

    def popleft(self) -> UUID:
        """
        Remove the first id and return it.

        Raises:
            NotFoundError: The progression is empty.
        """
        if not self:
            raise NotFoundError("The progression is empty")
        first = self._order.first.ids[0]
        self.exclude(first)
        return first

    def pop(self, index: int = -1, default: Any = _MISSING) -> Any:
        """
        Remove the id at an index and return it. A negative index counts from the end. O(1) at either end, else O(n).

        Raises:
            NotFoundError: The index is out of range, and no default was passed. Nothing has changed.
        """
        length = len(self)
        if not -length <= index < length:
            if default is not _MISSING:
                return default
            raise NotFoundError(
                f"Index {index} not found in a progression of length {length}",
                details={"index": index, "length": length},
            )
        if index in {-1, length - 1}:
            return self._order.pop_last()
        if index in {0, -length}:
            return self.popleft()
        ids = self.order
        item_id = ids.pop(index)
        self._order = IdOrder(ids)
        return item_id

    def __contains__(self, item: object) -> bool:
        if type(item) is UUID:
            return item.int in self._order.places
        try:
            return to_uuid(item).int in self._order.places
        except ValueError:
            return False

    def __len__(self) -> int:
        order = self._order
        return len(order.places) + order.repeats

    def __bool__(self) -> bool:
        return bool(self._order.places)

    # ---------------------------------------------------------------- many

    def extend(self, items: Iterable[Any]) -> None:
        """Append the ids of items. All items are checked before the first id is added. O(number of items)."""
        for item_id in [to_uuid(item) for item in items]:
            self.append(item_id)

    def clear(self) -> None:
        """Remove all ids."""
        self._order = IdOrder()

    @property
    def order(self) -> list[UUID]:
        """A new list of the ids. An assignment replaces all ids. O(n)."""
        return list(self._order)

    @order.setter
    def order(self, items: Any) -> None:
        self._order = IdOrder([to_uuid(item) for item in _as_iterable(items)])

    def __iter__(self) -> Iterator[UUID]:
        """Iterate over a snapshot of the ids. O(n)."""
        return iter(self.order)

    def __reversed__(self) -> Iterator[UUID]:
        return reversed(self.order)

    # ---------------------------------------------------------------- positions, all O(n)

    def index(self, item: Any) -> int:
        """
        Return the index of the first occurrence of the id of an item.

        Raises:
            ValueError: The progression does not contain the id.
        """
        return self.order.index(to_uuid(item))

    def insert(self, index: int, item: Any) -> None:
        """Insert the id of an item before an index. The index may be any number, as for ``list.insert()``."""
        ids = self.order
        ids.insert(index, to_uuid(item))
        self._order = IdOrder(ids)

    def move(self, from_index: int, to_index: int) -> None:
        """
        Move the id at ``from_index`` to the place before the id at ``to_index``.

        Args:
            from_index: An index within the progression. A negative index counts from the end.
            to_index: An index within the progression, or its length for the end. A negative index counts from the end.

        Raises:
            NotFoundError: The progression is empty, or a position is out of range. Nothing has changed.
        """
        source = self._position(from_index)
        target = len(self) if to_index == len(self) else self._position(to_index)
        ids = self.order
        item_id = ids.pop(source)
        ids.insert(target - (source < target), item_id)
        self._order = IdOrder(ids)

    def swap(self, first: int, second: int) -> None:
        """
        Exchange the ids at two indexes.

        Args:
            first: An index within the progression. A negative index counts from the end.
            second: An index within the progression. A negative index counts from the end.

        Raises:
            NotFoundError: The progression is empty, or a position is out of range. Nothing has changed.
        """
        i, j = self._position(first), self._position(second)
        ids = self.order
        ids[i], ids[j] = ids[j], ids[i]
        self._order = IdOrder(ids)

    def reverse(self) -> None:
        """Reverse the order of the ids."""
        self._order = IdOrder(reversed(self.order))

    @overload
    def __getitem__(self, key: int) -> UUID: ...
    @overload
    def __getitem__(self, key: slice) -> list[UUID]: ...
    def __getitem__(self, key: int | slice) -> UUID | list[UUID]:
        return self._order.at(key) if isinstance(key, int) else self.order[key]

    def __setitem__(self, key: int | slice, value: Any) -> None:
        ids = self.order
        if isinstance(key, slice):
            if not isinstance(value, list):
                raise TypeError(f"expected list to assign to a slice, got {type(value).__name__}")
            ids[key] = [to_uuid(item) for item in cast("Iterable[Any]", value)]
        else:
            ids[key] = to_uuid(value)
        self._order = IdOrder(ids)

    # ---------------------------------------------------------------- the rest

    def __repr__(self) -> str:
        return f"Progression(len={len(self)}{f' name={self.name!r}' if self.name else ''})"

    async def __aenter__(self) -> Self:
        await self.guard.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.guard.__aexit__(exc_type, exc, tb)

    def _own_to_dict(self, mode: Mode, **kwargs: Any) -> dict[str, Any]:
        order = self.order
        return super()._own_to_dict(mode, **kwargs) | {
            "order": order if mode == "python" else [str(item_id) for item_id in order]
        }

    def _position(self, index: int) -> int:
        if not self:
            raise NotFoundError("The progression is empty")
        if not -len(self) <= index < len(self):
            raise NotFoundError(f"Index {index} is out of range for length {len(self)}")
        return index % len(self)


def _living(ids: Iterable[UUID], dead: _Dead) -> list[UUID]:
    """Return the ids of a pickle of version 0.1.0 that were not removed: the first occurrences of an id go first."""
    skip = dict(dead.counts)
    living: list[UUID] = []
    for item_id in ids:
        if skip.get(item_id.int):
            skip[item_id.int] -= 1
        else:
            living.append(item_id)
    return living


def _as_iterable(order: Any) -> Iterable[Any]:
    if order is None:
        return ()
    return (order,) if isinstance(order, str) or not hasattr(order, "__iter__") else order
