"""
Which keys a text of a user may mean.

The command line makes events of lines, and a line may be known by an id (``run --id FIELD``). The key of its event has
this id in it. Whatever looks up an event understands the id alone.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from lionpride_exec._base.line_keys import LINE, key_of_id

from .envelope_tags import UNREADABLE

_NUMBER: Final = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", re.ASCII)


def keys_meant_by(text: str) -> list[str]:
    """Return the JSON texts of the keys that a text may mean: the text itself, or the key as JSON."""
    keys: list[str] = []
    for make in (lambda: text, lambda: msgspec.json.decode(text)):
        try:
            keys.append(msgspec.json.encode(make()).decode())
        except UNREADABLE:  # not JSON, or a text that JSON cannot hold
            continue
    return keys


def event_keys_meant_by(text: str) -> list[str]:
    """Return the JSON texts of the keys of events that a text may mean: those of keys_meant_by(), then ids of lines."""
    lines = [made for key in _line_keys(text) for made in keys_meant_by(key)]
    return [*keys_meant_by(text), *lines]


def _line_keys(text: str) -> list[str]:
    """Return the keys of lines whose id a text may mean: the text, or the number."""
    ids: list[str | float] = [text]
    if _NUMBER.fullmatch(text):
        number = float(text) if "." in text else int(text)
        ids.append(int(number) if isinstance(number, float) and number.is_integer() else number)
    return [LINE + key_of_id(one) for one in ids]
