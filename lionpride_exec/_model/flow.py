"""A pile of items, and named progressions of their ids."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast
from uuid import UUID

import attrs

from lionpride_exec._base.wording import did_you_mean
from lionpride_exec.errors import ExistsError, NotFoundError

from .element import Element, Mode, to_uuid
from .pile import Pile
from .pile_lookup import as_types, check_type
from .progression import Progression

if TYPE_CHECKING:
    from collections.abc import Iterable

E = TypeVar("E", bound=Element)
P = TypeVar("P", bound=Progression)


class Flow(Element, Generic[E, P]):
    """
    A pile of items, and progressions of their ids.

    Each method of a flow is atomic among threads. Direct changes to the piles ``items`` and ``progressions`` are not
    covered by that promise.

    Args:
        items: A pile (not copied), an iterable of elements, one element, or the dict form of a pile.
        progressions: A pile of progressions (not copied), an iterable of them, or the dict form of a pile.
        name: A name for people.
        item_type: As for :class:`Pile`. With a pile as ``items`` it must agree with that pile.
        strict_type: As for :class:`Pile`. With a pile as ``items`` it must agree with that pile.
        fields: The fields of :class:`Element`.

    Raises:
        NotFoundError: A progression contains an id that no item has.
        ExistsError: Two progressions have the same name.
        TypeError: One of the progressions is not a Progression, or an item is of another type.
        ValueError: ``item_type`` or ``strict_type`` disagrees with the given pile.
    """

    _inherits_init: ClassVar[bool] = True

    name: str | None = None
    items: Pile[E] = attrs.field(init=False)
    progressions: Pile[P] = attrs.field(init=False)
    _progression_names: dict[str, UUID] = attrs.field(factory=dict[str, UUID], init=False)
    _lock: Any = attrs.field(factory=RLock, init=False)
    # Called before to_dict() reads the flow, so that the owner can bring the flow up to date. None if there is none.
    _before_record: Any = attrs.field(default=None, init=False)

    def __init__(
        self,
        items: Any = None,
        progressions: Any = None,
        name: str | None = None,
        item_type: Any = None,
        strict_type: bool = False,
        **fields: Any,
    ) -> None:
        self.__attrs_init__(name=name, **fields)
        self.items = _as_pile(items, item_type, strict_type)
        own_type = None if isinstance(progressions, Pile | dict) else Progression
        given = _as_pile(progressions, own_type, strict_type=False)
        self.progressions = Pile()  # for the checks of add_progression()
        for progression in given:
            self.add_progression(progression)
        self.progressions = given

    # ---------------------------------------------------------------- progressions

    def add_progression(self, progression: P) -> None:
        """
        Add a progression. O(n) in the length of the progression and the number of progressions.

        Raises:
            ExistsError: A progression of the flow has the same id or name.
            NotFoundError: The progression contains ids that no item has. The message names the ids.
            TypeError: The value is not a progression.
        """
        check_type(type(progression), {Progression}, strict=False)
        with self._lock:
            if progression.name is not None and self._find(progression.name) is not None:
                raise ExistsError(f"Progression with name {progression.name!r} already exists in flow")
            if progression.id in self.progressions:
                raise ExistsError(f"Progression {progression.id} already exists in flow")
            if strangers := {str(i) for i in progression if i not in self.items}:
                raise NotFoundError(f"{progression!r} contains UUIDs not in items pile: {', '.join(sorted(strangers))}")
            self.progressions.add(progression)
            if progression.name is not None:
                self._progression_names[progression.name] = progression.id

    def _add_first(self, progressions: Iterable[P]) -> None:
        """Add empty progressions with different names to a flow that has none, without the checks: they would pass."""
        with self._lock:
            for progression in progressions:
                self.progressions.add(progression)
                if progression.name is not None:
                    self._progression_names[progression.name] = progression.id

    def remove_progression(self, key: UUID | str | Progression) -> P:
        """
        Remove a progression and return it. The items stay.

        Args:
            key: The id, the text of the id, or the name of the progression, or the progression.

        Raises:
            NotFoundError: The flow has no such progression.
        """
        with self._lock:
            try:
                progression = self.get_progression(key)
            except NotFoundError as exc:
                shown = key.id if isinstance(key, Progression) else key
                raise NotFoundError(f"Progression {shown} not found in flow") from exc
            self.progressions.remove(progression.id)
            for name in [n for n, i in self._progression_names.items() if i == progression.id]:
                del self._progression_names[name]
            return progression

    def get_progression(self, key: UUID | str | Progression) -> P:
        """
        Return a progression. O(1), or O(number of progressions) after a progression was renamed.

        Args:
            key: The name, the id, or the text of the id of the progression, or the progression. A text is compared with
                the names first.

        Raises:
            NotFoundError: The flow has no progression for this key. The error is also a KeyError.
            TypeError: The key is of another type.
        """
        found = self._find(key) if isinstance(key, str) else None
        if found is None:
            found = self.progressions.get(_progression_id(key, self.progressions), None)
        if found is None:
            raise _missing(key)
        return found

    # ---------------------------------------------------------------- items

    def add_item(self, item: E, progressions: Any = None) -> None:
        """
        Add an item, and append its id to one or several progressions.

        Raises:
            NotFoundError: The flow does not have one of the progressions. Nothing has changed.
            ExistsError: The flow has the item already. Nothing has changed.
            TypeError: The item is of another type. Nothing has changed.
        """
        keys = [] if progressions is None else _as_list(progressions)
        with self._lock:
            found = [self.get_progression(key) for key in keys]
            self.items.add(item)
            for progression in found:
                progression.append(item.id)

    def remove_item(self, item: Any) -> E:
        """
        Remove an item, and all occurrences of its id in the progressions. Return the item. O(number of progressions).

        Raises:
            NotFoundError: The flow does not have the item.
        """
        with self._lock:
            removed = self.items.remove(item)
            for progression in self.progressions:
                while progression.exclude(removed.id):
                    pass
            return removed

    def clear(self) -> None:
        """Remove all items, and all ids from the progressions. The progressions stay."""
        with self._lock:
            self.items.clear()
            for progression in self.progressions:
                progression.clear()

    def __repr__(self) -> str:
        named = f", name={self.name!r}" if self.name else ""
        return f"Flow(items={len(self.items)}, progressions={len(self.progressions)}{named})"

    # ---------------------------------------------------------------- data

    def _own_to_dict(self, mode: Mode, *, exclude: Iterable[str] = (), **kwargs: Any) -> dict[str, Any]:
        if self._before_record is not None:
            self._before_record()
        data = super()._own_to_dict(mode)
        for part, pile in (("items", self.items), ("progressions", self.progressions)):
            if part not in exclude:
                data[part] = pile.to_dict(mode, **kwargs)
        return data

    @classmethod
    def _own_from_dict(
        cls,
        fields: dict[str, Any],
        *,
        meta_key: str | None = None,
        item_type: Any = None,
        strict_type: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        types = {"item_type": item_type, "strict_type": strict_type}
        for part, options in (("items", kwargs | types), ("progressions", kwargs)):
            data: Any = fields.get(part)
            if isinstance(data, dict):
                fields[part] = Pile.from_dict(cast("dict[str, Any]", data), meta_key, **options)
            elif isinstance(data, list):
                options = {"item_meta_key": meta_key} | options  # noqa: PLW2901  for this part only
                fields[part] = Pile.from_dict({"items": data}, None, **options)
        return cls(**fields)

    def _find(self, name: str) -> P | None:
        """Return the progression with a name, or None. A rename makes the index outdated, so check its answer."""
        item_id = self._progression_names.get(name)
        found: P | None = None if item_id is None else self.progressions.get(item_id, None)
        if found is not None and found.name == name:
            return found
        for progression in self.progressions:
            if progression.name == name:
                self._progression_names[name] = progression.id
                return progression
        return None


def _as_pile(given: Any, item_type: Any, strict_type: bool) -> Pile[Any]:
    if not isinstance(given, Pile | dict):
        several = [] if given is None else [given] if isinstance(given, Element) else given
        return Pile(several, item_type=item_type, strict_type=strict_type)
    pile: Pile[Any] = cast("Any", Pile.from_dict(cast("Any", given)) if isinstance(given, dict) else given)
    wanted = (as_types(item_type), strict_type)
    if wanted not in ((None, False), (pile.item_type, pile.strict_type)):
        raise ValueError(f"item_type and strict_type must agree with those of {pile!r}, or not be given")
    return pile


def _as_list(given: Any) -> list[Any]:
    several = isinstance(given, list | tuple | set | frozenset)
    return list(cast("Iterable[Any]", given)) if several else [given]


def _progression_id(key: object, known: Iterable[Progression] = ()) -> UUID:
    if isinstance(key, str):
        try:
            return UUID(key)
        except ValueError:
            raise _missing(key, did_you_mean(key, (each.name for each in known if each.name))) from None
    if isinstance(key, UUID | Progression):
        return to_uuid(key)
    raise TypeError(f"a progression is found by name, id or itself, not by {type(key).__name__}")


def _missing(key: UUID | str | Progression, hint: str = "") -> NotFoundError:
    return NotFoundError(f"Progression '{key.id if isinstance(key, Progression) else key}' not found in flow{hint}")
