"""
The records of a source as JSON, and back: what a dashboard serves under ``/api/``, and ``url_source()`` reads.

A record is an object with the names of its attributes, a tuple is an array, and None is null. A reader ignores names
that it does not know, and takes the defaults for missing ones: the other side may have another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from lionpride_exec._base.json_text import read_json, write_json

from . import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T", bound="attrs.AttrsInstance")


def encode(value: Any) -> bytes:
    """
    Return a record, some records, or JSON-safe data as JSON in UTF-8.

    Half of a surrogate pair in a text is written as an escape. NaN and infinities become null.
    """
    return write_json(_plain(value))


def _plain(value: Any) -> Any:
    """Return a value with dicts in place of records and mappings, and lists in place of tuples."""
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in cast("Mapping[object, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return value


def decode(kind: type[T], text: bytes) -> T:
    """
    Return a record from JSON.

    Args:
        kind: The class of the record.
        text: The JSON.

    Raises:
        ValueError: The text is no JSON, or not that of such a record. The message names what is wrong.
    """
    record: T = record_of(kind, _read(text))
    return record


def decode_all(kind: type[T], text: bytes) -> tuple[T, ...]:
    """Return records from a JSON array. Raise as :func:`decode`."""
    found = _read(text)
    if not isinstance(found, list):
        raise ValueError(f"an array of {kind.__name__} must be an array")  # noqa: TRY004  as the other errors
    return tuple(record_of(kind, one) for one in found)


def _read(text: bytes) -> Any:
    try:
        return read_json(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def record_of(kind: type[T], data: Any) -> T:
    """
    Return a record from what JSON has.

    Raises:
        ValueError: The data are not those of such a record.
    """
    if not isinstance(data, dict):
        raise ValueError(f"a {kind.__name__} must be an object")  # noqa: TRY004  as the other errors
    given: dict[str, Any] = {}
    for name, read in _readers(kind).items():
        if name in data:
            try:
                given[name] = read(data[name])
            except ValueError as exc:
                raise ValueError(f"{name} of {kind.__name__}: {exc}") from None
    try:
        return kind(**given)
    except TypeError:
        missing = [field.name for field in attrs.fields(kind) if field.default is attrs.NOTHING]
        raise ValueError(
            f"a {kind.__name__} must have {', '.join(name for name in missing if name not in given)}"
        ) from None


@cache
def _readers(kind: type[attrs.AttrsInstance]) -> dict[str, Callable[[Any], Any]]:
    """Return what reads each attribute of a record."""
    # The names in the annotations are those of the module, and of what it imports for type checkers only.
    hints = get_type_hints(kind, vars(snapshot) | {"Mapping": dict})
    return {field.name: _reader(hints[field.name]) for field in attrs.fields(kind)}


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Return what reads a value of a type, and raises ValueError for another one."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in {UnionType, Union}:
        (inner,) = (one for one in args if one is not NoneType)
        read = _reader(inner)
        return lambda value: None if value is None else read(value)
    if origin is tuple:
        read = _reader(args[0])
        return lambda value: tuple(read(one) for one in _checked(value, list))
    if origin is dict:
        read = _reader(args[1])
        return lambda value: {name: read(one) for name, one in _checked(value, dict).items()}
    if attrs.has(hint):
        return lambda value: record_of(hint, value)
    if hint is float:
        return _float
    return lambda value: _checked(value, hint)


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"must be of type {kind.__name__}")
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004  a wrong value
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("must be a number in the range of a float") from None
    if not isfinite(number):
        raise ValueError("must be a finite number")
    return number
