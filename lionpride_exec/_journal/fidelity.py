"""
Whether a field comes back from JSON as what it was: equal in value and in type.

JSON has no tuples and no zones, and msgspec does not read half of a surrogate pair, infinities and very long ints. For
these the envelope of an event has fixes beside its data, each a path into the fields, a kind and its arguments:
``[["args", 0], "tuple"]``. What no fix can restore is refused.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from math import copysign, isfinite, isnan
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec

from lionpride_exec._base.json_text import read_json, shown, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Path = tuple[Any, ...]
Fix = list[Any]

_SCALARS = frozenset({str, bool, bytes, UUID})

# Levels of a response that are searched for datetimes.
MAX_LOOK = 20

MIN_INT, MAX_INT = -(2**63), 2**64

# Offsets are written in whole minutes; zones had seconds until the last century.
MINUTE = timedelta(minutes=1)


class Different(TypeError):
    """A value would come back as another one."""

    def __init__(self, value: Any, read: Any, advice: str = "annotate the field with its type") -> None:
        super().__init__(f"{shown(value)} would come back as {shown(read)}; {advice}")


# ---------------------------------------------------------------- what msgspec cannot carry


def stand_in(value: Any, path: Path, fixes: list[Fix]) -> Any:
    """
    Return a value of the same types that msgspec can carry, and note what puts the real one back.

    Args:
        value: A field's, or a part of it.
        path: Where it stands.
        fixes: Gets one for each part that has been replaced.
    """
    kind = type(value)
    if kind is str and not _is_utf8(value):
        fixes.append([path, "json", write_json(value).decode()])
        return value.encode("utf-8", "replace").decode()
    if (kind is int and not MIN_INT <= value < MAX_INT) or (kind is float and not isfinite(value)):
        fixes.append([path, "json", write_json(value, exact=True).decode()])
        return kind(0)
    if kind is dict:
        if not all(_is_utf8(key) for key in value if isinstance(key, str)) and is_json(value):
            fixes.append([path, "json", write_json(value, exact=True).decode()])
            return {}
        result: dict[Any, Any] = {}
        for index, (key, item) in enumerate(value.items()):
            result[key] = stand_in(item, (*path, index), fixes)
        return result
    if kind is list or kind is tuple:
        items: list[Any] = []
        for index, item in enumerate(value):
            items.append(stand_in(item, (*path, index), fixes))
        return kind(items)
    return value


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)


def is_json(value: Any) -> bool:
    """Whether a value is what JSON text gives, all of it."""
    level = [value]
    while level:
        below: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is dict and all(type(key) is str for key in part):
                below.extend(part.values())
            elif kind is list:
                below.extend(part)
            elif kind not in {str, int, float, bool, type(None)}:
                return False
        level = below
    return True


# ---------------------------------------------------------------- what comes back


def compare(value: Any, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    """
    Check that a value comes back as what it was.

    Args:
        value: That is written.
        read: That is read again.
        path: Where it stands.
        fixes: Gets what has to be mended in what is read. None if nothing can be mended here.

    Raises:
        Different: It does not, and nothing can mend it.
    """
    kind = type(value)
    if value is read or (kind in _SCALARS and type(read) is kind and value == read):
        return
    if kind is list or kind is tuple:  # no functions between, since each level takes a frame
        _check_sequence(value, read)
        items: Any = read
        for index, item in enumerate(value):
            compare(item, items[index], (*path, index), fixes)
        if type(read) is not kind:
            _mend(value, read, [path, kind.__name__], fixes)
    elif kind is dict:
        _check_keys(value, read)
        pairs: Any = read
        for index, (key, item) in enumerate(value.items()):
            compare(item, pairs[key], (*path, index), fixes)
    elif kind in _COMPARED:
        _COMPARED[kind](value, read, path, fixes)
    else:
        _compare_objects(value, read, path, fixes)


def _compare_objects(value: Any, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    if type(read) is not type(value):
        raise Different(value, read)
    names = _names_of(type(value))
    if names is not None:
        for index, name in enumerate(names):
            compare(getattr(value, name, None), getattr(read, name, None), (*path, index), fixes)
    elif isinstance(value, tuple):  # a named one
        for index, item in enumerate(value):
            compare(item, read[index], (*path, index), fixes)
    elif not bool(value == read):
        raise Different(value, read)


def _check_sequence(value: Sequence[Any], read: Any) -> None:
    if type(read) not in {list, tuple} or len(value) != len(read):
        raise Different(value, read)


def _check_keys(value: dict[Any, Any], read: Any) -> None:
    if type(read) is not dict or len(value) != len(read):
        raise Different(value, read)
    for one, other in zip(value, read, strict=True):
        compare(one, other, (), None)


def _compare_sets(value: set[Any], read: Any, path: Path, _fixes: list[Fix] | None) -> None:
    if type(read) is not type(value) or len(value) != len(read):
        raise Different(value, read)
    known = {(type(item), item): item for item in read}
    for item in value:
        if (type(item), item) not in known:
            raise Different(value, read)
        compare(item, known[type(item), item], path, None)


def _compare_ints(value: int, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    if type(read) is int and value == read:
        return
    if type(read) is float and isfinite(read) and int(read) == value:
        _mend(value, read, [path, "int"], fixes)
        return
    raise Different(value, read)


def _compare_floats(value: float, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    if type(read) is float and (
        (isnan(value) and isnan(read)) or (value == read and copysign(1, value) == copysign(1, read))
    ):
        return
    if type(read) is int and value == read and (value or copysign(1, value) > 0):
        _mend(value, read, [path, "float"], fixes)
        return
    raise Different(value, read)


def _compare_decimals(value: Decimal, read: Any, _path: Path, _fixes: list[Fix] | None) -> None:
    if type(read) is not Decimal or value.as_tuple() != read.as_tuple():
        raise Different(value, read)


def _compare_moments(value: datetime | time, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    if type(read) is not type(value):
        raise Different(value, read)
    zone = value.tzinfo
    if zone is read.tzinfo and value == read and value.fold == read.fold:
        return
    if _bare(value) != _bare(read):
        raise Different(value, read)
    if _is_same_zone(zone, read.tzinfo):
        if value.fold != read.fold:
            _mend(value, read, [path, "fold", value.fold], fixes)
    elif type(zone) is ZoneInfo and zone.key is not None:
        _mend(value, read, [path, "zone", zone.key, value.fold], fixes)
    else:
        raise Different(
            value, read, "give it a zone by zoneinfo.ZoneInfo, or an offset in whole minutes by datetime.timezone"
        )


def _bare(moment: datetime | time) -> datetime | time:
    return moment.replace(tzinfo=None, fold=0)


def _is_same_zone(one: tzinfo | None, other: tzinfo | None) -> bool:
    if one is other:
        return True
    return type(one) is timezone and type(other) is timezone and one == other and one.tzname(None) == other.tzname(None)


def _mend(value: Any, read: Any, fix: Fix, fixes: list[Fix] | None) -> None:
    if fixes is None:
        raise Different(value, read)
    fixes.append(fix)


_COMPARED: dict[type, Callable[[Any, Any, Path, list[Fix] | None], None]] = {
    set: _compare_sets,
    frozenset: _compare_sets,
    int: _compare_ints,
    float: _compare_floats,
    Decimal: _compare_decimals,
    datetime: _compare_moments,
    time: _compare_moments,
}


def _names_of(kind: type[Any]) -> Sequence[str] | None:
    """Return the names of the fields of an attrs class, a dataclass or a msgspec struct. None for other classes."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    return [field.name for field in fields(kind)] if is_dataclass(kind) else None


