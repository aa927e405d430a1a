"""
Columns of a record that are named like an attribute of every event.

A data set often has an ``id``, a ``metadata`` or a ``status``. These columns belong to the record: the result shows
them with the record, and the event has its own id and status. ``--event-fields`` names the columns that set the fields
of the event instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._base.json_text import shown
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._events.event import Event
from lionpride_exec._validation import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What --event-fields can name.
CHOICES = ("id", "created_at", "metadata", "timeout", "idle_timeout", "streaming")

NONE = "none"


def parse_event_fields(text: str | None) -> frozenset[str] | None:
    """
    Read ``id,timeout``, or ``none``. None if the option was not given.

    Raises:
        UsageError: A name is not one of the fields that a record can set.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == [NONE]:
        return frozenset()
    for name in names:
        if name not in CHOICES:
            hint = did_you_mean(name, CHOICES)
            raise UsageError(f"--event-fields must be {NONE} or some of {', '.join(CHOICES)}, got {name!r}{hint}")
    if not names:
        raise UsageError(f"--event-fields must name fields, such as id,timeout, or be {NONE}")
    return frozenset(names)


class Columns:
    """
    Decides which columns of a record set fields that every event has.

    Args:
        event_type: The class of the events.
        text: The value of ``--event-fields``.
        timeout: The timeout of an event whose record sets none.
        is_function: Whether a function gets the whole record.

    Raises:
        UsageError: The value of ``--event-fields`` cannot be read.
    """

    def __init__(self, event_type: type[Event], text: str | None, timeout: float | None, *, is_function: bool) -> None:
        taken = parse_event_fields(text)
        if taken is None:
            taken = frozenset({"timeout"} if timeout is not None else ())
            taken |= frozenset(() if is_function else ("metadata",))
        # A field that a class declares again without a default has to come from the record.
        self._taken = taken | {name for name in CHOICES if _is_required(event_type, name)}
        self._timeout = timeout
        self._own = frozenset(_own_names()) - _fields_of(event_type, but_own=True)

    def read(self, record: Any) -> dict[str, Any]:
        """
        Return the event's own fields that a record sets.

        Args:
            record: None if the record is one plain line.

        Raises:
            BadLineError: A value does not fit its field. The message names the field and says what to do.
        """
        values = cast("Mapping[str, Any]", record) if isinstance(record, dict) else {}
        # In a fixed order, not that of a set: the message is about the first value that does not fit.
        found = {name: values[name] for name in CHOICES if name in self._taken and values.get(name) is not None}
        for name, value in found.items():
            if not _FITS[name](value):
                raise BadLineError(self._conflict(name, value))
        if self._timeout is not None:
            found.setdefault("timeout", self._timeout)
        return found

    def others(self, record: Mapping[str, Any], *, but: str | None = None) -> dict[str, Any]:
        """Return the columns of a record that the class of the event takes. Keep the column ``but`` in any case."""
        return {name: value for name, value in record.items() if name not in self._own or name == but}

    def _conflict(self, name: str, value: Any) -> str:
        others = ",".join(sorted(self._taken - {name})) or NONE
        cure = f"--event-fields {others} leaves the field to the record"
        return f"{name} must be {_EXPECTED[name]} to be the event's own field, got {shown(value)}; {cure}"


def _own_names() -> set[str]:
    """Return the names that a subclass cannot use for its fields, and the fields that every event has."""
    return {name for base in Event.__mro__ for name in base.__dict__ if not name.startswith("_")} | _fields_of(Event)


def _fields_of(event_type: type[Event], *, but_own: bool = False) -> set[str]:
    fields = attrs.fields(cast("type[attrs.AttrsInstance]", event_type))
    names = {field.alias or field.name for field in fields if field.init}
    return names - _fields_of(Event) if but_own else names


def _is_required(event_type: type[Event], name: str) -> bool:
    field = getattr(attrs.fields(cast("type[attrs.AttrsInstance]", event_type)), name)
    return field.default is attrs.NOTHING


def _is_id(value: Any) -> bool:
    try:
        Event(id=value)
    except ValueError:
        return False
    return True


def _is_time(value: Any) -> bool:
    try:
        Event(created_at=value)
    except ValueError:
        return False
    return True


def _is_timeout(value: Any) -> bool:
    return is_number(value) and 0 < value < float("inf")


_FITS: dict[str, Callable[[Any], bool]] = {
    "id": _is_id,
    "created_at": _is_time,
    "metadata": lambda value: isinstance(value, dict),
    "timeout": _is_timeout,
    "idle_timeout": _is_timeout,
    "streaming": lambda value: isinstance(value, bool),
}

_EXPECTED = {
    "id": "a UUID",
    "created_at": "a time (ISO text, or seconds since 1970)",
    "metadata": "an object",
    "timeout": "a positive number of seconds",
    "idle_timeout": "a positive number of seconds",
    "streaming": "true or false",
}
