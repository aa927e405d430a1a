"""Which keys a text of a user may mean, as a journal and the server of a cluster store keys: as JSON."""

from __future__ import annotations

import msgspec

from lionpride_exec._base.line_keys import line_keys_meant_by

from .envelope_tags import UNREADABLE


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
    lines = [made for key in line_keys_meant_by(text) for made in keys_meant_by(key)]
    return [*keys_meant_by(text), *lines]
