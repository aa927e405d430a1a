"""The rows of a journal as records. The classes of the events need not be known."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from lionpride_exec._base.json_text import read_json
from lionpride_exec._base.key_texts import key_text
from lionpride_exec._journal.envelope_tags import UNREADABLE, tag_of
from lionpride_exec._journal.outcome_codec import restore_attempts
from lionpride_exec._journal.reader import id_text
from lionpride_exec._journal.row_records import event_record, full_record
from lionpride_exec._journal.run_watcher import ending_of
from lionpride_exec._status import FINAL
from lionpride_exec.errors import RemoteError

from .fitting import Filter
from .previews import with_preview
from .snapshot import AttemptLine, EventLine, EventView, TransitionLine
from .texts import attempt_outcome, first_line, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._journal.reader import Transition
    from lionpride_exec._journal.rows import Row
    from lionpride_exec._model.execution import Attempt

    from .snapshot import Choice

# A text that JSON has as it is.
_PLAIN: Final = re.compile(r"[\w .:/@+=-]*")

# What is in the stored form of an event whose class redacts fields.
_REDACTS = b'"redact":'


def row_line(row: Row) -> EventLine:
    """Return an event on one line. 10 us, and more if its class redacts fields."""
    ending = ending_of(row.outcome)
    error = ending.error_text
    return EventLine(
        id=id_text(row.id),
        number=row.seq,
        status=str(row.status),
        kind=tag_of(row.event) or "",
        key=_key_of(row),
        attempt=row.attempt,
        queued=row.queued,
        started=row.started,
        finished=row.finished,
        duration=ending.duration,
        error=None if error is None else first_line(error),
    )


def shown_line(row: Row) -> EventLine:
    """Return an event on one line, with a preview if no key tells it apart. Some 50 us."""
    return with_preview(row_line(row), lambda: _fields_of(event_record(row)))


def _key_of(row: Row) -> str | None:
    if row.key is None:
        return None
    if _REDACTS in row.event:
        return key_text(event_record(row)["key"])
    try:
        return key_text(read_json(row.key))
    except UNREADABLE:
        return str(row.key)


def row_view(row: Row, steps: Sequence[Transition], explanation: str | None) -> EventView:
    """Return all about an event."""
    record = full_record(row, [])
    fields = _fields_of(record)
    return EventView(
        line=shown_line(row),
        facts=_facts(record),
        data=None if fields is None else readable(fields),
        response=_response(record),
        error=_error_text(record.get("error")),
        explanation=explanation,
        after=tuple(record["after"]),
        transitions=_transitions(row, steps),
        attempts=tuple(map(_attempt_line, _attempts_of(row))),
    )


def _fields_of(record: dict[str, Any]) -> Any:
    """Return the fields of an event without the time of its creation, with stars in place of secrets."""
    data = record["data"]
    if not isinstance(data, dict):
        return data
    return {name: value for name, value in cast("dict[str, Any]", data).items() if name != "created_at"}


def _facts(record: dict[str, Any]) -> dict[str, str]:
    data: Any = record["data"]
    known = {
        "created": data.get("created_at") if isinstance(data, dict) else None,
        "priority": record["priority"],
        "due": record["due"],
        "crashes": record["crashes"] or None,
        "cannot be read": ", ".join(record.get("unreadable", ())) or None,
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def _response(record: dict[str, Any]) -> str | None:
    """Return the response as JSON, or its ``repr()`` if it has no JSON form. None if there is none."""
    if "response" not in record:
        return None
    return str(record["repr"]) if "repr" in record else readable(record["response"])


def _error_text(error: Any) -> str | None:
    if not isinstance(error, dict):
        return None
    known = cast("dict[str, Any]", error)
    line = ": ".join(str(part) for part in (known["type"], known["message"]) if part)
    return f"{line}\n\n{known['traceback']}".rstrip()


def _transitions(row: Row, steps: Sequence[Transition]) -> tuple[TransitionLine, ...]:
    """Return the trail of an event, or without one what its row tells."""
    if steps:
        return tuple(
            TransitionLine(at=step.at, status=str(step.status), attempt=step.attempt, error=step.error)
            for step in steps
        )
    known = (("pending", row.queued), ("processing", row.started), (str(row.status), row.finished))
    return tuple(TransitionLine(at=at, status=status) for status, at in known if at is not None)


def _attempts_of(row: Row) -> tuple[Attempt, ...]:
    try:
        return restore_attempts(row.attempts)
    except (*UNREADABLE, OverflowError, OSError):
        return ()


def _attempt_line(attempt: Attempt) -> AttemptLine:
    error = attempt.error
    is_rate_limited = isinstance(error, RemoteError) and error.type_name == "RateLimited"
    return AttemptLine(
        number=attempt.number,
        started=attempt.started_at.timestamp(),
        finished=attempt.finished_at.timestamp(),
        outcome=attempt_outcome(is_rate_limited=is_rate_limited, is_interrupted=attempt.interrupted),
        error=None if error is None else first_line(str(error)),
    )


class RowFilter:
    """
    Finds the rows of events that fit a choice.

    Args:
        choice: The choice.
    """

    def __init__(self, choice: Choice) -> None:
        self._status = choice.status
        self._filter = Filter(choice)

    def line(self, row: Row) -> EventLine | None:
        """Return the line of a row that fits. None for another row."""
        if self._status is not None and row.status != self._status:
            return None
        line = row_line(row)
        return line if self._filter.fits(line, partial(_fields_have, row)) else None


def _fields_have(row: Row, text: str) -> bool:
    """Return whether the fields of an event have a text, which is in lower case."""
    # A text without quotes and escapes stands in the stored JSON as it is, so most rows need not be decoded.
    if _PLAIN.fullmatch(text) and text not in row.event.decode("utf-8", "replace").casefold():
        return False
    return text in readable(_fields_of(event_record(row))).casefold()


def progress_in_words(counts: dict[str, int]) -> str:
    """Return the line of progress that counts make."""
    done, total = sum(counts[status] for status in FINAL), sum(counts.values())
    share = f" ({done / total:.0%})" if total else ""
    others = [f"{number:,} {status}" for status, number in counts.items() if number and status != "completed"]
    return ", ".join([f"{done:,} of {total:,} done{share}", *others])
