"""The events that a user names in an argument: by the event, or by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._base.json_text import shown
from lionpride_exec._model.element import to_uuid

if TYPE_CHECKING:
    from uuid import UUID


def id_of(event: Any, name: str = "event") -> UUID:
    """
    Return the id of an event that a user names.

    Args:
        event: The event, what was found of it, its id, or the text of its id.
        name: The name of the argument, for the message.

    Raises:
        ValueError: It is none of these. A key names no event here, and the message says how to find the event of a key.
    """
    try:
        return to_uuid(event)
    except ValueError:
        hint = f": find(key={shown(event)}) finds the event with this key" if isinstance(event, str) else ""
        raise ValueError(f"{name} must name events or their ids, got {shown(event)}{hint}") from None
