"""
A sequence of ids that removes any id in O(1).

A list takes O(n) for that. A dict cannot hold an id twice, and the first entry of a dict becomes slow to find once many
first entries have been removed. So a progression has three parts: a deque of the ids in order, a dict of how often each
id occurs, and the *dead* occurrences. An id at an end of the deque is popped. Elsewhere the first occurrence of the id
is only counted as dead, and stays in the deque. A removal always takes the first occurrence, so the dead occurrences of
an id are the first ones in the deque, and can be skipped by count alone. Dead occurrences that come to an end of the
deque are dropped. When they outnumber the living ids, all of them are dropped. So each operation costs O(1) amortised,
and memory stays in proportion to the length.

Ids are counted by their number (``UUID.int``): the hash of an int is computed in C, at a third of the cost of the hash
of a UUID, which is computed in Python.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, cast, overload
from uuid import UUID

import attrs

from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec.errors import NotFoundError

from .element import Element, Mode, to_uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

_MISSING: Final = object()
# The deque is not rebuilt for fewer dead entries than this, because a rebuild has a fixed cost.
_MIN_DEAD: Final = 32


@attrs.define
class _Dead:
    """Counts of the occurrences that were removed but are still in the deque: for each id, and in total."""

    # Kept here rather than on the progression, whose assignments go through the hooks of attrs.
    counts: dict[int, int] = attrs.field(factory=dict[int, int])
    total: int = 0

    def forget(self, item_id: UUID) -> None:
        """Count a dead occurrence that has left the deque."""
        left = self.counts.pop(item_id.int) - 1
        if left:
            self.counts[item_id.int] = left
        elif not self.counts:
            self.counts.clear()  # an emptied dict keeps the memory of its largest size
        self.total -= 1


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
    # Living and dead occurrences, in order. The first and the last are living.
    _ids: deque[UUID] = attrs.field(factory=deque[UUID], init=False)
    # How often each id occurs among the living ids. Never 0.
    _counts: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    _dead: _Dead = attrs.field(factory=_Dead, init=False)
    guard: CountedLock = attrs.field(factory=CountedLock, init=False)

    def __init__(self, *, name: str | None = None, order: Any = None, **fields: Any) -> None:
        self.__attrs_init__(name=name, **fields)
        self.extend(_as_iterable(order))

    # ---------------------------------------------------------------- one id

    def append(self, item: Any) -> None:
        """Append the id of an item."""
        item_id = item if type(item) is UUID else to_uuid(item)
        self._ids.append(item_id)
        counts, number = self._counts, item_id.int
        counts[number] = counts.get(number, 0) + 1

    def include(self, item: Any) -> bool:
        """Append the id of an item unless the id is present. Return whether the id was added."""
        item_id = item if type(item) is UUID else to_uuid(item)
        if item_id.int in self._counts:
            return False
        self._ids.append(item_id)
        self._counts[item_id.int] = 1
        return True

    def exclude(self, item: Any) -> bool:
        """Remove the first occurrence of the id of an item. Return whether there was one."""
        item_id = item if type(item) is UUID else to_uuid(item)
        number, counts = item_id.int, self._counts
        left = counts.pop(number, 0) - 1
        if left < 0:
            return False
        if left:
            counts[number] = left
        elif not counts:
            counts.clear()  # as _count_out() does it, without the call: each event comes here at each transition
        ids, dead = self._ids, self._dead
        if ids[0] is item_id and not (dead.total and number in dead.counts):
            ids.popleft()
        elif not left and ids[-1] is item_id:
            ids.pop()
        else:
            dead.counts[number] = dead.counts.get(number, 0) + 1
            dead.total += 1
        if dead.total:
            self._tidy()
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
        return self._pop_end(self._ids.popleft)

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
            return self._pop_end(self._ids.pop)
        if index in {0, -length}:
            return self._pop_end(self._ids.popleft)
        ids = self._compact()
        item_id = ids[index]
        del ids[index]
        self._count_out(item_id.int)
        return item_id

    def __contains__(self, item: object) -> bool:
        if type(item) is UUID:
            return item.int in self._counts
        try:
            return to_uuid(item).int in self._counts
        except ValueError:
            return False

    def __len__(self) -> int:
        return len(self._ids) - self._dead.total

    def __bool__(self) -> bool:
        return bool(self._counts)

    # ---------------------------------------------------------------- many

    def extend(self, items: Iterable[Any]) -> None:
        """Append the ids of items. All items are checked before the first id is added. O(number of items)."""
        for item_id in [to_uuid(item) for item in items]:
            self.append(item_id)

    def clear(self) -> None:
        """Remove all ids."""
        self._ids.clear()
        self._counts.clear()
        self._dead = _Dead()

    @property
    def order(self) -> list[UUID]:
        """A new list of the ids. An assignment replaces all ids. O(n)."""
        return self._living()

    @order.setter
    def order(self, items: Any) -> None:
        self._replace([to_uuid(item) for item in _as_iterable(items)])

    def __iter__(self) -> Iterator[UUID]:
        """Iterate over a snapshot of the ids. O(n)."""
        return iter(self._living())

    def __reversed__(self) -> Iterator[UUID]:
        return reversed(self._living())

    # ---------------------------------------------------------------- positions, all O(n)

    def index(self, item: Any) -> int:
        """
        Return the index of the first occurrence of the id of an item.

        Raises:
            ValueError: The progression does not contain the id.
        """
        return self._living().index(to_uuid(item))

    def insert(self, index: int, item: Any) -> None:
        """Insert the id of an item before an index. The index may be any number, as for ``list.insert()``."""
        item_id = to_uuid(item)
        self._compact().insert(index, item_id)
        self._counts[item_id.int] = self._counts.get(item_id.int, 0) + 1

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
        ids = self._compact()
        item_id = ids[source]
        del ids[source]
        ids.insert(target - (source < target), item_id)

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
        ids = self._compact()
        ids[i], ids[j] = ids[j], ids[i]

    def reverse(self) -> None:
        """Reverse the order of the ids."""
        self._compact().reverse()

    @overload
    def __getitem__(self, key: int) -> UUID: ...
    @overload
    def __getitem__(self, key: slice) -> list[UUID]: ...
    def __getitem__(self, key: int | slice) -> UUID | list[UUID]:
        if isinstance(key, int) and (key in {0, -1} or not self._dead.total):
            return self._ids[key]  # O(1) at either end
        return self._living()[key]

    def __setitem__(self, key: int | slice, value: Any) -> None:
        ids = self._living()
        if isinstance(key, slice):
            if not isinstance(value, list):
                raise TypeError(f"expected list to assign to a slice, got {type(value).__name__}")
            ids[key] = [to_uuid(item) for item in cast("Iterable[Any]", value)]
        else:
            ids[key] = to_uuid(value)
        self._replace(ids)

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
        order = self._living()
        return super()._own_to_dict(mode, **kwargs) | {
            "order": order if mode == "python" else [str(item_id) for item_id in order]
        }

    def _position(self, index: int) -> int:
        if not self:
            raise NotFoundError("The progression is empty")
        if not -len(self) <= index < len(self):
            raise NotFoundError(f"Index {index} is out of range for length {len(self)}")
        return index % len(self)

    def _count_out(self, number: int) -> int:
        """Count one occurrence less. Return how many are left, or -1 if there was none."""
        counts = self._counts
        left = counts.pop(number, 0) - 1
        if left > 0:
            counts[number] = left
        elif not counts:
            counts.clear()  # an emptied dict keeps the memory of its largest size
        return left

    def _pop_end(self, pop: Callable[[], UUID]) -> UUID:
        item_id = pop()
        self._count_out(item_id.int)
        if self._dead.total:
            self._tidy()
        return item_id

    def _living(self) -> list[UUID]:
        """Return the ids in order, as a new list."""
        ids = list(self._ids)  # in one step, since other threads may append meanwhile
        if not self._dead.total:
            return ids
        skip = dict(self._dead.counts)
        living: list[UUID] = []
        for item_id in ids:
            if skip.get(item_id.int):
                skip[item_id.int] -= 1
            else:
                living.append(item_id)
        return living

    def _compact(self) -> deque[UUID]:
        """Drop all dead occurrences. Return the deque, which now has only living ids."""
        if self._dead.total:
            self._ids = deque(self._living())
            self._dead = _Dead()
            self._counts = dict(self._counts)  # a dict does not shrink by itself
        return self._ids

    def _tidy(self) -> None:
        """Drop the dead occurrences at both ends. Drop all of them if they outnumber the living ids."""
        ids, counts, dead = self._ids, self._counts, self._dead
        while dead.total and ids[0].int in dead.counts:
            dead.forget(ids.popleft())
        while dead.total and ids[-1].int not in counts:  # the last occurrence is dead only if all are
            dead.forget(ids.pop())
        if dead.total > _MIN_DEAD + len(self):
            self._compact()

    def _replace(self, ids: list[UUID]) -> None:
        self.clear()
        self.extend(ids)


def _as_iterable(order: Any) -> Iterable[Any]:
    if order is None:
        return ()
    return (order,) if isinstance(order, str) or not hasattr(order, "__iter__") else order
