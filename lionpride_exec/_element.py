"""
The root of everything that has an identity.

A subclass is a plain class body with annotated names; :meth:`Model.__init_subclass__` turns it into an attrs class
in place (no slots: those would need a second class). Type checkers see the constructor through
``dataclass_transform``.
"""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, dataclass_transform
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import attrs

from ._json import jsonable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Mode = Literal["python", "json", "db"]
TimeFormat = Literal["datetime", "isoformat", "timestamp"]

CLASS_KEY = "lion_class"


@dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
class Model:
    """Makes attrs classes of its subclasses, and knows them by their full name."""

    # Weak: a class made inside a function goes when nobody uses it any more.
    _registry: ClassVar[WeakValueDictionary[str, type[Model]]] = WeakValueDictionary()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in get_annotations(cls):
            default = cls.__dict__.get(name)
            if type(default).__hash__ is None:  # mutable: each instance gets a copy of its own
                setattr(cls, name, attrs.Factory(partial(deepcopy, default)))
        attrs.define(cls, eq=False, kw_only=True, repr=False, slots=False, field_transformer=_inherit_from_redeclared)
        Model._registry[f"{cls.__module__}.{cls.__qualname__}"] = cls


def _inherit_from_redeclared(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """
    Let a redeclared field keep what it does not say anew: its validator, converter and hooks.

    ``streaming = True`` without an annotation is such a redeclaration too: a new default.
    """
    inherited = {
        field.name: field for base in reversed(cls.__mro__[1:]) for field in base.__dict__.get("__attrs_attrs__", ())
    }
    own = get_annotations(cls)
    result: list[attrs.Attribute[Any]] = []
    for field in fields:
        known = inherited.get(field.name)
        if known is None:
            result.append(field)
        elif field.name in own:
            kept = {
                part: getattr(known, part)
                for part in ("validator", "converter", "on_setattr")
                if getattr(field, part) is None
            }
            result.append(field.evolve(**kept))
        elif field.name in cls.__dict__:
            result.append(field.evolve(default=cls.__dict__[field.name]))
        else:
            result.append(field)
    return result


def to_uuid(value: Any) -> UUID:
    """
    Give the id that a UUID, its text, or an object with an ``id`` means.

    Raises:
        ValueError: It means none.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        return UUID(value)
    found = getattr(value, "id", None)
    if isinstance(found, UUID):
        return found
    raise ValueError(f"Cannot get ID from {type(value).__name__}: {value!r}")


def to_datetime(value: Any) -> datetime:
    """
    Give a time from a datetime, a number of seconds, or the text of either; without a zone it is UTC.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            return datetime.fromtimestamp(float(value), UTC)
        except ValueError:
            pass
        try:
            return to_datetime(datetime.fromisoformat(value))
        except ValueError:
            raise ValueError(f"created_at {value!r} is neither a valid timestamp nor ISO text") from None
    raise ValueError(f"created_at must be a datetime, a number or text, got {type(value).__name__}")


def to_metadata(value: Any) -> dict[str, Any]:
    """Give metadata as a dict: that of an object that has a dict form, else an empty one."""
    if not value:
        return {}
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if callable(getattr(value, "to_dict", None)):
        return dict(value.to_dict())
    if hasattr(value, "keys"):
        return dict(value)
    return {}


def _now() -> datetime:
    return datetime.now(UTC)


class Element(Model):
    """
    Something with an identity: equal and hashed by its id alone.

    Args:
        id: A UUID, its text, or an element to share the id of; cannot be reassigned. Default: a random one.
        created_at: A datetime (naive: UTC), seconds since 1970, or ISO text; cannot be reassigned. Default: now.
        metadata: A dict, or something with a dict form; None and what has none become ``{}``.

    Raises:
        ValueError: Of an id or a time that cannot be understood.
        attrs.exceptions.FrozenAttributeError: At an assignment to ``id`` or ``created_at``.
    """

    id: UUID = attrs.field(factory=uuid4, converter=to_uuid, on_setattr=attrs.setters.frozen)
    created_at: datetime = attrs.field(factory=_now, converter=to_datetime, on_setattr=attrs.setters.frozen)
    metadata: dict[str, Any] = attrs.field(factory=dict[str, Any], converter=to_metadata)

    # Fields that are no part of the serialised form.
    _not_serialised: ClassVar[frozenset[str]] = frozenset()

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Element) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id})"

    @classmethod
    def class_name(cls, full: bool = False) -> str:
        """Give the name of the class; with ``full`` its module and qualified name before it."""
        return f"{cls.__module__}.{cls.__qualname__}" if full else cls.__name__

    # ---------------------------------------------------------------- to data

    def to_dict(
        self,
        mode: Mode = "python",
        created_at_format: TimeFormat | None = None,
        meta_key: str | None = None,
        *,
        exclude: Collection[str] = (),
        **kwargs: Any,
    ) -> dict[str, Any]:
        """
        Give the element as a dict that ``from_dict()`` reads; the class's name is put into its metadata.

        Args:
            mode: "python" keeps ids and times as objects; "json" gives JSON-safe data; "db" the same, with the
                metadata under ``node_metadata`` and ``created_at`` as a datetime.
            created_at_format: Default: "isoformat" for json, else "datetime".
            meta_key: Key for the metadata.
            exclude: Names of fields to leave out.
            kwargs: For subclasses.

        Raises:
            ValueError: No such mode, or a datetime asked for in JSON.
        """
        if mode not in {"python", "json", "db"}:
            raise ValueError(f"Invalid mode: {mode!r}; must be 'python', 'json' or 'db'")
        time_format = created_at_format or ("isoformat" if mode == "json" else "datetime")
        if mode == "json" and time_format == "datetime":
            raise ValueError("created_at_format='datetime' not valid for mode='json'")
        data: dict[str, Any] = {"id": self.id if mode == "python" else str(self.id)}
        data["created_at"] = _format_time(self.created_at, time_format)
        own = self.metadata if mode == "python" else jsonable(self.metadata)
        data["metadata"] = {**own, CLASS_KEY: self.class_name(full=True)}
        data |= self._own_to_dict(
            mode, exclude=exclude, meta_key=meta_key, created_at_format=created_at_format, **kwargs
        )
        for name in exclude:
            data.pop(name, None)
        key = meta_key or ("node_metadata" if mode == "db" else None)
        if key is not None and "metadata" in data:
            data[key] = data.pop("metadata")
        return data

    def _own_to_dict(self, mode: Mode, **_: Any) -> dict[str, Any]:
        """Give the fields beyond id, time and metadata. Subclasses with other ideas override this."""
        return {
            field.alias: getattr(self, field.name) if mode == "python" else jsonable(getattr(self, field.name))
            for field in attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
            if field.init and field.name not in _BASE_FIELDS and field.name not in self._not_serialised
        }

    def to_json(
        self, *, pretty: bool = False, sort_keys: bool = False, decode: bool = True, **kwargs: Any
    ) -> str | bytes:
        """Give the JSON text of ``to_dict(mode="json")``; bytes if not ``decode``."""
        data = self.to_dict("json", **kwargs)
        text = json.dumps(data, indent=2 if pretty else None, sort_keys=sort_keys, ensure_ascii=False)
        return text if decode else text.encode()

    # ---------------------------------------------------------------- from data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], meta_key: str | None = None, **kwargs: Any) -> Self:
        """
        Make the element that ``to_dict()`` told of; missing keys get their defaults. The data are not changed.

        The class named in the metadata is built, if a class of that name exists in this process: it is looked
        up among those, nothing is imported.

        Args:
            data: What ``to_dict()`` gave, in any mode.
            meta_key: Where the metadata are, if not under ``metadata`` or ``node_metadata``.
            kwargs: For subclasses.

        Raises:
            ValueError: There is no such class, or it is no Element.
            TypeError: A key that the class does not know.
        """
        fields = dict(data)
        legacy = fields.pop("node_metadata", None)
        if meta_key is not None and meta_key in fields:
            fields["metadata"] = fields.pop(meta_key)
        elif legacy is not None and "metadata" not in fields:
            fields["metadata"] = legacy
        target: type[Element] = cls
        if isinstance(fields.get("metadata"), dict):
            fields["metadata"] = dict(fields["metadata"])
            name = fields["metadata"].pop(CLASS_KEY, None)
            target = cls if name is None else find_class(name)
        return cast("Self", target._own_from_dict(fields, meta_key=meta_key, **kwargs))

    @classmethod
    def _own_from_dict(cls, fields: dict[str, Any], **_: Any) -> Self:
        """Build an instance from the dict form of its fields. Subclasses with other ideas override this."""
        return cls(**fields)

    @classmethod
    def from_json(cls, text: str | bytes, **kwargs: Any) -> Self:
        """Make the element that ``to_json()`` told of; see :meth:`from_dict`."""
        return cls.from_dict(json.loads(text), **kwargs)


_BASE_FIELDS = frozenset({"id", "created_at", "metadata"})


def find_class(name: str) -> type[Element]:
    """
    Give the Element class of that full name.

    Raises:
        ValueError: This process has no such class, or it is no Element.
    """
    found = Model._registry.get(name)
    if found is None:
        raise ValueError(f"Failed to deserialize: class {name!r} is not registered; import its module first")
    if not issubclass(found, Element):
        raise ValueError(f"Failed to deserialize: {name!r} is not an Element class")  # noqa: TRY004  bad data
    return found


def _format_time(moment: datetime, time_format: TimeFormat) -> datetime | str | float:
    if time_format == "isoformat":
        return moment.isoformat()
    return moment.timestamp() if time_format == "timestamp" else moment
