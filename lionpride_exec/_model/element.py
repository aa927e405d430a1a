"""
The base class of everything that has an identity.

A subclass is a plain class body with annotated names. :meth:`Model.__init_subclass__` turns the class into an attrs
class in place. The classes have no slots, because attrs would have to make a second class for them. Type checkers see
the constructor through ``dataclass_transform``.
"""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003  codecs resolve the annotations of the fields
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    cast,
    dataclass_transform,
    get_args,
    overload,
)
from uuid import UUID
from weakref import WeakValueDictionary

import attrs

from lionpride_exec._base.ids import random_id
from lionpride_exec._base.ids import ready as ready_ids
from lionpride_exec._base.json_text import shown
from lionpride_exec._base.jsonable import jsonable
from lionpride_exec._base.sentinel import Unset

from .constructor import MadeOnDemand, write_constructor
from .creation_time import to_creation_time
from .declarations import check_methods, complete
from .unknown_fields import make_instance

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Mode = Literal["python", "json", "db"]
TimeFormat = Literal["datetime", "isoformat", "timestamp"]

CLASS_KEY = "lion_class"


@dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
class Model:
    """Turns its subclasses into attrs classes, and registers them by their full names."""

    # Whether subclasses inherit the constructor. Otherwise attrs makes each a constructor from its fields. An inherited
    # constructor is written by hand, and passes the other fields on to the __attrs_init__() of the subclass.
    _inherits_init: ClassVar[bool] = False

    # Whether a subclass is refused if it hides a name that the package uses (see declarations.check_methods).
    _keeps_names: ClassVar[bool] = False

    # Names of the fields that an instance leaves out while they have their defaults (``_model.constructor``).
    _left_out: ClassVar[frozenset[str]] = frozenset()

    # Names of the fields whose values are redacted. The command adds paths into fields (``_base.redaction``).
    _redacted: ClassVar[frozenset[str]] = frozenset()

    if TYPE_CHECKING:
        __attrs_attrs__: ClassVar[tuple[attrs.Attribute[Any], ...]]

        def __attrs_init__(self, **fields: Any) -> None: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls._keeps_names:
            check_methods(cls)
        attrs.define(
            cls,
            auto_attribs=True,  # else an attrs.field() without annotation would hide the annotated names
            init=False,  # makes the constructor __attrs_init__()
            eq=False,
            kw_only=True,
            repr=False,
            slots=False,
            field_transformer=complete,
        )
        if not (cls._inherits_init or "__init__" in cls.__dict__):
            # By setattr(): type checkers would take an assignment for a declaration of the base class.
            setattr(cls, "__init__", write_constructor(cls, cls._left_out))  # noqa: B010  see above
        cls._redacted = frozenset(field.name for field in cls.__attrs_attrs__ if field.metadata.get("redact"))
        also_known_as(cls, f"{cls.__module__}.{cls.__qualname__}")


# Weak, so that a class made inside a function can be collected.
_registry: Final[WeakValueDictionary[str, type[Model]]] = WeakValueDictionary()


def also_known_as(cls: type[Model], name: str) -> None:
    """Register another full name for a class."""
    _registry[name] = cls


