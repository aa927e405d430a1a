"""The rows of a journal as JSON-safe data, for people and programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import msgspec

from lionpride_exec._base.field_paths import look_up
from lionpride_exec._base.json_text import read_json, write_json
from lionpride_exec._base.redaction import mask_data, mask_path, texts_of
from lionpride_exec._status import EventStatus

from .envelope_tags import UNREADABLE
from .outcome_codec import tells_retryable
from .reader import id_text

if TYPE_CHECKING:
    from .reader import Transition
    from .rows import Row

ID_BYTES = 16
_encode = msgspec.json.Encoder().encode


def encode(value: Any) -> bytes:
    """Return a value as valid JSON. NaN and infinities become null."""
    try:
        return _encode(value)
    except ValueError:  # half of a surrogate pair, or an int with very many digits
        return write_json(value)


def iso(seconds: Any) -> str | None:
    """Return a time as text, in UTC, to the millisecond. None if the value is not a time."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_record(row: Row) -> dict[str, Any]:
    """
    Return an event as a line of an export.

    A completed event has a ``response``, and a ``repr`` if JSON could not hold the response. Other events have an
    ``error``. A part that is not JSON is null, and ``unreadable`` names the part.
    """
    unreadable: list[str] = []
    envelope = _object(row.event, "event", unreadable)
    outcome = {} if row.outcome is None else _object(row.outcome, "outcome", unreadable)
    record = {
        "id": id_text(row.id),
        "seq": row.seq,
        "tag": envelope.get("tag"),
        "version": envelope.get("version", 1) if envelope else None,
        "data": _data(row, envelope),
        "key": None if row.key is None else _read(row.key, "key", unreadable),
        "status": _plain(row.status),
        "attempt": _plain(row.attempt),
        "runs": _runs(row, unreadable),
        "crashes": _plain(row.crashes),
        "queued": iso(row.queued),
        "started": iso(row.started),
        "finished": iso(row.finished),
        "duration": outcome.get("duration"),
    }
    if row.status == EventStatus.COMPLETED:
        escaped = outcome.get("escaped")
        record["response"] = outcome.get("response") if escaped is None else _read(escaped, "outcome", unreadable)
        if outcome.get("repr") is not None:
            record["repr"] = outcome["repr"]
    else:
        record["error"] = _error_record(outcome.get("error"))
    return _masked(record, envelope) | ({"unreadable": unreadable} if unreadable else {})


def _data(row: Row, envelope: dict[str, Any]) -> Any:
    """Return the fields of an event. The time of its creation is stored as the time until it was queued."""
    data, age = envelope.get("data"), envelope.get("age")
    try:
        created = datetime.fromtimestamp(row.queued or 0.0, UTC) - timedelta(microseconds=age or 0)
    except (TypeError, ValueError, OverflowError, OSError):
        return data
    if age is None or not isinstance(data, dict):
        return data
    return {"created_at": msgspec.json.decode(_encode(created))} | cast("dict[str, Any]", data)


def _masked(record: dict[str, Any], envelope: dict[str, Any]) -> dict[str, Any]:
    """Return a record with stars in place of what its class, or the run, redacts."""
    paths = envelope.get("redact")
    if not isinstance(paths, list):
        return record
    data = record.get("data")
    secrets = texts_of(look_up(envelope.get("data"), str(path)) for path in paths)
    for path in paths:
        data = mask_path(data, str(path))
    quoting = {name: mask_data(record[name], secrets) for name in _QUOTING if name in record}
    return record | quoting | ({"data": mask_data(data, secrets)} if "data" in record else {})


# Parts of a record that may quote a field.
_QUOTING = ("key", "response", "repr", "error", "attempts")


def _runs(row: Row, unreadable: list[str]) -> int:
    """Return how often an event has begun to run, as far as the journal knows."""
    earlier = None if row.attempts is None else _read(row.attempts, "attempts", unreadable)
    return (len(earlier) if isinstance(earlier, list) else 0) + (row.started is not None)


def full_record(row: Row, transitions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return everything about an event, with the records of its transitions."""
    unreadable: list[str] = []
    after = row.after if isinstance(row.after, bytes) else b""
    attempts = None if row.attempts is None else _read(row.attempts, "attempts", unreadable)
    record = event_record(row) | {
        "priority": _plain(row.priority),
        "due": iso(row.due),
        "after": [id_text(after[place : place + ID_BYTES]) for place in range(0, len(after), ID_BYTES)],
        "attempts": [_attempt_record(one) for one in attempts] if isinstance(attempts, list) else [],
        "transitions": transitions,
    }
    return record | ({"unreadable": [*record.get("unreadable", ()), *unreadable]} if unreadable else {})


def _attempt_record(attempt: Any) -> Any:
    if not isinstance(attempt, dict):
        return attempt
    known = {"interrupted": False, "error": None} | cast("dict[str, Any]", attempt)
    times = {name: iso(known.get(name)) for name in ("started", "finished")}
    return known | times | {"error": _error_record(known["error"])}


def _error_record(error: Any) -> Any:
    """Return an error with the defaults that the file leaves out. Only errors of this package have ``retryable``."""
    if not isinstance(error, dict):
        return error
    found: dict[str, Any] = {"type": None, "message": "", "traceback": "", "retryable": True}
    found |= cast("dict[str, Any]", error)
    if not tells_retryable(found["type"], retryable=found["retryable"], details=found.get("details")):
        del found["retryable"]
    return found


def transition_record(step: Transition) -> dict[str, Any]:
    """Return a transition as a line of ``tail``."""
    return {
        "n": step.n,
        "at": iso(step.at),
        "seq": step.seq,
        "id": None if step.id is None else id_text(step.id),
        "tag": step.tag,
        "status": _plain(step.status),
        "attempt": _plain(step.attempt),
        "error": _plain(step.error),
    }


def _object(text: Any, name: str, unreadable: list[str]) -> dict[str, Any]:
    found = _read(text, name, unreadable)
    if isinstance(found, dict):
        return cast("dict[str, Any]", found)
    if name not in unreadable:
        unreadable.append(name)
    return {}


def _read(text: Any, name: str, unreadable: list[str]) -> Any:
    try:
        return read_json(text)
    except UNREADABLE:
        unreadable.append(name)
        return None


def _plain(value: Any) -> Any:
    """Return the value of a column. Bytes, which another program may have written, become text."""
    return id_text(value) if isinstance(value, bytes) else value
