"""The tags of stored events, read without the classes of the events."""

from __future__ import annotations

from typing import Any

import msgspec

# What decoding raises for text that is not JSON, or has other fields.
UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)


class _Tagged(msgspec.Struct):
    tag: str


_tags = msgspec.json.Decoder(_Tagged)


def tag_of(event: Any) -> str | None:
    """Return the tag of an envelope. None if it cannot be read."""
    try:
        return _tags.decode(event).tag
    except UNREADABLE:
        return None
