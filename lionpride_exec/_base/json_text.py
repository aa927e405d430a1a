"""
Writing and reading JSON text, for all values that JSON text can hold.

The writers of Python and msgspec fail at ints of more than 4300 digits and, in UTF-8, at half of a surrogate pair. An
escape or a long number in a record must not end a run. These values are rare, so the fast way is tried first.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# The deepest nesting that is written. The reader of Python fails at about 1000 levels.
MAX_DEPTH = 500

# A longer int may have more than 4300 digits, which the reader of Python refuses.
MAX_BITS = 14_000

# The replacement for a value without any form.
UNSERIALIZABLE = "<unserializable>"


class NoForm(Exception):
    """A value has no JSON form."""


def write_json(value: Any, *, exact: bool = False) -> bytes:
    r"""
    Return JSON-safe data as JSON in UTF-8.

    A character that UTF-8 cannot hold (half of a surrogate pair) is written as ``\udcXX``. An int may have any number
    of digits.

    Args:
        value: A value made of dicts with texts as keys, lists, tuples, texts, numbers, bools and None.
        exact: Whether NaN and infinities are written as ``NaN`` and ``Infinity``, which is not JSON, for
            :func:`read_json`. Otherwise they become null.

    Raises:
        TypeError: The value is not JSON-safe.
        RecursionError: The value is nested too deeply.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=exact)
    except ValueError:
        text = _write(value, exact=exact)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _escape(text)


def _escape(text: str) -> bytes:
    """Escape the halves of surrogate pairs, which only occur inside quotes."""
    return "".join(f"\\u{ord(one):04x}" if "\ud800" <= one <= "\udfff" else one for one in text).encode()


def _write(value: Any, *, exact: bool) -> str:
    if isinstance(value, dict):
        pairs: list[str] = []
        for key, item in cast("dict[str, Any]", value).items():
            pairs.append(f"{json.dumps(key, ensure_ascii=False)}: {_write(item, exact=exact)}")
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        items: list[str] = []
        for item in cast("list[Any]", value):
            items.append(_write(item, exact=exact))  # noqa: PERF401  like the pairs above
        return "[" + ", ".join(items) + "]"
    if isinstance(value, float):
        return json.dumps(value if exact or isfinite(value) else None)
    if isinstance(value, int) and not isinstance(value, bool):
        return digits(value)
    return json.dumps(value, ensure_ascii=False)


def read_json(
    text: str | bytes,
    *,
    parse_constant: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """
    Return the value of a JSON text. An int may have any number of digits.

    Args:
        text: The text, or its bytes in UTF-8.
        parse_constant: Called with ``NaN``, ``Infinity`` or ``-Infinity``. None to read them as floats.
        parse_float: Called with the text of a number that is not an int. None to read it as a float.

    Raises:
        ValueError: The text is not JSON, or the bytes are not UTF-8.
        RecursionError: The value is nested too deeply.
    """
    if isinstance(text, bytes):
        text = text.decode()
    try:
        return json.loads(text, parse_constant=parse_constant, parse_float=parse_float)
    except json.JSONDecodeError:
        raise
    except ValueError as exc:
        if "integer string conversion" not in str(exc):
            raise
    return json.loads(text, parse_constant=parse_constant, parse_float=parse_float, parse_int=_int)


def plain_of(value: str | float) -> str | int | float | bool:
    """Return a text or number as a plain Python value. An int that is too long for readers becomes a text."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__int__(value) if value.bit_length() <= MAX_BITS else digits(int.__int__(value))
    return float.__float__(value)


def digits(number: int) -> str:
    """Return an int of any length in decimal. ``str()`` refuses more than 4300 digits."""
    try:
        return int.__repr__(number)
    except ValueError:
        from decimal import Decimal  # noqa: PLC0415  slow to import, and nearly no int is so long

        return format(Decimal(number), "f")


def shown(value: object) -> str:
    """Return at most 100 characters of the repr of a value, for a message. Never raises."""
    try:
        return f"{value!r:.100}"
    except Exception:  # noqa: BLE001  an int of too many digits, or an error in a user's repr
        return f"<{type(value).__name__}>"


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        from decimal import Decimal  # noqa: PLC0415  as in digits()

        return int(Decimal(text))
