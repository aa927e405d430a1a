"""JSON-safe forms of values and errors, and the way back for errors."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import attrs

from ._sentinel import Unset
from .errors import ExecutionError, LionprideError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNSERIALIZABLE = "<unserializable>"
MAX_ERROR_DEPTH = 100
# Deeper data would be beyond what json.dumps() can write.
MAX_DEPTH = 200

_PLAIN = frozenset({type(None), bool, int, float, str})

# What str() adds to the message of a group.
_GROUP_SUFFIX = re.compile(r" \(\d+ sub-exceptions?\)$")


def jsonable(value: Any) -> Any:
    """
    Give a value as JSON-safe data, whatever it is; it never raises.

    Scalars stay; containers become dicts and lists; ids, times and enum members their usual text or value;
    bytes text; objects with ``to_dict()``, attrs and dataclass instances dicts; exceptions their error form.
    All else, and what contains itself, becomes ``"<unserializable>"``; so does the whole of what is nested
    too deeply for JSON.
    """
    return _limited(value, ())


# `around` are the ids of what stands around a value, outermost first.
def _limited(value: Any, around: tuple[int, ...]) -> Any:
    try:
        return _jsonable(value, around)
    except RecursionError:
        return UNSERIALIZABLE


def _jsonable(value: Any, around: tuple[int, ...]) -> Any:
    if type(value) in _PLAIN:
        return value
    if value is Unset:
        return None
    if id(value) in around:
        return UNSERIALIZABLE
    if len(around) > MAX_DEPTH:
        raise RecursionError
    try:
        return _convert(value, (*around, id(value)))
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001  a record is written whatever an object does when it is looked at
        return UNSERIALIZABLE


def _convert(value: Any, around: tuple[int, ...]) -> Any:  # noqa: PLR0911  a table of kinds
    match value:
        case Enum():
            return _jsonable(value.value, around)
        case bool() | int() | float() | str():  # their subclasses
            return value
        case UUID():
            return str(value)
        case date() | time():
            return value.isoformat()
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "backslashreplace")
        case BaseException():
            return _error_to_dict(value, around)
        case dict():
            pairs = cast("Iterable[tuple[Any, Any]]", value.items())
            return {_key(key): _jsonable(item, around) for key, item in pairs}
        case list() | tuple() | set() | frozenset():
            return [_jsonable(item, around) for item in cast("Iterable[Any]", value)]
        case _:
            return _fields(value, around)


def _fields(value: Any, around: tuple[int, ...]) -> Any:
    """Give the dict form of an object, if it has one."""
    if callable(getattr(value, "to_dict", None)):
        return _jsonable(value.to_dict(), around)
    cls: type[Any] = value.__class__
    if attrs.has(cls):
        names = [field.name for field in attrs.fields(cls)]
    elif is_dataclass(value):
        names = [field.name for field in fields(value)]
    else:
        return UNSERIALIZABLE
    return {name: _jsonable(getattr(value, name), around) for name in names}


def _key(key: Any) -> str:
    plain = _jsonable(key, ())
    return plain if isinstance(plain, str) else _text(key)


def error_to_dict(error: BaseException) -> dict[str, Any]:
    """
    Give class name and message of an error as JSON-safe data; never raises.

    Ours add whether they are retryable, and details; groups their members, nested.
    """
    return _error_to_dict(error, (id(error),))


def _error_to_dict(error: BaseException, around: tuple[int, ...], depth: int = 0) -> dict[str, Any]:
    name = type(error).__name__
    # What AnyIO writes into a cancellation (addresses, paths of this machine) is for debugging, not for a record.
    is_cancellation = name in {"Cancelled", "CancelledError"} and type(error).__module__.startswith(("asyncio", "trio"))
    data: dict[str, Any] = {"error": name, "message": "cancelled" if is_cancellation else _text(error)}
    if isinstance(error, LionprideError):
        own = _limited(_own_form(error), around)
        return data | own if isinstance(own, dict) else data
    if not isinstance(error, BaseExceptionGroup):
        return data
    members = cast("BaseExceptionGroup[BaseException]", error).exceptions
    if depth > MAX_ERROR_DEPTH:
        data["message"] = f"Max nesting depth ({MAX_ERROR_DEPTH}) exceeded"
        data["nested_count"] = len(members)
        return data
    data["exceptions"] = [
        {"error": type(member).__name__, "message": "Circular reference detected"}
        if id(member) in around
        else _error_to_dict(member, (*around, id(member)), depth + 1)
        for member in members
    ]
    return data


def _own_form(error: LionprideError) -> Any:
    try:
        return error.to_dict()
    except Exception:  # noqa: BLE001  as in _jsonable(): an override may fail
        return None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  some objects cannot even tell what they are
        return UNSERIALIZABLE


def error_from_dict(data: Mapping[str, Any]) -> BaseException:
    """
    Give an error that tells what :func:`error_to_dict` wrote.

    The original class is not looked up, let alone imported: it is an ``ExecutionError`` whose details name
    it. A group comes back as a group.
    """
    name, message = str(data.get("error", "Error")), str(data.get("message", ""))
    if data.get("exceptions"):
        members = [error_from_dict(member) for member in data["exceptions"]]
        return BaseExceptionGroup(_GROUP_SUFFIX.sub("", message), members)
    details = dict(data.get("details") or {})
    details.setdefault("error", name)
    text = message if name == ExecutionError.__name__ else f"{name}: {message}"
    return ExecutionError(text, details=details, retryable=data.get("retryable"))
