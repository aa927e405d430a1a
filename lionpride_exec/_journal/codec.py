"""
Events as JSON envelopes ``{"tag": ..., "version": ..., "data": {...}}``, and back.

Which class a tag stands for is said here; how its events are written and read, by its plan (``class_codec``).
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID

import msgspec

from lionpride_exec._base.json_text import write_json
from lionpride_exec._events.call import Call, check_async
from lionpride_exec._events.event import Event
from lionpride_exec._events.storage_options import check_fields, find_tagged

from .annotations import returned_by
from .class_codec import ClassCodec, Header
from .fidelity import is_json
from .outcome_codec import restore_execution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from .rows import Row

# A set has an order of its own in each process.
_encode_key = msgspec.json.Encoder(order="deterministic").encode
_headers = msgspec.json.Decoder(Header)


class Unreadable(Exception):
    """Why a row does not become an event; it stays where it is."""


def encode_key(key: object) -> str:
    """
    Give a key as it stands in the file, and as it is known by: keys that are written alike are one.

    Numbers that are equal (``1``, ``1.0``, ``True``) are written alike, since they are one key without a journal.

    Raises:
        TypeError: JSON cannot hold it.
    """
    try:
        text = _key_text(key if type(key) is str else _in_one_form(key))
        if text == "null":
            raise ValueError("it is written as null")  # noqa: TRY301  as what msgspec itself raises
        if "null" in text and not _is_finite(key):
            raise ValueError("it has NaN or an infinity in it, which is written as null")  # noqa: TRY301  likewise
        return text  # noqa: TRY300  it belongs to what may fail
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
    """Return a key with whole numbers as ints, wherever they stand in it."""
    if type(key) is bool or (type(key) is float and key.is_integer()):
        return int(key)
    if isinstance(key, dict):
        return {name: _in_one_form(part) for name, part in key.items()}
    if isinstance(key, list | tuple | set | frozenset):
        parts = map(_in_one_form, cast("Iterable[Any]", key))
        return list(parts) if isinstance(key, list) else tuple(parts) if isinstance(key, tuple) else frozenset(parts)
    return key


def _is_finite(key: object) -> bool:
    """Whether no NaN and no infinity stands in a key, which would make one of two."""
    if isinstance(key, float):
        return isfinite(key)
    parts: Iterable[Any] = key.values() if isinstance(key, dict) else key if isinstance(key, list | tuple | set) else ()
    return all(map(_is_finite, parts))


class Codec:
    """
    Knows the classes of a journal.

    Args:
        types: Beside the classes that are registered by their tags: a class or, for calls, an async function, by tag.

    Raises:
        TypeError: One is neither.
    """

    def __init__(self, types: Mapping[str, type[Event] | Callable[..., Awaitable[Any]]]) -> None:
        self._types: dict[str, type[Event]] = {}
        self._tag_of: dict[type[Event], str] = {}
        self._functions: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._plans: dict[type[Event], ClassCodec] = {}
        for tag, found in types.items():
            if isinstance(found, type) and issubclass(found, Event):
                check_fields(found)
                self._types[tag] = found
                self._tag_of[found] = tag
            else:
                self.add_function(tag, cast("Callable[..., Awaitable[Any]]", found))

    def add_function(self, tag: str, function: Callable[..., Awaitable[Any]]) -> None:
        """
        Have calls of a function be kept under a tag.

        Raises:
            TypeError: It is not async.
        """
        check_async(function)
        self._functions[tag] = function

    def knows_function(self, function: Callable[..., Awaitable[Any]]) -> bool:
        """Whether calls of a function have a tag."""
        return any(known == function for known in self._functions.values())

    def check_class(self, cls: type[Event]) -> None:
        """
        Check that events of a class can be kept.

        Raises:
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        self._plan(cls)

    def tag_of(self, cls: type[Event]) -> str:
        """Return the tag of a class. An empty text if it has none."""
        return self._tag_of.get(cls) or cls._kind.tag or ""

    def encode(self, event: Event) -> bytes:
        """
        Give an event's envelope.

        Raises:
            ValidationError: A field holds what would not come back; it is named.
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        if isinstance(event, Call):
            tag = self._tag_of_function(event)
            return self._plan(type(event)).encode(event, tag)
        return self._plan(type(event)).encode(event)

    def decode(self, row: Row) -> Event:
        """
        Give the event of a row, with its record.

        Raises:
            Unreadable: This process does not know its class, or the class does not take it.
        """
        try:
            header = _headers.decode(row.event)
            function = self._functions.get(header.tag)
            cls: type[Event] | None = Call if function is not None else self._types.get(header.tag)
            cls = cls or find_tagged(header.tag)
            plan = self._plan(cls or _unknown(header.tag))
            fields = plan.decode(header)
            if function is not None:
                fields["function"] = function
            response_type = plan.response_type if function is None else returned_by(function)
            execution = restore_execution(row, response_type)
            return plan.make(fields, id=UUID(bytes=row.id), execution=execution)
        except Unreadable:
            raise
        except Exception as exc:  # whatever the file or the user's class does, the row stays
            raise Unreadable(f"{type(exc).__name__}: {exc}") from exc

    def _plan(self, cls: type[Event]) -> ClassCodec:
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = ClassCodec(cls, self._tag_of.get(cls, cls._kind.tag))
        return plan

    def _tag_of_function(self, event: Call[Any]) -> str:
        for tag, function in self._functions.items():
            if function == event.function:  # a method of an object is made anew at each look
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
