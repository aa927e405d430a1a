"""
What the values of a column of Parquet are as JSON.

A column is converted as a whole: texts, numbers and bools are taken as they are, lists and structs column by column.
Other values have the form that responses have too (``_base.json_forms``), with the nanoseconds that Python's own times
do not have. A value that has no form is a ``BadLineError`` in the place of the value, so it spoils its row only.

This module needs pyarrow, and is imported for Parquet only.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pyarrow as pa
from pyarrow import types
from pyarrow.compute import call_function

from lionpride_exec._base.json_forms import duration_of
from lionpride_exec._cli.errors import BadLineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime, time
    from decimal import Decimal

# In a text such as 2026-01-02T03:04:05.123456+01:00, or 03:04:05.123456: where the nanoseconds go.
_AFTER_MICROSECONDS: Final = {"timestamp": 26, "time": 15}
_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


def values_of(array: Any) -> list[Any]:
    """
    Return the values of an array of Arrow as JSON-safe data. O(number of values, inner ones included).

    A value that cannot be read is a ``BadLineError``, whose text goes on behind the name of the column.

    Args:
        array: A ``pyarrow.Array`` of any type that Parquet has.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        values = values_of(array.storage)
        return [_uuid(value) for value in values] if kind.extension_name == "arrow.uuid" else values
    if types.is_dictionary(kind):
        array = array.dictionary_decode()
    elif types.is_float16(kind):
        array = array.cast(pa.float32())
    kind = array.type
    if types.is_struct(kind):
        return _structs(array)
    if types.is_map(kind):
        return _maps(array)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return list(_lists(array, values_of(array.flatten())))
    return _leaves(array, kind)


def _structs(array: Any) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [values_of(child) for child in array.flatten()]
    rows = zip(*columns, strict=True) if columns else ((),) * len(array)
    is_valid = array.is_valid().to_pylist()
    return [dict(zip(names, row, strict=True)) if valid else None for row, valid in zip(rows, is_valid, strict=True)]


def _maps(array: Any) -> list[Any]:
    places = array.offsets.to_pylist()
    first, size = places[0], places[-1] - places[0]
    keys = [key if isinstance(key, str) else str(key) for key in values_of(array.keys.slice(first, size))]
    items = values_of(array.items.slice(first, size))
    return [
        dict(zip(keys[start - first : end - first], items[start - first : end - first], strict=True)) if valid else None
        for start, end, valid in zip(places, places[1:], array.is_valid().to_pylist(), strict=False)
    ]


def _lists(array: Any, flat: list[Any]) -> Iterator[list[Any] | None]:
    """Yield the lists of an array. ``flat`` has the items of all of them, without those of lists that are null."""
    items = iter(flat)
    for size in call_function("list_value_length", [array]).to_pylist():
        yield None if size is None else list(islice(items, size))


def _leaves(array: Any, kind: Any) -> list[Any]:
    if types.is_duration(kind):
        return _spans(array, kind)
    if types.is_timestamp(kind) or types.is_time(kind):
        return _each(array, _iso) if kind.unit != "ns" else _times(array, kind)
    if types.is_date(kind):
        return _each(array, _iso)
    if types.is_decimal(kind):
        return _each(array, int if kind.scale <= 0 else _plain)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _each(array, lambda data: b64encode(data).decode())
    return _each(array, None)


def _plain(value: Decimal) -> str:
    return format(value, "f")  # str() writes small ones with an exponent


def _uuid(value: str | None) -> str | None:
    return None if value is None else str(UUID(bytes=b64decode(value)))


def _iso(value: date | time) -> str:
    return value.isoformat()


def _times(array: Any, kind: Any) -> list[Any]:
    """Return times of nanoseconds as ISO 8601. Python's own times have microseconds."""
    is_stamp = types.is_timestamp(kind)
    numbers = array.cast(pa.int64()).to_pylist()
    whole = [None if number is None else number // 1000 for number in numbers]
    coarse = pa.array(whole, pa.timestamp("us", kind.tz) if is_stamp else pa.time64("us"))
    place = _AFTER_MICROSECONDS["timestamp" if is_stamp else "time"]
    texts = _each(coarse, _iso_of_microseconds)
    return [
        _with_nanoseconds(text, number % 1000, place) if isinstance(text, str) else text
        for text, number in zip(texts, numbers, strict=True)
    ]


def _iso_of_microseconds(value: datetime | time) -> str:
    return value.isoformat(timespec="microseconds")


def _with_nanoseconds(text: str, number: int, place: int) -> str:
    if number:
        return f"{text[:place]}{number:03}{text[place:]}"
    is_whole = text[place - 7 : place] == ".000000"
    return f"{text[: place - 7]}{text[place:]}" if is_whole else text


def _spans(array: Any, kind: Any) -> list[Any]:
    """Return durations as ISO 8601."""
    scale = _NANOSECONDS[kind.unit]
    numbers = array.cast(pa.int64()).to_pylist()
    return [None if number is None else _span(number * scale) for number in numbers]


def _span(nanoseconds: int) -> str:
    microseconds, rest = divmod(nanoseconds, 1000)
    if not rest:
        return duration_of(timedelta(microseconds=microseconds))
    seconds, fraction = divmod(abs(nanoseconds), 10**9)
    return f"{'-' if nanoseconds < 0 else ''}PT{seconds}.{fraction:09}S"


def _each(array: Any, form: Callable[[Any], Any] | None) -> list[Any]:
    """Return the form of each value of an array without inner values. None for plain JSON."""
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError, LookupError):  # a time that Python has not, or a text that is not UTF-8
        return [_one(scalar, form) for scalar in array]
    return values if form is None else [None if value is None else form(value) for value in values]


def _one(scalar: Any, form: Callable[[Any], Any] | None) -> Any:
    try:
        value = scalar.as_py()
    except UnicodeDecodeError as exc:
        return BadLineError(f"is not UTF-8: byte 0x{exc.object[exc.start]:02x}")
    except (ValueError, OverflowError):
        return BadLineError(f"is a {scalar.type} outside of the years 1 to 9999")
    except LookupError as exc:
        return BadLineError(f"cannot be read: {exc}")
    return value if form is None or value is None else form(value)
