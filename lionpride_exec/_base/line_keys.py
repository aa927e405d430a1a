"""The keys of events that the command line has made of lines which are known by an id (``run --id FIELD``)."""

from __future__ import annotations

from typing import Final

from .json_text import digits

# Begins the key of each event that was made of a line.
LINE: Final = "line:"


def key_of_id(value: str | float) -> str:
    """Return the key of the line with an id, without the beginning that all lines share. A text is no number."""
    if isinstance(value, str):
        return f"id:{value}"
    return f"id={digits(value) if isinstance(value, int) else repr(value)}"
