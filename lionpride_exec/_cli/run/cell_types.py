"""The types of the columns of a table: those of the fields of the event, or of the record that a function takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NotRequired, cast, get_args, get_origin

import attrs

from lionpride_exec._events.event import Event

from .columns import parse_event_fields
from .inputs.cells import Cells, hints_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .lines import JobMaker
    from .options import RunOptions

# The fields that every event has, as far as a record may set them.
_OWN = {"id": str, "created_at": str, "metadata": dict, "timeout": float, "idle_timeout": float, "streaming": bool}


def cells_for(
    event_type: type[Event], function: Callable[[Any], Any] | None, maker: JobMaker, options: RunOptions
) -> Cells:
    """
    Return what the cells of the tables of a run are.

    Args:
        event_type: The class of the events.
        function: The function that gets the record. None if the events have the fields of the record.
        maker: Says which fields are redacted.
        options: ``priority``, ``event_fields``, ``timeout`` and the costs of ``rate`` are used.
    """
    numbers = {rate.cost for rate in options.limits.rates if rate.cost is not None} | {options.priority}
    hints: dict[str, Any] = {name: int | float for name in numbers if name is not None}
    optional = set(hints)
    if function is None:
        fields, rest = _fields_of(event_type), str
        optional |= {name for name, has_default in fields.items() if has_default}
        known = hints_of(event_type)
        hints |= {name: known.get(name, str) for name in fields}
    else:
        kind = _record_of(function)
        rest = _rest_of(kind)
        if isinstance(kind, type) and rest is str:
            hints |= hints_of(kind)
            optional |= {name for name, hint in hints.items() if get_origin(hint) is NotRequired}
    taken = parse_event_fields(options.event_fields) or ({"timeout"} if options.timeout is not None else set[str]())
    hints |= {name: _OWN[name] for name in taken}
    return Cells(hints, rest, optional | taken, maker.redaction.covers)


def _fields_of(event_type: type[Event]) -> dict[str, bool]:
    """Return the fields that a class of events declares itself, and whether each has a default."""
    own = {field.name for field in attrs.fields(cast("type[attrs.AttrsInstance]", Event))}
    fields = attrs.fields(cast("type[attrs.AttrsInstance]", event_type))
    return {
        field.alias or field.name: field.default is not attrs.NOTHING
        for field in fields
        if field.init and field.name not in own
    }


def _record_of(function: Callable[[Any], Any]) -> Any:
    """Return the annotation of the first parameter of a function. ``dict`` if there is none."""
    try:
        first = next(iter(inspect.signature(function).parameters))
    except (ValueError, TypeError, StopIteration):  # some functions in C do not tell what they take
        return dict
    called = function if inspect.isroutine(function) else type(function).__call__
    return hints_of(inspect.unwrap(called)).get(first, dict)


def _rest_of(kind: Any) -> Any:
    """Return what each value of a record is: ``int`` if the record is a ``dict[str, int]``."""
    origin, args = get_origin(kind), get_args(kind)
    is_dict = isinstance(origin, type) and issubclass(origin, Mapping)
    return args[1] if is_dict and len(args) == 2 else str  # noqa: PLR2004  key and value
