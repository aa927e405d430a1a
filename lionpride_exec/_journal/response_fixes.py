"""
Fixes for responses.

A response is stored in its JSON form and read by the return type of its class, where that says one. JSON has the offset
of a datetime but not its zone, and null in place of infinities.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, time
from math import isfinite
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from lionpride_exec._base.json_text import write_json

from .fidelity import SCALARS
from .fixes import Fix, Path, apply_fixes, names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

# Levels of a response that are searched for datetimes.
MAX_LOOK = 20


def add_moment_fixes(value: Any, path: Path, fixes: list[Fix]) -> None:
    """Add fixes for the zones and folds in a response, of which JSON has only the offsets."""
    kind = type(value)
    if kind is datetime or kind is time:
        zone = value.tzinfo
        if type(zone) is ZoneInfo and zone.key is not None:
            fixes.append([path, "zone", zone.key, value.fold])
        elif value.fold:
            fixes.append([path, "fold", value.fold])
        return
    if len(path) > MAX_LOOK or kind in SCALARS or kind is int or kind is float:
        return
    if isinstance(value, dict):
        parts: Sequence[Any] = list(value.values())
    elif isinstance(value, list | tuple):
        parts = cast("Sequence[Any]", value)
    else:
        parts = [getattr(value, name, None) for name in names_of(kind) or ()]
    for index, part in enumerate(parts):
        add_moment_fixes(part, (*path, index), fixes)


def add_number_fixes(form: Any, fixes: list[Fix]) -> None:
    """Add fixes for the infinities and NaN in the JSON form of a response, which JSON writes as null."""
    level: list[tuple[Path, Any]] = [((), form)]
    while level:
        below: list[tuple[Path, Any]] = []
        for path, part in level:
            if isinstance(part, dict):
                below += [((*path, index), item) for index, item in enumerate(cast("dict[str, Any]", part).values())]
            elif isinstance(part, list):
                below += [((*path, index), item) for index, item in enumerate(part)]
            elif isinstance(part, float) and not isfinite(part):
                fixes.append([path, "json", write_json(part, exact=True).decode()])
        level = below


def apply_moment_fixes(value: Any, fixes: Sequence[Fix]) -> Any:
    """Return a response with its zones and folds, where datetimes and times were read as such and not as texts."""
    holder = {"it": value}
    for path, *change in fixes:
        if change[0] == "json":
            continue  # applied before the response was read by its type
        with suppress(LookupError, TypeError, ValueError, AttributeError):  # the part was read as another type
            apply_fixes(holder, [[("it", *path), *change]])
    return holder["it"]
