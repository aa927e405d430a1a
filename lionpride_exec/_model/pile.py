"""
Elements by id, in order.

A pile keeps its elements in one dict, whose insertion order is the order of the pile. So adding, finding and removing
cost O(1), and there is no second index to keep right. The keys of the dict are the numbers of the ids (``UUID.int``):
the hash of an int is computed in C, at a third of the cost of the hash of a UUID, which is computed in Python.

A reentrant lock makes every method atomic among threads. ``async with pile`` holds another lock, by which a task
protects several steps from other tasks that do the same. The methods do not take that lock.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar, overload
from uuid import UUID

import attrs

from lionpride_exec._base.counted_lock import CountedLock
from lionpride_exec.errors import ExistsError, NotFoundError

from .element import Element, Mode, to_metadata, to_uuid
from .pile_lookup import as_types, by_position, check_filter, check_type, class_of, full_name, missing, names, select
from .progression import Progression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

E = TypeVar("E", bound=Element)
D = TypeVar("D")
_MISSING: Final = object()
_NAME_KEY: Final = "progression_name"


class Pile(Element, Generic[E]):
    """
    Elements by id, in order. Each method costs O(1) unless its docstring says otherwise.

    A method that takes an id also takes the text of the id, or the element. Any other value raises ``ValueError``.

    Args:
        items: The first elements of the pile.
        item_type: A class, or several (list, tuple, set, union). Each item must be an instance of one of them.
        order: The ids of all items, each once, in the order that the pile has to have. None for the order of ``items``.
        strict_type: Whether instances of subclasses of ``item_type`` are refused. No effect without ``item_type``.
        fields: The fields of :class:`Element`.

    Raises:
        TypeError: An item is not an Element, or is of another type.
        ExistsError: Two items have the same id.
        NotFoundError: ``order`` contains an id that no item has.
        ValueError: ``order`` leaves an item out, or repeats an id.
    """

    _inherits_init: ClassVar[bool] = True

    _items: dict[int, E] = attrs.field(factory=dict[int, "E"], init=False)
    _item_type: set[type] | None = attrs.field(default=None, init=False)
    _strict_type: bool = attrs.field(default=False, init=False)
    _fitting: set[type] = attrs.field(factory=set[type], init=False)  # classes that have passed the check
    _order_name: str | None = attrs.field(default=None, init=False)
    _lock: Any = attrs.field(factory=RLock, init=False)
    # The lock behind ``async with``. The field keeps its old name: the name is public and in pickles.
    guard: CountedLock = attrs.field(factory=CountedLock, init=False)

    def __init__(
        self,
        items: Iterable[E] | None = None,
        item_type: Any = None,
        order: Progression | Iterable[Any] | None = None,
        strict_type: bool = False,
        **fields: Any,
    ) -> None:
        self.__attrs_init__(**fields)
        self._item_type = as_types(item_type)
        self._strict_type = strict_type
        for item in items if items is not None else ():
            self.add(item)
        if order is not None:
            self._arrange([to_uuid(item) for item in order])
            self._order_name = order.name if isinstance(order, Progression) else None

    @property
    def item_type(self) -> set[type] | None:
        """The classes that items must be instances of. None if every class is allowed."""
        return self._item_type

    @property
    def strict_type(self) -> bool:
        """Whether instances of subclasses of ``item_type`` are refused."""
        return self._strict_type

    # ---------------------------------------------------------------- changing

    def add(self, item: E) -> None:
        """
        Add an element at the end.

        Raises:
            ExistsError: The pile has an element with this id. Nothing has changed.
            TypeError: The item is not an Element, or is of another type. Nothing has changed.
        """
        if type(item) not in self._fitting:
            self._check(item)
        items = self._items
        with self._lock:
            before = len(items)
            items.setdefault(item.id.int, item)
            if len(items) == before:
                raise ExistsError(f"Item {item.id} already exists in pile")

    def remove(self, item: Any) -> E:
        """
        Remove an element and return it.

        Raises:
            NotFoundError: The pile has no element with this id.
        """
        item_id = item if type(item) is UUID else to_uuid(item)
        with self._lock:
            found = self._items.pop(item_id.int, None)
        if found is None:
            raise missing(item_id)
        return found

    @overload
    def pop(self, item: Any) -> E: ...
    @overload
    def pop(self, item: Any, default: D) -> E | D: ...
    def pop(self, item: Any, default: Any = _MISSING) -> Any:
        """
        Remove an element and return it. Return the default if there is no such element.

        Raises:
            NotFoundError: The pile has no element with this id, and no default was passed.
        """
        item_id = to_uuid(item)
        with self._lock:
            found = self._items.pop(item_id.int, default)
        if found is _MISSING:
            raise missing(item_id)
        return found

    def update(self, item: E) -> None:
        """
        Replace the element that has the same id. The position stays the same.

        Raises:
            NotFoundError: The pile has no element with this id. Nothing has changed.
            TypeError: The item is of another type. Nothing has changed.
        """
        if type(item) not in self._fitting:
            self._check(item)
        with self._lock:
            if item.id.int not in self._items:
                raise missing(item.id)
            self._items[item.id.int] = item

    def include(self, item: Any) -> bool:
        """Add an element unless its id is present. Return whether the id is present now: False for a wrong type."""
        try:
            self.add(item)
        except ExistsError:
            return True
        except TypeError:
            return False
        return True

    def exclude(self, item: Any) -> bool:
        """Remove an element if it is present. Return True, or False if the value means no id."""
        try:
            item_id = to_uuid(item)
        except ValueError:
            return False
        with self._lock:
            self._items.pop(item_id.int, None)
        return True

    def clear(self) -> None:
        """Remove all elements."""
        with self._lock:
            self._items.clear()

    # ---------------------------------------------------------------- looking

    @overload
    def get(self, item: Any) -> E: ...
    @overload
    def get(self, item: Any, default: D) -> E | D: ...
    def get(self, item: Any, default: Any = _MISSING) -> Any:
        """
        Return the element with an id. Return the default if there is no such element.

        Raises:
            NotFoundError: The pile has no element with this id, and no default was passed.
        """
        item_id = item if type(item) is UUID else to_uuid(item)
        found = self._items.get(item_id.int, default)
        if found is _MISSING:
            raise missing(item_id)
        return found

    def is_empty(self) -> bool:
        """Return whether the pile is empty."""
        return not self._items

    def keys(self) -> Iterator[UUID]:
        """Iterate over a snapshot of the ids, in order."""
        with self._lock:
            return iter([item.id for item in self._items.values()])

    def items(self) -> Iterator[tuple[UUID, E]]:
        """Iterate over a snapshot of the (id, element) pairs, in order."""
        with self._lock:
            return iter([(item.id, item) for item in self._items.values()])

    def __iter__(self) -> Iterator[E]:
        """Iterate over a snapshot of the elements, in order. O(n)."""
        with self._lock:
            return iter(list(self._items.values()))

    def __reversed__(self) -> Iterator[E]:
        with self._lock:
            return reversed(list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)

    def __contains__(self, item: object) -> bool:
        if type(item) is UUID:
            return item.int in self._items
        try:
            return to_uuid(item).int in self._items
        except ValueError:
            return False

    @property
    def progression(self) -> Progression:
        """A new progression of the ids, in order. O(n)."""
        return Progression(name=self._order_name, order=self.keys())

    @overload
    def __getitem__(self, key: UUID | str | int) -> E: ...
    @overload
    def __getitem__(
        self, key: slice | Sequence[int] | Sequence[UUID] | Progression | Callable[[E], bool]
    ) -> Pile[E]: ...
    def __getitem__(self, key: Any) -> E | Pile[E]:
        """
        Return one element, or a new pile of several elements. O(1) by id, otherwise O(n).

        An id, the text of an id, or a position returns one element. A slice, a list or tuple of positions or of ids, a
        progression, or a predicate returns a new pile. The new pile has the order of the key, and each element once.

        Raises:
            NotFoundError: The pile has no element with one of the ids.
            IndexError: A position is out of range.
            ValueError: The list is empty.
            TypeError: The key is of another type, or the list mixes ids and positions.
        """
        if type(key) is UUID:
            found = self._items.get(key.int)
            if found is None:
                raise missing(key)
            return found
        if isinstance(key, str | UUID):
            return self[to_uuid(key)]
        if callable(key):  # user code, so not under the lock
            return self._subset(item for item in self if key(item))
        with self._lock:
            if isinstance(key, int) and not isinstance(key, bool):
                return by_position(self._items, key)
            return self._subset(select(self._items, key))

    def filter_by_type(self, wanted: Any) -> Pile[E]:
        """
        Return a new pile of the instances of ``wanted``: a class, or several (list, tuple, set, union). O(n).

        Raises:
            TypeError: One of the classes does not agree with the ``item_type`` of the pile.
            NotFoundError: The pile has no instance of these classes.
        """
        types = as_types(wanted) or set()
        check_filter(types, self._item_type, self._strict_type)
        found = [item for item in self if isinstance(item, tuple(types))]
        if not found:
            raise NotFoundError(f"No items of type {names(types)} in pile")
        return self._subset(found)

    def __repr__(self) -> str:
        return f"Pile(len={len(self)})"

    async def __aenter__(self) -> Self:
        await self.guard.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.guard.__aexit__(exc_type, exc, tb)

    # ---------------------------------------------------------------- data

    def _own_to_dict(
        self,
        mode: Mode,
        *,
        item_meta_key: str | None = None,
        item_created_at_format: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        types = None if self._item_type is None else sorted(full_name(one) for one in self._item_type)
        item_mode: Mode = "python" if mode == "python" else "json"
        return super()._own_to_dict(mode, **kwargs) | {
            "item_type": types,
            "strict_type": self._strict_type,
            "items": [
                item.to_dict(item_mode, meta_key=item_meta_key, created_at_format=item_created_at_format)
                for item in self
            ],
        }

    def _own_metadata(self) -> dict[str, Any]:
        name = {} if self._order_name is None else {_NAME_KEY: self._order_name}
        return super()._own_metadata() | name

    @classmethod
    def _own_from_dict(
        cls,
        fields: dict[str, Any],
        *,
        item_type: Any = None,
        strict_type: bool | None = None,
        item_meta_key: str | None = None,
        **_: Any,
    ) -> Self:
        kept_type, kept_strict = fields.pop("item_type", None), fields.pop("strict_type", False)
        types = as_types(kept_type if item_type is None else item_type)
        strict = bool(kept_strict if strict_type is None else strict_type)
        items: list[Any] = list(fields.pop("items", None) or ())
        for item in items:  # before any item is made
            check_type(class_of(item, item_meta_key), types, strict)
        fields["metadata"] = to_metadata(fields.get("metadata"))
        name = fields["metadata"].pop(_NAME_KEY, None)
        built: list[Any] = [
            item if isinstance(item, Element) else Element.from_dict(item, item_meta_key) for item in items
        ]
        pile = cls(built, item_type=types, strict_type=strict, **fields)
        pile._order_name = name
        return pile

    # ---------------------------------------------------------------- inside

    def _check(self, item: Any) -> None:
        cls: type[Any] = type(item)
        if not isinstance(item, Element):
            raise TypeError(f"item must be Element subclass, got {cls.__name__}")
        if self._item_type is not None:
            check_type(cls, self._item_type, self._strict_type)
        self._fitting.add(cls)

    def _arrange(self, order: list[UUID]) -> None:
        for item_id in order:
            if item_id.int not in self._items:
                raise NotFoundError(f"UUID {item_id} not found in items")
        if len(order) != len(self._items) or len(set(order)) != len(order):
            raise ValueError(f"order must list each of {len(self._items)} items once, got {len(order)} ids")
        self._items = {item_id.int: self._items[item_id.int] for item_id in order}

    def _subset(self, items: Iterable[E]) -> Pile[E]:
        unique = {item.id: item for item in items}
        return Pile(unique.values(), item_type=self._item_type, strict_type=self._strict_type)
