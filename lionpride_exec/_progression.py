"""
A sequence of ids that loses any of them in O(1).

A list cannot do that, and a dict cannot hold an id twice nor give up its first entries cheaply for ever. So there
are three parts: a deque with the ids in order, a dict with how often each occurs, and a dict of *dead*
occurrences. Taking out the id at the head pops it; elsewhere its first occurrence is only counted dead. Removal
always takes the first occurrence, so the dead occurrences of an id are its first ones in the deque: that is all
one needs to skip them. When they outnumber the living everything is rebuilt, so each operation stays O(1)
amortised and memory in proportion to what is there.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Self, overload
from uuid import UUID

import attrs

from ._element import Element, Mode, to_uuid
from ._guard import Guard
from .errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_MISSING: Final = object()
# Below this many dead entries rebuilding is not worth its fixed cost.
_MIN_DEAD: Final = 32


@attrs.define
class _Dead:
    """Occurrences that were taken out but still stand in the deque: how many of each id, and of all."""

    # Kept here rather than on the progression, whose assignments go through the hooks of attrs.
    counts: dict[UUID, int] = attrs.field(factory=dict["UUID", int])
    total: int = 0


class Progression(Element):
    """
    Ids in order; one may occur several times.

    Wherever an id is taken, its text or an element with that id will do; what means no id raises ``ValueError``.
    Costs are for one id, amortised: O(1) unless said otherwise. ``async with progression`` holds its lock, which
    the methods do not take.

    Args:
        name: What a flow finds it by.
        order: The ids to begin with: an iterable, or a single one.
    """

    name: str | None = None
    _ids: deque[UUID] = attrs.field(factory=deque[UUID], init=False)
    _counts: dict[UUID, int] = attrs.field(factory=dict[UUID, int], init=False)
    _dead: _Dead = attrs.field(factory=_Dead, init=False)
    guard: Guard = attrs.field(factory=Guard, init=False)

    def __init__(self, *, name: str | None = None, order: Any = None, **fields: Any) -> None:
        self.__attrs_init__(name=name, **fields)  # type: ignore[attr-defined]  # attrs makes it
        self.extend(_as_iterable(order))

    # ---------------------------------------------------------------- one id

    def append(self, item: Any) -> None:
        """Add an id at the end."""
        item_id = item if type(item) is UUID else to_uuid(item)
        self._ids.append(item_id)
        self._count_in(item_id)

    def include(self, item: Any) -> bool:
        """Add an id at the end unless it is there; whether it was added."""
        item_id = item if type(item) is UUID else to_uuid(item)
        if item_id in self._counts:
            return False
        self.append(item_id)
        return True

    def exclude(self, item: Any) -> bool:
        """Take out the first occurrence of an id; whether there was one."""
        item_id = item if type(item) is UUID else to_uuid(item)
        if item_id not in self._counts:
            return False
        self._count_out(item_id)
        dead = self._dead
        if not dead.total and self._ids[0] is item_id:
            self._ids.popleft()
        else:
            dead.counts[item_id] = dead.counts.get(item_id, 0) + 1
            dead.total += 1
            self._tidy()
        return True

    def remove(self, item: Any) -> None:
        """
        Take out the first occurrence of an id.

        Raises:
            ValueError: There is none.
        """
        if not self.exclude(item):
            raise ValueError(f"{to_uuid(item)} is not in the progression")

    def popleft(self) -> UUID:
        """
        Take out the first id.

        Raises:
            NotFoundError: The progression is empty.
        """
        if not self:
            raise NotFoundError("The progression is empty")
        self._drop_dead_heads()
        first = self._ids.popleft()
        self._count_out(first)
        return first

    def pop(self, index: int = -1, default: Any = _MISSING) -> Any:
        """
        Take out the id at a position. O(1) at the ends unless ids were taken out elsewhere, else O(n).

        Raises:
            NotFoundError: There is no such position, and no default.
        """
        length = len(self)
        if not -length <= index < length:
            if default is not _MISSING:
                return default
            raise NotFoundError(
                f"Index {index} not found in a progression of length {length}",
                details={"index": index, "length": length},
            )
        ids = self._compact()
        item_id = ids[index]
        del ids[index]
        self._count_out(item_id)
        return item_id

    def __contains__(self, item: object) -> bool:
        if type(item) is UUID:
            return item in self._counts
        try:
            return to_uuid(item) in self._counts
        except ValueError:
            return False

    def __len__(self) -> int:
        return len(self._ids) - self._dead.total

    def __bool__(self) -> bool:
        return bool(self._counts)

    # ---------------------------------------------------------------- many

    def extend(self, items: Iterable[Any]) -> None:
        """Add ids at the end; all are checked before any is added. O(their number)."""
        for item_id in [to_uuid(item) for item in items]:
            self.append(item_id)

    def clear(self) -> None:
        """Take everything out."""
        self._ids = deque()
        self._counts = {}
        self._dead = _Dead()

    @property
    def order(self) -> list[UUID]:
        """The ids as a list: a copy. Assigning replaces all of them. O(n)."""
        return list(self)

    @order.setter
    def order(self, items: Any) -> None:
        self._replace([to_uuid(item) for item in _as_iterable(items)])

    def __iter__(self) -> Iterator[UUID]:
        """Iterate over the ids as they are now; changes meanwhile do not show. O(n)."""
        return iter(tuple(self._living()))

    def __reversed__(self) -> Iterator[UUID]:
        return reversed(self.order)

    # ---------------------------------------------------------------- positions, all O(n)

    def index(self, item: Any) -> int:
        """
        Give the position of the first occurrence.

        Raises:
            ValueError: There is none.
        """
        return self._compact().index(to_uuid(item))

    def insert(self, index: int, item: Any) -> None:
        """Add an id before that position, as ``list.insert()`` does."""
        item_id = to_uuid(item)
        self._compact().insert(index, item_id)
        self._count_in(item_id)

    def move(self, from_index: int, to_index: int) -> None:
        """
        Take the id at one position out and put it before what was at the other; ``len`` means the end.

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
        Exchange two positions.

        Raises:
            NotFoundError: The progression is empty, or a position is out of range. Nothing has changed.
        """
        i, j = self._position(first), self._position(second)
        ids = self._compact()
        ids[i], ids[j] = ids[j], ids[i]

    def reverse(self) -> None:
        """Turn the order round."""
        self._compact().reverse()

    @overload
    def __getitem__(self, key: int) -> UUID: ...
    @overload
    def __getitem__(self, key: slice) -> list[UUID]: ...
    def __getitem__(self, key: int | slice) -> UUID | list[UUID]:
        ids = self._compact()
        return list(ids)[key] if isinstance(key, slice) else ids[key]

    def __setitem__(self, key: int | slice, value: Any) -> None:
        ids = list(self._compact())
        if isinstance(key, slice):
            if not isinstance(value, list):
                raise TypeError(f"expected list to assign to a slice, got {type(value).__name__}")
            ids[key] = [to_uuid(item) for item in value]
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

    def _own_to_dict(self, mode: Mode, **_: Any) -> dict[str, Any]:
        return {"name": self.name, "order": self.order if mode == "python" else [str(i) for i in self]}

    def _position(self, index: int) -> int:
        if not self:
            raise NotFoundError("The progression is empty")
        if not -len(self) <= index < len(self):
            raise NotFoundError(f"Index {index} is out of range for length {len(self)}")
        return index % len(self)

    def _count_in(self, item_id: UUID) -> None:
        self._counts[item_id] = self._counts.get(item_id, 0) + 1

    def _count_out(self, item_id: UUID) -> None:
        left = self._counts.pop(item_id) - 1
        if left:
            self._counts[item_id] = left

    def _living(self) -> Iterator[UUID]:
        if not self._dead.total:
            yield from self._ids
            return
        skip = dict(self._dead.counts)
        for item_id in self._ids:
            if skip.get(item_id):
                skip[item_id] -= 1
            else:
                yield item_id

    def _compact(self) -> deque[UUID]:
        """Drop the dead; what is returned holds exactly the ids in order."""
        if self._dead.total:
            self._ids = deque(self._living())
            self._dead = _Dead()
        return self._ids

    def _drop_dead_heads(self) -> None:
        dead = self._dead
        while dead.total and (count := dead.counts.get(self._ids[0])):
            item_id = self._ids.popleft()
            dead.total -= 1
            if count == 1:
                del dead.counts[item_id]
            else:
                dead.counts[item_id] = count - 1

    def _tidy(self) -> None:
        self._drop_dead_heads()
        if self._dead.total > _MIN_DEAD + len(self):
            self._compact()
            self._counts = dict(self._counts)  # a dict does not shrink by itself

    def _replace(self, ids: list[UUID]) -> None:
        self.clear()
        self.extend(ids)


def _as_iterable(order: Any) -> Iterable[Any]:
    if order is None:
        return ()
    if isinstance(order, UUID | str) or (isinstance(order, Element) and not hasattr(order, "__iter__")):
        return (order,)
    return order  # type: ignore[no-any-return]
