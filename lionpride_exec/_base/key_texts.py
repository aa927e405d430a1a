"""Keys as text."""

from __future__ import annotations

from typing import Any

from .json_text import shown, write_json
from .jsonable import jsonable


def key_text(key: Any) -> str | None:
    """Return a key as text: a text as it is, anything else as JSON. None for None. Never raises."""
    if key is None or isinstance(key, str):
        return key
    try:
        return write_json(jsonable(key)).decode()
    except (TypeError, ValueError, RecursionError):
        return shown(key)
