"""
The usual JSON form of values, as a person would write them.

| Value | Form |
|---|---|
| enum member | the form of its value |
| subclass of ``str``, ``int``, ``float`` | the plain value; an int of more than about 4200 digits becomes a text |
| ``UUID``, path, ``Decimal``, ``Fraction``, complex, IP address, zone, range | its text |
| date, time, timedelta | ISO 8601 |
| pattern | its text, flags in front |
| bytes, bytearray, memoryview | base64 |
| mapping | dict; see :func:`key_of` for its keys |
| list, tuple, deque, array, view of a dict, any other sequence | list |
| set, frozenset | sorted list |
| object with ``to_dict()``, ``model_dump()``, ``dict()`` (pydantic 1), ``tolist()``, ``item()`` | what that returns |
| file in memory (``getvalue()``) | its text, or its bytes |
| attrs, dataclass, msgspec object, ``SimpleNamespace`` | dict of its fields |

Methods are looked up on the class. So an object that has every attribute (a mock, a proxy) does not count as one of
these.
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

from .json_text import UNSERIALIZABLE, NoForm, plain_of, read_json
from .sentinel import Unset

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    Walk = Generator[Any, Any, Any]

_TEXTS = (
    UUID, Decimal, Fraction, complex, range, timezone,
    UserString, IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network,
)  # fmt: skip

_LISTS = (list, tuple, deque, array, KeysView, ValuesView, ItemsView)

_FLAGS = {re.ASCII: "a", re.IGNORECASE: "i", re.LOCALE: "L", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}

# The methods that may return the form of an object, in this order, with their arguments.
_WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("to_dict", {}),
    ("model_dump", {"mode": "json"}),
    ("model_dump", {}),
    ("to_list", {}),
    ("tolist", {}),
    ("item", {}),
    ("getvalue", {}),
)

# The types that these methods must return for the result to count as data. tolist() and item() may return any type.
_TOLD: dict[str, tuple[type, ...]] = {"model_dump": (Mapping, list, tuple, str, int, float), "getvalue": (str, bytes)}

# Methods of a mapping that has several values of one key (headers, a query, a form): they return all values of a key.
_ALL_VALUES = ("getall", "getlist", "get_list", "get_all")


def walk(value: Any) -> Walk:  # noqa: PLR0911  a table of kinds
    """
    Return the form of a value that is not plain. Yield each inner value, and receive the form of the inner value.

    Raises:
        NoForm: The value has no usual form.
        Exception: Any exception of a method or property of the value.
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
            return (yield from _walk_mapping(value if type(value) is dict else _all_of(value, list(value))))
        case set() | frozenset():
            return _sorted((yield from _walk_items(cast("Iterable[Any]", value))))
        case _ if isinstance(value, _LISTS):
            return (yield from _walk_items(cast("Iterable[Any]", value)))
        case _:
            text = _text_of_kind(value)
            return (yield from _walk_object(value)) if text is None else text


def duration_of(value: timedelta) -> str:
    """Return a time span in ISO 8601, for instance ``PT90S`` or ``-P1DT0.5S``."""
    sign, value = ("-", -value) if value.days < 0 else ("", value)
    parts = f"{value.days}D" if value.days else ""
    nanoseconds: int = getattr(value, "nanoseconds", 0)  # pandas has them
    if value.seconds or value.microseconds or nanoseconds:
        fraction = f".{value.microseconds:06}{nanoseconds:03}".rstrip("0").rstrip(".")
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


def _keys_in(value: Any) -> list[Any] | None:
    """Return the keys of a mapping, or of an object that ``dict()`` accepts as a mapping. Otherwise return None."""
    if isinstance(value, Mapping):
        return list(cast("Iterable[Any]", value))
    return list(value.keys()) if _has(value, "keys") and _has(value, "__getitem__") else None


def _all_of(value: Any, keys: list[Any]) -> dict[Any, Any]:
    """
    Return the items of a mapping. A key that occurs several times gets the list of its values.

    Raises:
        NoForm: A key occurs several times, and not all of its values can be read.
    """
    known = dict.fromkeys(keys)
    ask = next((getattr(value, name) for name in _ALL_VALUES if _has(value, name)), None)
    if ask is not None:
        return {key: _one_or_all(value[key], ask, key) for key in known}
    if len(known) == len(keys):
        return {key: value[key] for key in keys}
    values = list(value)  # a row of SQLite, whose columns may have one name
    if len(values) != len(keys):
        raise NoForm
    found: dict[Any, list[Any]] = {key: [] for key in known}
    for key, item in zip(keys, values, strict=True):
        found[key].append(item)
    return {key: items if len(items) > 1 else items[0] for key, items in found.items()}