def to_uuid(value: Any) -> UUID:
    """
    Return the id for a UUID, the text of a UUID, or an object with an ``id``.

    Raises:
        ValueError: The value is none of these.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            raise ValueError(f"{shown(value)} is not the text of an id (a UUID)") from None
    found = getattr(value, "id", None)
    if isinstance(found, UUID):
        return found
    raise ValueError(f"Cannot get ID from {type(value).__name__}")


def to_metadata(value: Any) -> dict[str, Any]:
    """Return metadata as a new dict. A value without a dict form becomes an empty dict."""
    if value is Unset or not value:
        return {}
    convert = getattr(value, "to_dict", None)
    shape: Any = convert() if callable(convert) else value
    return dict(shape) if hasattr(shape, "keys") else {}


# Runs for each new event, as to_creation_time() does. A factory beside a converter would cost a second call.
def _id(value: Any) -> UUID:
    if value is Unset:
        try:
            return ready_ids.pop()
        except IndexError:
            return random_id()
    try:
        return to_uuid(value)
    except ValueError as exc:
        raise ValueError(f"id must be a UUID, its text, or an element, got {shown(value)} ({exc})") from None


_NOT_GIVEN: Any = Unset


class Element(Model):
    """
    An object with an identity. Equality and hash depend only on the id.

    Args:
        id: A UUID, the text of a UUID, or an element that has the id. Cannot be reassigned. The default is a random
            id.
        created_at: A datetime (UTC if it has no zone), seconds since 1970, or ISO text. Cannot be reassigned. The
            default is now. If the wall clock was set back, the default is the latest creation time in this process,
            until the clock has caught up.
        metadata: A dict, or an object with a dict form. Any other value, and None, becomes ``{}``.

    Raises:
        ValueError: The id or the time cannot be parsed.
        attrs.exceptions.FrozenAttributeError: At an assignment to ``id`` or ``created_at``.
    """

    id: UUID = attrs.field(default=_NOT_GIVEN, converter=_id, on_setattr=attrs.setters.frozen)
    created_at: datetime = attrs.field(default=_NOT_GIVEN, converter=to_creation_time, on_setattr=attrs.setters.frozen)
    metadata: dict[str, Any] = attrs.field(default=_NOT_GIVEN, converter=to_metadata)

    _left_out: ClassVar[frozenset[str]] = frozenset({"metadata"})

    # Names of the fields that are left out of the serialised form.
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
        """Return the name of the class. With ``full``, return the module and the qualified name."""
        return f"{cls.__module__}.{cls.__qualname__}" if full else cls.__name__

    # ---------------------------------------------------------------- to data

    def to_dict(
        self,
        mode: Mode = "python",
        created_at_format: TimeFormat | None = None,
        meta_key: str | None = None,
        *,
        exclude: Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """
        Return the element as a dict that ``from_dict()`` reads. The metadata in the dict contain the class name.

        Args:
            mode: "python" keeps ids and times as objects. "json" returns JSON-safe data. "db" is like "json", but with
                the metadata under ``node_metadata``, and ``created_at`` as a datetime.
            created_at_format: "datetime", "isoformat" or "timestamp" (seconds since 1970). The default is "isoformat"
                for mode "json", otherwise "datetime".
            meta_key: The key of the metadata in the dict.
            exclude: Names of fields to leave out.
            kwargs: Options of subclasses.

        Raises:
            ValueError: The mode or the format is unknown, or the format is "datetime" in mode "json".
        """
        _check_mode(mode, created_at_format)
        left_out = exclude or ()
        metadata = self._own_metadata()
        data: dict[str, Any] = {
            "id": self.id if mode == "python" else str(self.id),
            "created_at": _format_time(self.created_at, created_at_format or _TIME_FORMATS[mode]),
            "metadata": metadata if mode == "python" else jsonable(metadata),
        }
        data["metadata"][CLASS_KEY] = self.class_name(full=True)
        data |= self._own_to_dict(
            mode, exclude=left_out, meta_key=meta_key, created_at_format=created_at_format, **kwargs
        )
        for name in left_out:
            data.pop(name, None)
        key = meta_key or ("node_metadata" if mode == "db" else "metadata")
        if key != "metadata" and "metadata" in data:
            data[key] = data.pop("metadata")
        return data

    def _own_metadata(self) -> dict[str, Any]:
        """Return the metadata to write, as a new dict. Override this to add entries."""
        return dict(self.metadata)

    def _own_to_dict(self, mode: Mode, **_: Any) -> dict[str, Any]:
        """Return the fields other than id, time and metadata. Override this for another dict form."""
        left_out = _BASE_FIELDS | self._not_serialised
        data = {
            field.alias or field.name: getattr(self, field.name)
            for field in self.__attrs_attrs__
            if field.init and field.name not in left_out
        }
        return data if mode == "python" else {name: jsonable(value) for name, value in data.items()}

    @overload
    def to_json(
        self, *, pretty: bool = False, sort_keys: bool = False, decode: Literal[True] = True, **kwargs: Any
    ) -> str: ...
    @overload
    def to_json(
        self, *, pretty: bool = False, sort_keys: bool = False, decode: Literal[False], **kwargs: Any
    ) -> bytes: ...
    @overload
    def to_json(self, *, pretty: bool = False, sort_keys: bool = False, decode: bool, **kwargs: Any) -> str | bytes: ...

    def to_json(
        self, *, pretty: bool = False, sort_keys: bool = False, decode: bool = True, **kwargs: Any
    ) -> str | bytes:
        """
        Return the JSON text of ``to_dict(mode="json")``.

        Args:
            pretty: Whether the text has line breaks, and indents of two spaces.
            sort_keys: Whether keys are sorted.
            decode: Whether to return text. Otherwise return UTF-8 bytes.
            kwargs: Options of :meth:`to_dict`.

        Raises:
            ValueError: As :meth:`to_dict`.
        """
        data = self.to_dict("json", **kwargs)
        write = partial(json.dumps, data, indent=2 if pretty else None, sort_keys=sort_keys)
        try:
            encoded = write(ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half of a surrogate pair can only be written as an escape
            encoded = write().encode()
        return encoded.decode() if decode else encoded

    # ---------------------------------------------------------------- from data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], meta_key: str | None = None, **kwargs: Any) -> Self:
        """
        Make an element from the data that ``to_dict()`` returned. Missing keys get their defaults.

        The data are not changed. The metadata may name the class of the element. The class is looked up among the
        classes of this process: nothing is imported.

        Args:
            data: A dict from ``to_dict()`` in any mode.
            meta_key: The key of the metadata, if it is neither ``metadata`` nor ``node_metadata``.
            kwargs: Options of subclasses.

        Raises:
            ValueError: This process has no class of that name, or the class is not an Element.
            TypeError: The data have a key that the class does not know.
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
        """Make an instance from the dict form of its fields. Override this for another dict form."""
        return cast("Self", make_instance(cls, fields))

    @classmethod
    def from_json(cls, text: str | bytes, **kwargs: Any) -> Self:
        """Make an element from the text that ``to_json()`` returned. See :meth:`from_dict`."""
        return cls.from_dict(json.loads(text), **kwargs)


