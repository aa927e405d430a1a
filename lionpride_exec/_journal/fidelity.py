"""
Whether a field comes back from JSON as it was written: equal in value and in type.

JSON has neither tuples nor zones, and msgspec does not read half of a surrogate pair, infinities and very long ints.
The envelope of an event has ``fixes`` for these beside its data. What no fix can restore is refused.
"""

from __future__ import annotations

from datetime import datetime, time, timezone, tzinfo
from decimal import Decimal
from math import copysign, isfinite, isnan
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from lionpride_exec._base.json_text import shown, write_json

from .fixes import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .fixes import Fix, Path

# Types whose values need no fix when they come back as the same type, and equal.
SCALARS = frozenset({str, bool, bytes, UUID})

# Types whose values are the same as what is read if both have the type and are equal. Not floats: 0.0 equals -0.0.
PLAIN = frozenset({str, int, bool, type(None)})

# The ints that msgspec reads.
MIN_INT, MAX_INT = -(2**63), 2**64


class Different(TypeError):
    """A value would come back as another one."""

    def __init__(self, value: Any, read: Any, advice: str = "annotate the field with its type") -> None:
        super().__init__(f"{shown(value)} would come back as {shown(read)}; {advice}")


# ---------------------------------------------------------------- what msgspec cannot carry


def stand_in(value: Any, path: Path, fixes: list[Fix]) -> Any:
    """
    Return a value of the same types that msgspec can read back, and add the fixes that restore the real one.

    Args:
        value: The value of a field, or a part of one.
        path: The path of the value.
        fixes: The list that gets a fix for each part that was replaced.
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
    """Return whether a value consists of the types that JSON text is read as."""
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
    Check that a value comes back as it was, after fixes.

    Args:
        value: The value that is written.
        read: The value that is read again.
        path: The path of the value.
        fixes: The list that gets the fixes for what was read. None where no fix can be applied, as in a set.

    Raises:
        Different: The values differ, and no fix restores the first one.
    """
    kind = type(value)
    if value is read or (kind in SCALARS and type(read) is kind and value == read):
        return
    if kind is list or kind is tuple:  # inline: a function would take a second frame for each level
        _check_sequence(value, read)
        items: Any = read
        for index, item in enumerate(value):
            other = items[index]
            if not (type(item) in PLAIN and type(other) is type(item) and item == other):  # most values: no call
                compare(item, other, (*path, index), fixes)
        if type(read) is not kind:
            _add_fix(value, read, [path, kind.__name__], fixes)
    elif kind is dict:
        _check_keys(value, read)
        pairs: Any = read
        for index, (key, item) in enumerate(value.items()):
            other = pairs[key]
            if not (type(item) in PLAIN and type(other) is type(item) and item == other):  # most values: no call
                compare(item, other, (*path, index), fixes)
    elif kind in _COMPARED:
        _COMPARED[kind](value, read, path, fixes)
    else:
        _compare_objects(value, read, path, fixes)


def _compare_objects(value: Any, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    if type(read) is not type(value):
        raise Different(value, read)
    names = names_of(type(value))
    if names is not None:
        for index, name in enumerate(names):
            compare(getattr(value, name, None), getattr(read, name, None), (*path, index), fixes)
    elif isinstance(value, tuple):  # a named tuple
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
        if not (type(one) is str and type(other) is str and one == other):  # most keys: no call
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
        _add_fix(value, read, [path, "int"], fixes)
        return
    raise Different(value, read)


def _compare_floats(value: float, read: Any, path: Path, fixes: list[Fix] | None) -> None:
    if type(read) is float and (
        (isnan(value) and isnan(read)) or (value == read and copysign(1, value) == copysign(1, read))
    ):
        return
    if type(read) is int and value == read and (value or copysign(1, value) > 0):
        _add_fix(value, read, [path, "float"], fixes)
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
            _add_fix(value, read, [path, "fold", value.fold], fixes)
    elif type(zone) is ZoneInfo and zone.key is not None:
        _add_fix(value, read, [path, "zone", zone.key, value.fold], fixes)
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


def _add_fix(value: Any, read: Any, fix: Fix, fixes: list[Fix] | None) -> None:
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
