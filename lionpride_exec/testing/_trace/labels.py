"""Labels of events, for where an id does not help: an event has another id in the next run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

# The name of an attribute, or a function of the event.
Label = Callable[[Any], object] | str


def label_by(label: Label, event: Event[Any]) -> str:
    """Return the label of an event."""
    return str(getattr(event, label) if isinstance(label, str) else label(event))


def class_and_fields(event: Event[Any]) -> str:
    """Return the class of an event, with those of its own fields that are texts or numbers."""
    skipped = {"id", "created_at", "metadata", "execution"}
    fields = [
        f"{field.alias}={value!r}"
        for field in attrs.fields(type(event))
        if field.init and field.alias not in skipped
        if isinstance(value := getattr(event, field.name), str | int | float) and value != field.default
    ]
    return f"{type(event).__name__}({', '.join(fields)})"
