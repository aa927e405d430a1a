"""
Events as JSON envelopes ``{"tag": ..., "version": ..., "data": {...}}``, and back. Without a version it is 1.

:class:`Codec` finds the class of a tag. The :class:`ClassCodec` of the class writes and reads its events.
"""

from __future__ import annotations

from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID

import msgspec

from lionpride_exec._base.json_text import write_json
from lionpride_exec._events.call import Call, check_async
from lionpride_exec._events.event import Event, find_tagged
from lionpride_exec._events.storage_options import check_fields

from .annotations import returned_by
from .class_codec import ClassCodec, Header, kept_text
from .fidelity import is_json
from .outcome_codec import from_seconds, restore_execution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

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
        types: By tag: an event class, or an async function whose calls are stored. Classes with a tag of their own are
            found without it.

    Raises:
        TypeError: A value is neither a class of events nor an async function.
    """

    def __init__(self, types: Mapping[str, type[Event] | Callable[..., Awaitable[Any]]]) -> None:
        self._types: dict[str, type[Event]] = {}  # by the tags of `types`
        self._tag_of: dict[type[Event], str] = {}  # the same the other way round
        self._functions: dict[str, Callable[..., Awaitable[Any]]] = {}  # by tag
        self._class_codecs: dict[type[Event], ClassCodec] = {}
        for tag, found in types.items():
            if isinstance(found, type) and issubclass(found, Event):
                check_fields(found)
                self._types[tag] = found
                self._tag_of[found] = tag
            else:
                self.add_function(tag, cast("Callable[..., Awaitable[Any]]", found))

    def add_function(self, tag: str, function: Callable[..., Awaitable[Any]]) -> None:
        """
        Store calls of a function under a tag.

        Raises:
            TypeError: The function is not async.
        """
        check_async(function)
        self._functions[tag] = function

    def knows_function(self, function: Callable[..., Awaitable[Any]]) -> bool:
        """Return whether calls of a function have a tag."""
        return any(known == function for known in self._functions.values())

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
            codec = self._class_codec(cls or _unknown(header.tag))
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
            codec = self._class_codecs[cls] = ClassCodec(cls, self._tag_of.get(cls, cls._kind.tag))
        return codec

    def _tag_of_function(self, event: Call[Any]) -> str:
        for tag, function in self._functions.items():
            if function == event.function:  # ==: each look at a method makes a new object
                return tag
        raise TypeError(
            f"a journal does not know the function of {event!r}: make the executor with Executor.of(function, "
            'journal=...), or name it by Journal(..., types={"a.tag": function}); what it takes goes into the arguments'
        )


def _unknown(tag: str) -> NoReturn:
    raise Unreadable(
        f"no class with the tag {tag!r} is known here: import its module first, or name class or function by "
        f"Journal(..., types={{{tag!r}: ...}})"
    )