# Few elements have metadata, and an empty dict takes 64 bytes. Set past type checkers, for which the field is a dict.
type.__setattr__(Element, "metadata", MadeOnDemand("metadata", dict[str, Any]))

_BASE_FIELDS = frozenset({"id", "created_at", "metadata"})
_TIME_FORMATS: dict[Mode, TimeFormat] = {"python": "datetime", "json": "isoformat", "db": "datetime"}


def find_class(name: object) -> type[Element]:
    """
    Return the Element class with a full name.

    Raises:
        ValueError: This process has no class of that name, or the class is not an Element.
    """
    found = _registry.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"Failed to deserialize: class {name!r} is not registered; import its module first")
    if not issubclass(found, Element):
        raise ValueError(f"Failed to deserialize: {name!r} is no Element")  # noqa: TRY004  the data are wrong
    return found


def _check_mode(mode: Mode, time_format: TimeFormat | None) -> None:
    if mode not in _TIME_FORMATS:
        raise ValueError(f"Invalid mode: {mode!r}; must be 'python', 'json' or 'db'")
    if time_format is not None and time_format not in get_args(TimeFormat):
        raise ValueError(f"created_at_format must be one of {get_args(TimeFormat)}, got {time_format!r}")
    if mode == "json" and time_format == "datetime":
        raise ValueError("created_at_format='datetime' not valid for mode='json'")


def _format_time(moment: datetime, time_format: TimeFormat) -> datetime | str | float:
    if time_format == "isoformat":
        return moment.isoformat()
    return moment.timestamp() if time_format == "timestamp" else moment
