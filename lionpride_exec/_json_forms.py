"""
The usual JSON form of values: what a person would write for them.

| Value | Form |
|---|---|
| enum member | that of its value |
| subclass of ``str``, ``int``, ``float`` | the plain value; digits as text beyond 4300 of them |
| ``UUID``, path, ``Decimal``, ``Fraction``, complex, IP address, zone, range | its text |
| date, time, timedelta | ISO 8601 |
| pattern | its text, flags in front |
| bytes, bytearray, memoryview | base64 |
| mapping | dict; see :func:`key_of` for its keys |
| list, tuple, deque, array, view of a dict, any other sequence | list |
| set, frozenset | sorted list |
| object with ``to_dict()``, ``model_dump()``, ``dict()`` (pydantic 1), ``tolist()``, ``item()`` | what that gives |
| attrs, dataclass, msgspec object, ``SimpleNamespace`` | dict of its fields |

Methods are looked up on the class, so an object that has every attribute (a mock, a proxy) is not
taken for one of these.
"""

from __future__ import annotations

import json
import re
from array import array
from base64 import b64encode
from collections import UserString, deque
from collections.abc import ItemsView, KeysView, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from inspect import getattr_static, isawaitable, iscoroutine
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from os import PathLike, fspath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs

from ._json_text import digits
from ._sentinel import Unset

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    Walk = Generator[Any, Any, Any]

_TEXTS = (
    UUID, Decimal, Fraction, complex, range, timezone,
    UserString, IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network,
)  # fmt: skip

_LISTS = (list, tuple, deque, array, KeysView, ValuesView, ItemsView)

_FLAGS = {re.ASCII: "a", re.IGNORECASE: "i", re.LOCALE: "L", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}

# Beyond that an int may have more than the 4300 digits that Python, and so whoever reads it, refuses.
MAX_BITS = 14_000

# Methods that tell what an object is, in this order, with their arguments.
_WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("to_dict", {}),
    ("model_dump", {"mode": "json"}),
    ("model_dump", {}),
    ("to_list", {}),
    ("tolist", {}),
    ("item", {}),
)


class NoForm(Exception):
    """A value has no JSON form."""


