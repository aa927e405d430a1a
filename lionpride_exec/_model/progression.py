"""
A sequence of ids that loses any of them in O(1).

A list cannot do that, and a dict cannot hold an id twice nor give up its first entries cheaply for ever. So
there are three parts: a deque with the ids in order, a dict with how often each occurs, and the *dead*
occurrences. Taking out the id at an end pops it; elsewhere its first occurrence is only counted dead. Removal
always takes the first occurrence, so the dead occurrences of an id are its first ones in the deque: that is
all one needs to skip them. Dead ones that come to an end of the deque are dropped; when they outnumber the
living, all are. So each operation stays O(1) amortised and memory in proportion to what is there.

Ids are counted by their number (``UUID.int``): a UUID hashes in Python, an int in C, at a third of the cost.
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
# Below this many dead entries rebuilding is not worth its fixed cost.
_MIN_DEAD: Final = 32


@attrs.define
class _Dead:
    """Occurrences that were taken out but still stand in the deque: how many of each id, and of all."""

    # Kept here rather than on the progression, whose assignments go through the hooks of attrs.
    counts: dict[int, int] = attrs.field(factory=dict[int, int])
    total: int = 0

    def forget(self, item_id: UUID) -> None:
        """Take note that an occurrence has left the deque."""
        left = self.counts.pop(item_id.int) - 1
        if left:
            self.counts[item_id.int] = left
        elif not self.counts:
            self.counts.clear()  # an emptied dict keeps the memory of its largest size
        self.total -= 1


class Progression(Element):
    """
    Ids in order; one may occur several times.

    Wherever an id is taken, its text or an element with that id will do; what means no id raises
    ``ValueError``. Costs are for one id, amortised: O(1) unless said otherwise.

    ``async with progression`` holds its lock, which the methods do not take. Among threads, appends lose
    nothing; whatever else several threads do needs a lock of theirs.

    Args:
        name: What a flow finds it by.
        order: The ids to begin with: an iterable, or a single one.
    """

    _inherits_init: ClassVar[bool] = True

    name: str | None = None
    # Living and dead, in order; neither its head nor its tail is dead.
    _ids: deque[UUID] = attrs.field(factory=deque[UUID], init=False)
    # How often each id occurs among the living: never 0.
    _counts: dict[int, int] = attrs.field(factory=dict[int, int], init=False)
    _dead: _Dead = attrs.field(factory=_Dead, init=False)
    guard: CountedLock = attrs.field(factory=CountedLock, init=False)

    def __init__(self, *, name: str | None = None, order: Any = None, **fields: Any) -> None:
        self.__attrs_init__(name=name, **fields)
        self.extend(_as_iterable(order))

    # ---------------------------------------------------------------- one id

    def append(self, item: Any) -> None:
        """Add an item's id at the end."""
        item_id = item if type(item) is UUID else to_uuid(item)
        self._ids.append(item_id)
        counts, number = self._counts, item_id.int
        counts[number] = counts.get(number, 0) + 1

    def include(self, item: Any) -> bool:
        """Add an item's id at the end unless it is there; whether it was added."""
        item_id = item if type(item) is UUID else to_uuid(item)
        if item_id.int in self._counts:
            return False
        self._ids.append(item_id)
        self._counts[item_id.int] = 1
        return True

    def exclude(self, item: Any) -> bool:
        """Take out the first occurrence of an item's id; whether there was one."""
        item_id = item if type(item) is UUID else to_uuid(item)
        number = item_id.int
        left = self._count_out(number)
        if left < 0:
            return False
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
        Take out the first occurrence of an item's id.

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
        return self._pop_end(self._ids.popleft)

    def pop(self, index: int = -1, default: Any = _MISSING) -> Any:
        """
        Take out the id at an index, from the end if that is negative. O(1) at either end, else O(n).

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
        """Add the ids of items at the end; all are checked before any is added. O(their number)."""
        for item_id in [to_uuid(item) for item in items]:
            self.append(item_id)

    def clear(self) -> None:
        """Take everything out."""
        self._ids.clear()
        self._counts.clear()
        self._dead = _Dead()

    @property
    def order(self) -> list[UUID]:
        """The ids as a list: a copy. Assigning replaces all of them. O(n)."""
        return self._living()

    @order.setter
    def order(self, items: Any) -> None:
        self._replace([to_uuid(item) for item in _as_iterable(items)])

    def __iter__(self) -> Iterator[UUID]:
        """Iterate over the ids as they are now; changes meanwhile do not show. O(n)."""
        return iter(self._living())

    def __reversed__(self) -> Iterator[UUID]:
        return reversed(self._living())

    # ---------------------------------------------------------------- positions, all O(n)

    def index(self, item: Any) -> int:
        """
        Return the index of the first occurrence of an item's id.

        Raises:
            ValueError: There is none.
        """
        return self._living().index(to_uuid(item))

    def insert(self, index: int, item: Any) -> None:
        """Add an item's id before the one at that index; any index will do, as for ``list.insert()``."""
        item_id = to_uuid(item)
        self._compact().insert(index, item_id)
        self._counts[item_id.int] = self._counts.get(item_id.int, 0) + 1

    def move(self, from_index: int, to_index: int) -> None:
        """
        Take the id at ``from_index`` out and put it before what was at ``to_index``; there ``len`` means the end.

        Args:
            from_index: Within the progression; a negative one counts from the end.
            to_index: Likewise.

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
            first: Within the progression; a negative one counts from the end.
            second: Likewise.

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
        """Count one occurrence less; how many are left, -1 if there was none."""
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
        ids = list(self._ids)  # at once, since other threads may append meanwhile
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
        """Drop all the dead; what is returned holds exactly the ids in order."""
        if self._dead.total:
            self._ids = deque(self._living())
            self._dead = _Dead()
            self._counts = dict(self._counts)  # a dict does not shrink by itself
        return self._ids

    def _tidy(self) -> None:
        """Drop the dead at both ends; all of them, if they outnumber the living."""
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
