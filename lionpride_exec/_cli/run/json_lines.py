"""Read a line as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from lionpride_exec._base.json_text import MAX_DEPTH, read_json
from lionpride_exec._cli.errors import BadLineError

from .text_options import bad_byte

if TYPE_CHECKING:
    from collections.abc import Callable

# The same with a journal and without one. A journal could not read back a record that is nested more deeply.
TOO_DEEP = f"not readable: nested more than {MAX_DEPTH} levels deep"


def parse_json(line: bytes, parse_float: Callable[[str], Any] | None = None, *, encoding: str | None = None) -> Any:
    """
    Return the value that a line holds.

    Args:
        line: JSON in UTF-8.
        parse_float: Called with the text of a number that is no integer. Returns the value. None for a float.
        encoding: The encoding that INPUT has, for messages. None for UTF-8.

    Raises:
        BadLineError: The line is not JSON, or cannot be read.
    """
    try:
        record = read_json(line, parse_constant=_refuse_constant, parse_float=parse_float)
    except UnicodeDecodeError as exc:
        raise BadLineError(bad_byte(encoding, line[exc.start], f"at column {exc.start + 1}")) from exc
    except json.JSONDecodeError as exc:
        raise BadLineError(f"not JSON: {exc.msg} (column {exc.colno})") from exc
    except RecursionError as exc:
        raise BadLineError(TOO_DEEP) from exc
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _depth(record) > MAX_DEPTH:
        raise BadLineError(TOO_DEEP)
    return record


def _depth(record: Any) -> int:
    """Return how deeply lists and objects are nested. 1 for a list of numbers."""
    depth, level = 0, [record]
    while level := [part for part in level if isinstance(part, list | dict)]:
        depth += 1
        level = [item for part in level for item in (part.values() if isinstance(part, dict) else part)]
    return depth


def _refuse_constant(name: str) -> NoReturn:
    raise BadLineError(f"not JSON: {name} is not a JSON number")