def walk(value: Any) -> Walk:  # noqa: PLR0911  a table of kinds
    """
    Return the form of a value that is not plain: yields what stands in it, and is sent the form of that.

    Raises:
        NoForm: It has none.
        Exception: Whatever an object raises when it is looked at.
    """
    match value:
        case Enum():
            return (yield value.value)
        case str() | int() | float():
            return plain_of(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return duration_of(value)
        case bytes() | bytearray() | memoryview():
            return b64encode(bytes(value)).decode()
        case dict():
            return (yield from _walk_mapping(value))
        case set() | frozenset():
            return _sorted((yield from _walk_items(cast("Iterable[Any]", value))))
        case _ if isinstance(value, _LISTS):
            return (yield from _walk_items(cast("Iterable[Any]", value)))
        case _:
            text = _text_of_kind(value)
            return (yield from _walk_object(value)) if text is None else text


def plain_of(value: str | float) -> str | int | float | bool:
    """Return a text or number as plain Python has it; an int that is too long for readers as the text of its digits."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__int__(value) if value.bit_length() <= MAX_BITS else digits(int.__int__(value))
    return float.__float__(value)


def duration_of(value: timedelta) -> str:
    """Return a time span as ISO 8601 has it, such as ``PT90S`` or ``-P1DT0.5S``."""
    sign, value = ("-", -value) if value.days < 0 else ("", value)
    parts = f"{value.days}D" if value.days else ""
    if value.seconds or value.microseconds:
        fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
        parts += f"T{value.seconds}{fraction}S"
    return f"{sign}P{parts or '0D'}"


def _text_of_kind(value: Any) -> str | None:
    if value is Unset:
        return None
    if isinstance(value, _TEXTS):
        return str(value)
    if isinstance(value, ZoneInfo) and value.key is not None:
        return value.key
    if isinstance(value, re.Pattern):
        return _pattern(value)
    if isinstance(value, PathLike) and not isinstance(value, type) and type(value).__module__ != "unittest.mock":
        path = fspath(value)
        return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")
    return None


def _pattern(value: re.Pattern[Any]) -> str:
    text = value.pattern if isinstance(value.pattern, str) else value.pattern.decode("latin-1")
    flags = "".join(letter for flag, letter in _FLAGS.items() if value.flags & flag)
    return f"(?{flags}){text}" if flags and not text.startswith("(?") else text


# ---------------------------------------------------------------- containers


def _walk_items(value: Iterable[Any]) -> Walk:
    items: list[Any] = []
    for item in value:
        items.append((yield item))  # noqa: PERF401  no comprehension can yield
    return items


def _walk_mapping(value: Mapping[Any, Any]) -> Walk:
    keys = list(value)
    names = keys if all(type(key) is str for key in keys) else keys_of(keys)
    data: dict[str, Any] = {}
    for name, key in zip(names, keys, strict=True):
        data[name] = yield value[key]
    return data


def keys_of(keys: list[Any]) -> list[str]:
    """Return the texts of the keys of a mapping, all different: of two that look alike one tells its class."""
    texts = {index: str.__str__(key) for index, key in enumerate(keys) if isinstance(key, str) and not _is_enum(key)}
    taken = set(texts.values())
    for index, key in enumerate(keys):
        if index in texts:
            continue
        text = name = key_of(key)
        number = 1
        while name in taken:
            number += 1
            name = f"{text} ({type(key).__name__}{f' {number}' if number > 2 else ''})"  # noqa: PLR2004  the third
        taken.add(name)
        texts[index] = name
    return [texts[index] for index in range(len(keys))]


def key_of(key: Any) -> str:
    """Return the text of a key: the form of a scalar, ``str()`` of what has no form that is a text."""
    while isinstance(key, Enum) and isinstance(key.value, str | int):
        key = key.value
    try:
        step = walk(key)
        next(step)
    except StopIteration as exc:
        if isinstance(exc.value, str):
            return exc.value
    except Exception:  # noqa: BLE001, S110  whatever a key does when it is looked at
        pass
    try:
        return str(key)
    except Exception:  # noqa: BLE001  some objects cannot even tell what they are
        return "<unserializable>"


def _is_enum(key: Any) -> bool:
    return isinstance(key, Enum)


def _sorted(items: list[Any]) -> list[Any]:
    """Return the items of a set in an order that is the same in each process."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


# ---------------------------------------------------------------- objects


def _walk_object(value: Any) -> Walk:  # noqa: PLR0911  a table of kinds
    if value is Unset:
        return None
    if isinstance(value, type):
        raise NoForm
    for name, arguments in _WAYS:
        told = _ask(value, name, arguments)
        if told is not None:
            return (yield told)
    cls: type[Any] = type(value)
    if isinstance(value, Mapping):
        return (yield from _walk_mapping(value))
    if _has(value, "keys") and _has(value, "__getitem__"):
        return (yield from _walk_mapping({key: value[key] for key in value.keys()}))  # noqa: SIM118  as dict() asks
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, UserString):
        items = yield from _walk_items(cast("Iterable[Any]", value))
        return items if isinstance(value, Sequence) else _sorted(items)
    data = _fields_of(cls, value)
    if data is None:
        raise NoForm
    if isinstance(data, dict):
        return (yield from _walk_mapping(data))
    return (yield from _walk_items(data))


def _ask(value: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Return what a method of an object tells, if that is data; None: it is not, or there is no such method."""
    if not _has(value, name):
        return None
    try:
        told = getattr(value, name)(**arguments)
    except Exception:  # noqa: BLE001  there may be another way
        return None
    if isawaitable(told):
        if iscoroutine(told):
            told.close()
        return None
    if name in {"tolist", "item"}:
        return None if told is value or type(told) is type(value) else told
    return told if isinstance(told, Mapping | list | tuple) else None


def _has(value: Any, name: str) -> bool:
    return callable(getattr_static(value, name, None))


def _fields_of(cls: type[Any], value: Any) -> dict[str, Any] | list[Any] | None:
    if attrs.has(cls):
        return {field.name: getattr(value, field.name) for field in attrs.fields(cls) if hasattr(value, field.name)}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if hasattr(value, field.name)}
    if hasattr(cls, "__struct_fields__"):
        return _struct(cls, value)
    if hasattr(cls, "__fields__") and _has(value, "dict"):  # pydantic 1
        told = value.dict()
        return cast("dict[str, Any]", told) if isinstance(told, dict) else None
    if isinstance(value, SimpleNamespace):
        return vars(value)
    return None


def _struct(cls: type[Any], value: Any) -> dict[str, Any] | list[Any]:
    """Return the fields of a msgspec object as msgspec writes them: by their names in JSON, with the tag."""
    config = cls.__struct_config__
    pairs = zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True)
    told = {name: getattr(value, field) for name, field in pairs}
    data = {name: item for name, item in told.items() if type(item).__name__ != "UnsetType"}
    if config.tag is not None:
        data = {config.tag_field: config.tag} | data
    return list(data.values()) if config.array_like else data
