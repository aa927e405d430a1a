"""The events of a running executor as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.error_shapes import error_line
from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._base.jsonable import jsonable
from lionpride_exec._base.key_texts import key_text
from lionpride_exec._base.redaction import mask, mask_data, mask_path, redacted_paths, secrets_of
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.tracebacks import format_traceback, has_traceback
from lionpride_exec._model.element import CLASS_KEY
from lionpride_exec.errors import RateLimited, RemoteError

from .previews import has_many_values, with_preview
from .snapshot import AttemptLine, EventLine, EventView, TransitionLine
from .texts import attempt_outcome, first_line, readable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.found import FoundEvent
    from lionpride_exec._model.execution import Attempt


# What the record of an event tells in another place.
_NO_FIELDS: Final = frozenset({"created_at", "execution", "function", "id"})


def seconds_of(moment: datetime | None) -> float | None:
    """Return a time in seconds since 1970. None for None."""
    return None if moment is None else moment.timestamp()


def event_line(found: FoundEvent) -> EventLine:
    """Return an event on one line. 5 us."""
    event = found.event
    key = key_text(found.key)
    duration = None if event is None else event.execution.duration
    return EventLine(
        id=str(found.id),
        number=found.number,
        status=found.status.value,
        kind=found.tag,
        key=key if key is None or event is None else mask(key, secrets_of(event)),
        attempt=found.attempt,
        queued=seconds_of(found.queued_at),
        started=seconds_of(found.started_at),
        finished=seconds_of(found.finished_at),
        duration=None if duration is None or isinstance(duration, UnsetType) else duration,
        error=None if found.error is None else first_line(found.error),
    )


def shown_line(found: FoundEvent) -> EventLine:
    """
    Return an event on one line, with a preview if no key tells it apart. 50 us, and up to 3 ms for many values.

    There is no preview of more than 2000 values: it would hold up the event loop, in which events run.
    """
    line, event = event_line(found), found.event
    return line if event is None else with_preview(line, lambda: _few_fields_of(event))


def _few_fields_of(event: Event[Any]) -> dict[str, Any] | None:
    values = [getattr(event, field.name) for field in attrs.fields(type(event)) if field.init]
    return None if has_many_values(values) else fields_of(event)


def event_view(line: EventLine, event: Event[Any], explanation: str | None, after: Iterable[UUID]) -> EventView:
    """
    Return all about an event.

    The fields and the response are written as JSON in this step: that of a response of a megabyte takes some 10 ms.
    """
    execution = event.execution
    response = execution.response
    return EventView(
        line=line,
        facts=_facts(event),
        data=fields_text(event),
        response=None if response is Unset else readable(mask_data(jsonable(response), secrets_of(event))),
        error=_error_text(event, execution.error),
        explanation=explanation,
        after=tuple(map(str, after)),
        transitions=tuple(
            TransitionLine(at=moment.timestamp(), status=status.value) for status, moment in event.history()
        ),
        attempts=tuple(_attempt_line(event, attempt) for attempt in execution.attempts),
    )


def fields_text(event: Event[Any]) -> str:
    """Return the fields of an event as JSON, or what a ``to_dict()`` of the program has raised. Never raises."""
    try:
        return readable(fields_of(event))
    except Exception as exc:  # noqa: BLE001  of a method that a program has overridden
        return f"to_dict() raised {error_line(exc, secrets_of(event))}"


def fields_of(event: Event[Any]) -> dict[str, Any]:
    """Return the fields of an event, but its id and times, as JSON-safe data, with stars in place of secrets."""
    data = event.to_dict("json", exclude=_NO_FIELDS if event.metadata else _NO_FIELDS | {"metadata"})
    if event.metadata:
        del data["metadata"][CLASS_KEY]
    for path in redacted_paths(event):
        data = mask_path(data, path)
    masked: dict[str, Any] = mask_data(data, secrets_of(event))
    return masked


def _facts(event: Event[Any]) -> dict[str, str]:
    """Return the options of an event that differ from the usual ones."""
    known = {
        "created": event.created_at.isoformat(timespec="milliseconds"),
        "timeout": None if event.timeout is None else f"{event.timeout:g} s",
        "retry": None if event.retry is None else repr(event.retry),
    }
    return {name: text for name, text in known.items() if text is not None}


def _error_text(event: Event[Any], error: object) -> str | None:
    """Return an error with its traceback, without secrets. None if the value is no error."""
    known, line = error_in(error), error_line(error, secrets_of(event))
    if known is None or line is None:
        return None
    if isinstance(known, RemoteError):
        trace = known.traceback_text
    else:
        trace = format_traceback(known) if has_traceback(known) else ""
    return mask(f"{line}\n\n{trace}".rstrip(), secrets_of(event))


def _attempt_line(event: Event[Any], attempt: Attempt) -> AttemptLine:
    line = error_line(attempt.error, secrets_of(event))
    return AttemptLine(
        number=attempt.number,
        started=attempt.started_at.timestamp(),
        finished=attempt.finished_at.timestamp(),
        outcome=attempt_outcome(
            is_rate_limited=isinstance(attempt.error, RateLimited), is_interrupted=attempt.interrupted
        ),
        error=None if line is None else first_line(line),
    )
