"""A pile of items and named orders of them."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast
from uuid import UUID

import attrs

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
    Items, and progressions of their ids.

    Every method is atomic among threads. Work on the two piles themselves goes past that.

    Args:
        items: A pile (used as it is), several elements, one, or the dict form of a pile.
        progressions: Several progressions, a pile of them, or its dict form.
        name: For people.
        item_type: As for a pile. Beside a ready pile they have to agree with its own.
        strict_type: Likewise.
        fields: Of :class:`Element`.

    Raises:
        NotFoundError: A progression holds an id that no item has.
        ExistsError: Two progressions have one name.
        TypeError: Something is no progression, or an item of another type.
        ValueError: Types are given beside a ready pile that has others.
    """

    _inherits_init: ClassVar[bool] = True

    name: str | None = None
    items: Pile[E] = attrs.field(init=False)
    progressions: Pile[P] = attrs.field(init=False)
    _progression_names: dict[str, UUID] = attrs.field(factory=dict[str, UUID], init=False)
    _lock: Any = attrs.field(factory=RLock, init=False)
    # Called before a record is made: the owner of the flow may have to say what is not in it.
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
        Add a progression. O(its length, and the number of progressions).

        Raises:
            ExistsError: Its id is here, or its name is taken.
            NotFoundError: It holds ids that no item has; they are named.
            TypeError: It is no progression.
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

    def remove_progression(self, key: UUID | str | Progression) -> P:
        """
        Take a progression out and give it; the items stay.

        Args:
            key: Its id, its name, or itself.

        Raises:
            NotFoundError: It is not here.
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
        Return the progression of that name, id, id text, or itself. Names go before id texts.

        O(1), but for a name that no progression had when it was added: O(number of progressions).

        Raises:
            NotFoundError: It is not here. (Also a KeyError.)
            TypeError: Not that kind of key.
        """
        found = self._find(key) if isinstance(key, str) else None
        if found is None:
            found = self.progressions.get(_progression_id(key), None)
        if found is None:
            raise _missing(key)
        return found

    # ---------------------------------------------------------------- items

    def add_item(self, item: E, progressions: Any = None) -> None:
        """
        Add an item, and its id at the end of one or several progressions. All of it or nothing.

        Raises:
            NotFoundError: A progression is not here.
            ExistsError: The item is here already.
            TypeError: It is of another type.
        """
        keys = [] if progressions is None else _as_list(progressions)
        with self._lock:
            found = [self.get_progression(key) for key in keys]
            self.items.add(item)
            for progression in found:
                progression.append(item.id)

    def remove_item(self, item: Any) -> E:
        """
        Take an item out of the items and of all progressions, and give it. O(number of progressions).

        Raises:
            NotFoundError: It is not here.
        """
        with self._lock:
            removed = self.items.remove(item)
            for progression in self.progressions:
                while progression.exclude(removed.id):
                    pass
            return removed

    def clear(self) -> None:
        """Take all items out, and their ids out of the progressions, which stay."""
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
        """Return the progression of that name. The index may be outdated: a progression can be renamed."""
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


def _progression_id(key: object) -> UUID:
    if isinstance(key, str):
        try:
            return UUID(key)
        except ValueError:
            raise _missing(key) from None
    if isinstance(key, UUID | Progression):
        return to_uuid(key)
    raise TypeError(f"a progression is found by name, id or itself, not by {type(key).__name__}")


def _missing(key: UUID | str | Progression) -> NotFoundError:
    return NotFoundError(f"Progression '{key.id if isinstance(key, Progression) else key}' not found in flow")
