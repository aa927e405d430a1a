"""
Fields inside fields: ``body.model``, ``messages.0.role``.

At each level, a field whose name equals the whole rest of the path is preferred to a step into a field. So a name with
dots is found, and a path is never escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Missing:
    """The type of ``MISSING``. None would be a value."""


MISSING: Final = _Missing()


def look_up(value: Any, path: str) -> Any:
    """
    Return the value at a path in JSON data. O(length of the path).

    Args:
        value: A dict or a list. Any other value has no fields.
        path: Names with dots between them. A step into a list is an index, 0 or more.

    Returns:
        The value, or ``MISSING`` if there is none.
    """
    while True:
        found = step_into(value, path)
        if found is not MISSING:
            return found
        first, dot, rest = path.partition(".")
        if not dot:
            return MISSING
        value, path = step_into(value, first), rest


def look_up_field(event: object, path: str) -> Any:
    """Return the value at a path that begins with an attribute of an object. ``MISSING`` if there is none."""
    found = getattr(event, path, MISSING)
    if found is not MISSING:
        return found
    first, _, rest = path.partition(".")
    return look_up(getattr(event, first, MISSING), rest) if rest else MISSING


def is_inside(path: str, other: str) -> bool:
    """Return whether a path equals another path, or leads to a part of its value."""
    return path == other or path.startswith(f"{other}.")


def step_into(value: Any, name: str) -> Any:
    """Return a field of a dict, or an element of a list. ``MISSING`` if there is none."""
    if isinstance(value, dict):
        return cast("Mapping[str, Any]", value).get(name, MISSING)
    if isinstance(value, list | tuple) and name.isascii() and name.isdigit():
        elements = cast("Sequence[Any]", value)
        place = int(name[:10])  # no list is longer
        return elements[place] if place < len(elements) else MISSING
    return MISSING