def moments_in(value: Any, path: Path, fixes: list[Fix]) -> None:
    """Note the zones and folds of a response, of which JSON has the offsets only."""
    kind = type(value)
    if kind is datetime or kind is time:
        zone = value.tzinfo
        if type(zone) is ZoneInfo and zone.key is not None:
            fixes.append([path, "zone", zone.key, value.fold])
        elif value.fold:
            fixes.append([path, "fold", value.fold])
        return
    if len(path) > MAX_LOOK or kind in _SCALARS or kind is int or kind is float:
        return
    if isinstance(value, dict):
        parts: Sequence[Any] = list(value.values())
    elif isinstance(value, list | tuple):
        parts = cast("Sequence[Any]", value)
    else:
        parts = [getattr(value, name, None) for name in _names_of(kind) or ()]
    for index, part in enumerate(parts):
        moments_in(part, (*path, index), fixes)


def numbers_in(form: Any, fixes: list[Fix]) -> None:
    """Note the infinities and NaN in the form of a response, of which JSON makes null."""
    level: list[tuple[Path, Any]] = [((), form)]
    while level:
        below: list[tuple[Path, Any]] = []
        for path, part in level:
            if isinstance(part, dict):
                below += [((*path, index), item) for index, item in enumerate(cast("dict[str, Any]", part).values())]
            elif isinstance(part, list):
                below += [((*path, index), item) for index, item in enumerate(part)]
            elif isinstance(part, float) and not isfinite(part):
                fixes.append([path, "json", write_json(part, exact=True).decode()])
        level = below


def mend_moments(value: Any, fixes: Sequence[Fix]) -> Any:
    """Return a response with its zones and folds, where it was read as datetimes and times; else they stay texts."""
    holder = {"it": value}
    for path, *change in fixes:
        if change[0] == "json":
            continue  # mended before the response was read as what it is
        with suppress(LookupError, TypeError, ValueError, AttributeError):  # it was read as something else
            mend(holder, [[("it", *path), *change]])
    return holder["it"]


# ---------------------------------------------------------------- mending


def mend(data: dict[str, Any], fixes: Sequence[Fix]) -> None:
    """
    Mend fields that have been read.

    Args:
        data: By name; it is changed.
        fixes: In the order in which they were noted.

    Raises:
        Exception: One does not fit what has been read; or this machine does not know a zone.
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
    name = (_names_of(type(value)) or ())[position]
    setter = msgspec.structs.force_setattr if isinstance(value, msgspec.Struct) else object.__setattr__
    setter(value, name, _put(getattr(value, name), rest, change, arguments))
    return value


def _to_zone(value: datetime | time, key: str, fold: int) -> datetime | time:
    if not isinstance(value, datetime | time):
        raise TypeError(f"{shown(value)} has no zone")  # a text has a replace() too
    zone = ZoneInfo(key)
    there = value.replace(tzinfo=zone, fold=fold)
    if isinstance(value, datetime) and isinstance(there, datetime):
        offset, known = there.utcoffset(), value.utcoffset()
        if offset is not None and known is not None and abs(offset - known) >= MINUTE:
            return value.astimezone(zone)  # the zone has got other rules since: the moment stays
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
