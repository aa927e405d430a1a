"""
Fixes: what has to be changed in a value that was read from JSON, so that it is the value that was written.

A fix is a path into the fields, a kind and its arguments: ``[["args", 0], "tuple"]``. A number in a path is the
position of an item, a value of a dict, or a field. Fixes are stored in the envelope of an event, beside its data.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import attrs
import msgspec

from lionpride_exec._base.json_text import read_json, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Path = tuple[Any, ...]
Fix = list[Any]

# The precision of the offsets that JSON has: whole minutes. Until the last century zones had seconds.
MINUTE = timedelta(minutes=1)


def names_of(kind: type[Any]) -> Sequence[str] | None:
    """Return the names of the fields of an attrs class, a dataclass or a msgspec struct. None for other classes."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    return [field.name for field in fields(kind)] if is_dataclass(kind) else None


def apply_fixes(data: dict[str, Any], fixes: Sequence[Fix]) -> None:
    """
    Apply fixes to fields that were read.

    Args:
        data: The fields by name. It is changed in place.
        fixes: In the order in which they were made.

    Raises:
        Exception: A fix does not fit what was read, or this machine does not know a zone.
    """
    for path, kind, *arguments in fixes:
        change = _CHANGES[kind]
        name, *rest = path
        data[name] = _put(data[name], rest, change, arguments)


def _put(value: Any, path: Sequence[Any], change: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    if not path:
        return change(value, *arguments)
    index, *rest = path
    if isinstance(value, list):
        value[index] = _put(value[index], rest, change, arguments)
        return value
    if isinstance(value, tuple):
        items = list(value)
        items[index] = _put(items[index], rest, change, arguments)
        return tuple(items) if type(value) is tuple else type(value)(*items)
    if isinstance(value, dict):
        known: dict[Any, Any] = value
        key = list(known)[index]
        known[key] = _put(known[key], rest, change, arguments)
        return known
    position: int = index
    name = (names_of(type(value)) or ())[position]
    setter = msgspec.structs.force_setattr if isinstance(value, msgspec.Struct) else object.__setattr__
    setter(value, name, _put(getattr(value, name), rest, change, arguments))
    return value


def _to_zone(value: datetime | time, key: str, fold: int) -> datetime | time:
    if not isinstance(value, datetime | time):
        raise TypeError(f"{shown(value)} has no zone")  # texts have a replace() too
    zone = ZoneInfo(key)
    there = value.replace(tzinfo=zone, fold=fold)
    if isinstance(value, datetime) and isinstance(there, datetime):
        offset, known = there.utcoffset(), value.utcoffset()
        if offset is not None and known is not None and abs(offset - known) >= MINUTE:
            return value.astimezone(zone)  # the rules of the zone have changed since: keep the moment
    return there


def _to_fold(value: datetime | time, fold: int) -> datetime | time:
    return value.replace(fold=fold)


_CHANGES: dict[str, Callable[..., Any]] = {
    "tuple": tuple,
    "list": list,
    "int": int,
    "float": float,
    "json": lambda _, text: read_json(text),
    "zone": _to_zone,
    "fold": _to_fold,
}
