"""
What tells an event apart from others in a list: the beginning of its fields.

A key that a program has given says more, so an event with one has no preview. ``lionpride-exec run`` makes the key of a
line from the content of its record, which says nothing to people.
"""

from __future__ import annotations

from itertools import islice
from json import JSONEncoder
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from lionpride_exec._base.line_keys import CONTENT_KEY
from lionpride_exec._base.redaction import STARS
from lionpride_exec._base.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .snapshot import EventLine

# Characters of a preview.
LONGEST: Final = 60

# Fields that name a record, if it has one of them: then its preview is that one.
NAMES: Final = ("id", "custom_id")

# Fields that each event has, which tell nothing apart.
OPTIONS: Final = frozenset({"metadata", "retry", "timeout"})

# Values inside a record of a running executor, above which the record has no preview. To make it JSON-safe data takes
# 1.4 us for each of them, in the event loop.
MOST_VALUES: Final = 2000

_encoder = JSONEncoder(ensure_ascii=False, check_circular=False)


def with_preview(line: EventLine, fields: Callable[[], Any]) -> EventLine:
    """
    Return a line with a preview, if no key of the program's own tells the event apart.

    Args:
        line: The event.
        fields: Returns its fields as JSON-safe data, with stars in place of what is redacted. If this raises an
            exception, there is no preview.
    """
    if line.key is not None and CONTENT_KEY.fullmatch(line.key) is None:
        return line
    try:
        return attrs.evolve(line, preview=preview_of(fields()))
    except Exception:  # noqa: BLE001  of a ``to_dict()`` of the program: its page tells of it
        return line


def has_many_values(value: Any) -> bool:
    """Return whether there are more than 2000 values inside a value. An object that is no collection counts once."""
    left = MOST_VALUES
    rest: list[Any] = [value]
    while rest:
        inner = rest.pop()
        if not isinstance(inner, dict | list | tuple | set | frozenset):
            continue
        found: Collection[Any] = inner.values() if isinstance(inner, dict) else inner
        left -= len(found)
        if left < 0:  # also of a value that contains itself
            return True
        rest += found
    return False


def preview_of(fields: Any) -> str | None:
    """Return the id of a record, or without one the beginning of its JSON, on one line. None if there is nothing."""
    record = _record_of(fields)
    if isinstance(record, dict):
        known = cast("dict[str, Any]", record)
        for name in NAMES:
            value = known.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value not in {"", STARS}:
                return shortened(str(value), LONGEST)
    return None if record in (None, {}, "") else shortened(_beginning(record), LONGEST)


def _record_of(fields: Any) -> Any:
    """Return the record that a function gets, or the fields of another event without its options."""
    if not isinstance(fields, dict):
        return fields
    named = cast("dict[str, Any]", fields)
    return named["record"] if "record" in named else {name: named[name] for name in named if name not in OPTIONS}


def _beginning(record: Any) -> str:
    """Return a little more of a text, or of the JSON of other data, than is shown."""
    if isinstance(record, str):
        return record[: LONGEST + 1]
    text = ""
    for piece in _encoder.iterencode(_cut(record)):  # one piece after the other: a record may have megabytes
        text += piece
        if len(text) > LONGEST:
            break
    return text


def _cut(value: Any) -> Any:
    """Return JSON-safe data, with texts and collections cut behind what is shown: a text is encoded as a whole."""
    if isinstance(value, str):
        return value[: LONGEST + 1]
    if isinstance(value, dict):
        pairs = islice(cast("dict[str, Any]", value).items(), LONGEST)
        return {_cut(name): _cut(item) for name, item in pairs}
    return [_cut(item) for item in value[:LONGEST]] if isinstance(value, list) else value
