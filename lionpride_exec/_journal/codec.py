"""
Events as JSON envelopes ``{"tag": ..., "version": ..., "data": {...}}``, and back. Without a version it is 1.

:class:`Codec` finds the class of a tag. The :class:`ClassCodec` of the class writes and reads its events.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID

import msgspec

from lionpride_exec._base.json_text import shown, write_json
from lionpride_exec._events.call import Call, check_function, lasting_name_of
from lionpride_exec._events.event import Event, find_tagged
from lionpride_exec._events.storage_options import check_fields
from lionpride_exec.errors import ConfigurationError

from .annotations import returned_by
from .class_codec import ClassCodec, Header, kept_text
from .fidelity import is_json
from .keeper import JOURNAL, Keeper
from .outcome_codec import from_seconds, restore_execution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .rows import Row

# Deterministic: a set has a different order in each process.
_encode_key = msgspec.json.Encoder(order="deterministic").encode
_headers = msgspec.json.Decoder(Header)


class Unreadable(Exception):
    """A row cannot be made an event. The row stays in the file."""


def encode_key(key: object) -> str:
    """
    Return the text of a key. Two keys with the same text are one key.

    Equal numbers (``1``, ``1.0``, ``True``) have the same text, since without a journal they are one key too.

    Raises:
        TypeError: JSON cannot hold the key.
    """
    if type(key) is str and key.isascii() and key.isprintable() and '"' not in key and "\\" not in key:
        return f'"{key}"'  # most keys
    try:
        text = _key_text(key if type(key) is str else _in_one_form(key))
        if text == "null":
            raise ValueError("it is written as null")  # noqa: TRY301  handled as what msgspec raises
        if "null" in text and not _is_finite(key):
            raise ValueError("it has NaN or an infinity in it, which is written as null")  # noqa: TRY301  likewise
        return text  # noqa: TRY300  beside what may fail
    except (TypeError, ValueError) as exc:
        raise TypeError(f"key must be something that JSON can hold, such as a text, got {key!r}: {exc}") from exc


def _key_text(key: object) -> str:
    try:
        return _encode_key(key).decode()
    except ValueError:  # half of a surrogate pair, an int of very many digits
        if not is_json(key):
            raise
        return write_json(key).decode()


def _in_one_form(key: object) -> object:
    """Return a key in which each whole number is an int, at any depth."""
    if type(key) is bool or (type(key) is float and key.is_integer()):
        return int(key)
    if isinstance(key, dict):
        return {name: _in_one_form(part) for name, part in key.items()}
    if isinstance(key, list | tuple | set | frozenset):
        parts = map(_in_one_form, cast("Iterable[Any]", key))
        return list(parts) if isinstance(key, list) else tuple(parts) if isinstance(key, tuple) else frozenset(parts)
    return key


def _is_finite(key: object) -> bool:
    """Return whether a key has neither NaN nor infinities, which are all written as null."""
    if isinstance(key, float):
        return isfinite(key)
    parts: Iterable[Any] = key.values() if isinstance(key, dict) else key if isinstance(key, list | tuple | set) else ()
    return all(map(_is_finite, parts))


class Codec:
    """
    Writes and reads events of any class.

    Args:
        types: By tag: an event class, or a function whose calls are stored. Classes with a tag of their own are
            found without it.
        keeper: What keeps the events, for messages.

    Raises:
        ConfigurationError: There is no mapping.
        TypeError: A value is neither a class of events nor a function.
    """

    def __init__(self, types: Mapping[str, type[Event] | Callable[..., Any]], keeper: Keeper = JOURNAL) -> None:
        self._keeper = keeper
        self._types: dict[str, type[Event]] = {}  # by the tags of `types`
        self._tag_of: dict[type[Event], str] = {}  # the same the other way round
        self._functions: dict[str, Callable[..., Any]] = {}  # by tag
        if not isinstance(types, Mapping):
            raise ConfigurationError(f"types must be a mapping from tags to classes or functions, got {shown(types)}")
        self._class_codecs: dict[type[Event], ClassCodec] = {}
        for tag, found in types.items():
            if isinstance(found, type) and issubclass(found, Event):
                check_fields(found)
                self._types[tag] = found
                self._tag_of[found] = tag
            else:
                self.add_function(tag, cast("Callable[..., Any]", found))

    def add_function(self, tag: str, function: Callable[..., Any]) -> None:
        """
        Store calls of a function under a tag.

        Raises:
            TypeError: The value is no function.
        """
        check_function(function)
        self._functions[tag] = function

    def know_function(self, function: Callable[..., Any]) -> None:
        """
        Store calls of a function under its full name, unless it has a tag.

        Raises:
            TypeError: The value is no function.
        """
        if not any(known == function for known in self._functions.values()):
            self.add_function(lasting_name_of(function), function)

    def check_class(self, cls: type[Event]) -> None:
        """
        Check that events of a class can be kept.

        Raises:
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        self._class_codec(cls)

    @staticmethod
    def key_of(key: object) -> str:
        """
        Return the text that stands for a key, as :func:`encode_key` does.

        Raises:
            TypeError: JSON cannot hold the key.
        """
        return encode_key(key)

    def tag_of(self, cls: type[Event]) -> str:
        """Return the tag of a class. An empty text if it has none."""
        return self._tag_of.get(cls) or cls._kind.tag or ""

    def tag_of_function(self, function: Callable[..., Any]) -> str | None:
        """Return the tag of the calls of a function. None if the function is not known here."""
        # ==: each look at a method makes a new object
        return next((tag for tag, known in self._functions.items() if known == function), None)

    def tag_for(self, event: Event) -> str:
        """
        Return the tag of an event, for a call that of its function.

        Raises:
            TypeError: The function is not known here.
        """
        return self._tag_of_function(event) if isinstance(event, Call) else self.tag_of(type(event))

    def response_type_of(self, cls: type[Event], function: Callable[..., Any] | None) -> Any:
        """Return the annotated type of what events of a class return. For calls, that of their function."""
        return self._class_codec(cls).response_type if function is None else returned_by(function)

    def encode(self, event: Event) -> bytes:
        """
        Return the envelope of an event.

        Raises:
            ValidationError: The value of a field would not come back as it is. The message names the field.
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        if isinstance(event, Call):
            tag = self._tag_of_function(event)
            return self._class_codec(type(event)).encode(event, tag)
        return self._class_codec(type(event)).encode(event)

    def decode(self, row: Row) -> Event:
        """
        Return the event of a row, with its record.

        Raises:
            Unreadable: The class is not known in this process, or refuses the stored fields.
        """
        try:
            header = _headers.decode(row.event)
            function = self._functions.get(header.tag)
            cls: type[Event] | None = Call if function is not None else self._types.get(header.tag)
            cls = cls or find_tagged(header.tag)
            codec = self._class_codec(cls or _unknown(header.tag, self._keeper))
            fields = codec.decode(header)
            if function is not None:
                fields["function"] = function
            response_type = codec.response_type if function is None else returned_by(function)
            execution = restore_execution(row, response_type)
            if header.age is not None and row.queued is not None:
                fields["created_at"] = from_seconds(row.queued) - timedelta(microseconds=header.age)
            event = codec.make(fields, id=UUID(bytes=row.id), execution=execution)
            if header.raw:
                event._set("_raw_field", kept_text(header))
            return event  # noqa: TRY300  beside what may fail
        except Unreadable:
            raise
        except Exception as exc:  # damage in the file, or an error of the user's class: the row stays
            raise Unreadable(f"{type(exc).__name__}: {exc}") from exc

    def _class_codec(self, cls: type[Event]) -> ClassCodec:
        codec = self._class_codecs.get(cls)
        if codec is None:
            codec = self._class_codecs[cls] = ClassCodec(cls, self._tag_of.get(cls, cls._kind.tag), self._keeper)
        return codec

    def _tag_of_function(self, event: Call[Any]) -> str:
        tag = self.tag_of_function(event.function)
        if tag is not None:
            return tag
        kind = self._keeper.settings
        raise TypeError(
            f"{self._keeper.name} does not know the function of {event}: make the executor with "
            f"Executor.of(function, {kind.lower()}=...), or name it by {kind}(..., types={{'a.tag': function}}); "
            "what it takes goes into the arguments"
        )


def _unknown(tag: str, keeper: Keeper) -> NoReturn:
    raise Unreadable(
        f"no class with the tag {tag!r} is known here: import its module first, or name class or function by "
        f"{keeper.settings}(..., types={{{tag!r}: ...}})"
    )