def _one_or_all(one: Any, ask: Any, key: Any) -> Any:
    try:
        values = ask(key)
        several = isinstance(values, list | tuple) and len(cast("list[Any]", values)) > 1
        # httpx gives the values of a header as one text, joined by commas.
        if several and (one in values or one == ", ".join(values)):
            return values
    except Exception:  # noqa: BLE001, S110  an unrelated method of that name
        pass
    return one


def keys_of(keys: list[Any]) -> list[str]:
    """Return a different text for each key of a mapping. If two texts are equal, one gets the class of its key."""
    texts = {
        index: str.__str__(key) for index, key in enumerate(keys) if isinstance(key, str) and not isinstance(key, Enum)
    }
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
    """Return the text of a key: its form if that is a text, otherwise its ``str()``."""
    while isinstance(key, Enum) and isinstance(key.value, str | int):
        key = key.value
    try:
        step = walk(key)
        next(step)
    except StopIteration as exc:
        if isinstance(exc.value, str):
            return exc.value
    except Exception:  # noqa: BLE001, S110  an error of a user class
        pass
    try:
        return str(key)
    except Exception:  # noqa: BLE001  some objects cannot even tell what they are
        return UNSERIALIZABLE


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
    keys = _keys_in(value)
    if keys is not None:
        return (yield from _walk_mapping(_all_of(value, keys)))
    if cls.__name__ == "Raw" and cls.__module__ == "msgspec":
        return (yield read_json(bytes(value)))
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
    """Return the result of a method of an object. None if there is no such method, or if its result is not data."""
    if not _has(value, name):
        return None
    try:
        told = _ask_numpy(value) if _is_numpy_time(value) else _ask_pandas(value) or getattr(value, name)(**arguments)
    except Exception:  # noqa: BLE001  another method may work
        return None
    if isawaitable(told):
        if iscoroutine(told):
            told.close()
        return None
    if name in {"tolist", "item"}:
        return None if told is value or type(told) is type(value) else told
    return told if isinstance(told, _TOLD.get(name, (Mapping, list, tuple))) else None


def _is_from(value: Any, package: str) -> bool:
    return any(base.__module__.partition(".")[0] == package for base in type(value).__mro__)


def _is_numpy_time(value: Any) -> bool:
    return _is_from(value, "numpy") and getattr(getattr(value, "dtype", None), "kind", None) in {"m", "M"}


def _ask_numpy(value: Any) -> Any:
    """Return times of numpy. ``item()`` would return times finer than a microsecond as bare numbers."""
    if value.shape:
        return list(value)
    told = value.item()
    return told if isinstance(told, date | timedelta) else str(value)


def _ask_pandas(value: Any) -> Any:
    """Return a pandas table or column with repeated labels, of which ``to_dict()`` keeps the last. Otherwise None."""
    axes = [getattr(value, name, None) for name in ("index", "columns")] if _is_from(value, "pandas") else []
    if all(getattr(axis, "is_unique", True) is True for axis in axes):
        return None
    table = value.to_frame() if _has(value, "to_frame") else value
    rows = list(table.itertuples(index=False, name=None))
    return {"index": list(table.index), "columns": list(table.columns), "data": rows}


def _has(value: Any, name: str) -> bool:
    return callable(getattr_static(value, name, None))


def _fields_of(cls: type[Any], value: Any) -> dict[str, Any] | list[Any] | None:
    if attrs.has(cls):
        return {field.name: getattr(value, field.name) for field in attrs.fields(cls) if hasattr(value, field.name)}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if hasattr(value, field.name)}
    if hasattr(cls, "__struct_fields__"):
        return _struct(cls, value)
    if not _has(value, "model_dump") and hasattr(cls, "__fields__") and _has(value, "dict"):  # pydantic 1
        told = value.dict()
        return cast("dict[str, Any]", told) if isinstance(told, dict) else None
    if isinstance(value, SimpleNamespace):
        return vars(value)
    return None


def _struct(cls: type[Any], value: Any) -> dict[str, Any] | list[Any]:
    """Return the fields of a msgspec object as msgspec writes them, by their JSON names and with the tag."""
    config = cls.__struct_config__
    pairs = zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True)
    told = {name: getattr(value, field) for name, field in pairs}
    data = {name: item for name, item in told.items() if type(item).__name__ != "UnsetType"}
    if config.tag is not None:
        data = {config.tag_field: config.tag} | data
    return list(data.values()) if config.array_like else data


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the public attributes of an object whose class defines neither repr nor text. Otherwise return {}."""
    cls: Any = type(value)
    if cls.__repr__ is not object.__repr__ or cls.__str__ is not object.__str__:
        return {}
    slots = [name for base in cls.__mro__ for name in _slots_of(base)]
    names = [*slots, *getattr(value, "__dict__", ())]
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _slots_of(cls: type[Any]) -> Iterable[str]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else slots
