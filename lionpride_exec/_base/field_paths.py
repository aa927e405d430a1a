"""
Fields inside fields: ``body.model``, ``messages.0.role``.

At each level a field whose name is all that is left of the path wins over a step into a field. So a name that has dots
in it is found as it is written, and a path never has to be escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Missing:
    """The type of what is not there; None is a value."""


MISSING: Final = _Missing()


def look_up(value: Any, path: str) -> Any:
    """
    Return what a path leads to in JSON data. O(length of the path).

    Args:
        value: A dict or a list; anything else has no fields.
        path: Names with dots between them. A step into a list is an index, 0 or more.

    Returns:
        What was found, or ``MISSING``.
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
    """Return what a path leads to that begins with an attribute of an object; ``MISSING`` if it leads nowhere."""
    found = getattr(event, path, MISSING)
    if found is not MISSING:
        return found
    first, _, rest = path.partition(".")
    return look_up(getattr(event, first, MISSING), rest) if rest else MISSING


def is_inside(path: str, other: str) -> bool:
    """Whether a path leads to what another one leads to, or to a part of that."""
    return path == other or path.startswith(f"{other}.")


def step_into(value: Any, name: str) -> Any:
    """Return the field of a dict, or the element of a list; ``MISSING`` if there is none."""
    if isinstance(value, dict):
        return cast("Mapping[str, Any]", value).get(name, MISSING)
    if isinstance(value, list | tuple) and name.isascii() and name.isdigit():
        elements = cast("Sequence[Any]", value)
        place = int(name[:10])  # no list is longer
        return elements[place] if place < len(elements) else MISSING
    return MISSING
