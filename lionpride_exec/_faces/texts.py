"""Texts of the records: errors, outcomes, indented JSON, and the keys that a text may mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.json_text import read_json, write_json
from lionpride_exec._base.line_keys import line_keys_meant_by

if TYPE_CHECKING:
    from collections.abc import Hashable

# Characters of the first line of an error.
LONGEST_LINE: Final = 500


def keys_meant(text: str) -> list[Hashable]:
    """Return the keys that a text may mean: the text itself, and the key as JSON, in which a list is a tuple."""
    try:
        found = _hashable(read_json(text))
    except (ValueError, RecursionError):
        return [text]
    return [text] if found is None or found == text else [text, found]


def event_keys_meant(text: str) -> list[Hashable]:
    """Return the keys of events that a text may mean: those of keys_meant(), then those of lines with this id."""
    return [*keys_meant(text), *line_keys_meant_by(text)]


def _hashable(value: Any) -> Any:
    return tuple(_hashable(part) for part in value) if isinstance(value, list) else value


def first_line(text: str) -> str:
    """Return the first line of a text, at most 500 characters."""
    return text.lstrip().partition("\n")[0][:LONGEST_LINE].rstrip()


def readable(value: Any) -> str:
    """Return JSON-safe data as JSON with a line for each part. Never raises for JSON-safe data."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except ValueError:  # an int of very many digits
        return write_json(value).decode()


def attempt_outcome(*, is_rate_limited: bool, is_interrupted: bool) -> str:
    """Return how a run ended after which the event ran again."""
    return "rate limited" if is_rate_limited else "interrupted" if is_interrupted else "failed"
