"""JSON-safe forms of values and errors, and the way back for errors."""

from __future__ import annotations

from datetime import date, time
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from ._sentinel import Unset
from .errors import ExecutionError, LionprideError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNSERIALIZABLE = "<unserializable>"
MAX_ERROR_DEPTH = 100


def jsonable(value: Any) -> Any:
    """
    Give a value as JSON-safe data, whatever it is.

    Scalars stay; containers become dicts and lists; ids, times and enum members their usual text or value; bytes
    text; objects with ``to_dict()``, attrs and dataclass instances dicts; exceptions their error form. All else,
    and what contains itself, becomes ``"<unserializable>"``.
    """
    return _jsonable(value, ())


def _jsonable(value: Any, around: tuple[int, ...]) -> Any:  # noqa: PLR0911  a row for each kind
    if isinstance(value, Enum):
        return _jsonable(value.value, around)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if value is Unset:
        return None
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return error_to_dict(value)
    if id(value) in around:
        return UNSERIALIZABLE
    return _container(value, (*around, id(value)))


def _container(value: Any, around: tuple[int, ...]) -> Any:
    if isinstance(value, dict):
        return {_key(key): _jsonable(item, around) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item, around) for item in value]
    try:
        if callable(getattr(value, "to_dict", None)):
            return _jsonable(value.to_dict(), around)
        fields = getattr(type(value), "__dataclass_fields__", None)
        if attrs.has(type(value)):
            fields = [field.name for field in attrs.fields(type(value))]
        if fields is not None:
            return {name: _jsonable(getattr(value, name), around) for name in fields}
    except Exception:  # noqa: BLE001  a record is written whatever an object does when it is looked at
        return UNSERIALIZABLE
    return UNSERIALIZABLE


def _key(key: Any) -> str:
    plain = _jsonable(key, ())
    return plain if isinstance(plain, str) else str(key)


def error_to_dict(error: BaseException) -> dict[str, Any]:
    """Give class name and message of an error; retryable and details of ours; the members of a group, nested."""
    return _error_to_dict(error, 0, ())


def _error_to_dict(error: BaseException, depth: int, around: tuple[int, ...]) -> dict[str, Any]:
    if isinstance(error, LionprideError):
        return _jsonable(error.to_dict(), (id(error),))  # type: ignore[no-any-return]  # a dict gives a dict
    data: dict[str, Any] = {"error": type(error).__name__, "message": _message(error)}
    if not isinstance(error, BaseExceptionGroup):
        return data
    if depth > MAX_ERROR_DEPTH:
        return data | {
            "message": f"Max nesting depth ({MAX_ERROR_DEPTH}) exceeded",
            "nested_count": len(error.exceptions),
        }
    if id(error) in around:
        return data | {"message": "Circular reference detected"}
    inside = (*around, id(error))
    return data | {"exceptions": [_error_to_dict(member, depth + 1, inside) for member in error.exceptions]}


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  some exceptions cannot even tell what they are
        return UNSERIALIZABLE


def error_from_dict(data: Mapping[str, Any]) -> BaseException:
    """
    Give an error that tells what :func:`error_to_dict` wrote.

    The original class is not looked up, let alone imported: it is an ``ExecutionError`` whose details name it. A
    group comes back as a group.
    """
    name, message = str(data.get("error", "Error")), str(data.get("message", ""))
    if data.get("exceptions"):
        return BaseExceptionGroup(message, [error_from_dict(member) for member in data["exceptions"]])
    details = dict(data.get("details") or {})
    details.setdefault("error", name)
    text = message if name == ExecutionError.__name__ else f"{name}: {message}"
    return ExecutionError(text, details=details, retryable=data.get("retryable"))
