"""
Results as a journal keeps them: from an outcome to a line of the output, and what a line of the output is about.

What is written when an event ends and what is written later, from the journal, come from the same bytes: so the output
is the same, whenever it was written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from lionpride_exec import errors
from lionpride_exec._journal._outcome import ErrorData, OutcomeData, encode_outcome
from lionpride_exec._json_text import read_json, write_json

from ._identity import mark_of_id, mark_of_line, recall

if TYPE_CHECKING:
    from lionpride_exec._event import Event
    from lionpride_exec._status import EventStatus


class Data(msgspec.Struct):
    """The fields of a stored event, as far as they are wanted here."""

    metadata: dict[str, Any] = {}


class Envelope(msgspec.Struct):
    """A stored event."""

    tag: str
    data: Data


class Result(msgspec.Struct):
    """A line of the output."""

    record: msgspec.Raw
    status: str
    line: int | None
    id: str | None = None


_envelopes = msgspec.json.Decoder(Envelope)
_outcomes = msgspec.json.Decoder(OutcomeData)
_results = msgspec.json.Decoder(Result)

HEAD = b'{"record": '


def tag_of(event: bytes) -> str:
    """Give the tag of a stored event."""
    return _envelopes.decode(event).tag


def line_of_event(event: Event, status: EventStatus) -> bytes:
    """Give the result of an event that has ended, as the journal has it."""
    execution = event.execution
    outcome = encode_outcome(status, execution.response, execution.error, execution.duration)
    number, record = recall(event.metadata, str(event.id))
    return _line(number, record, str(event.id), status.value, outcome)


def line_of_row(event_id: bytes, event: bytes, status: str, outcome: bytes | None) -> bytes:
    """Give the result of an event in the journal."""
    its_id = str(UUID(bytes=event_id))
    number, record = recall(_envelopes.decode(event).data.metadata, its_id)
    return _line(number, record, its_id, status, outcome or b"{}")


def read_line(line: bytes) -> tuple[int, str] | None:
    """Give the mark and the status of a result; None: the line is none."""
    try:
        result = _results.decode(line)
        record = bytes(result.record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _read_slowly(line)
    return _about(record, result.status, result.line, result.id)


def _about(record: bytes, status: str, number: int | None, its_id: str | None) -> tuple[int, str] | None:
    if number is not None:
        return mark_of_line(number, record), status
    try:
        return None if its_id is None else (mark_of_id(UUID(its_id).bytes), status)
    except ValueError:
        return None


def _read_slowly(line: bytes) -> tuple[int, str] | None:
    """Read what JSON allows and msgspec does not: half of a surrogate pair."""
    try:
        text = line.decode()
        found: Any = read_json(text)
        _, end = json.JSONDecoder().raw_decode(text, len(HEAD))
        if not line.startswith(HEAD):
            return None
        return _about(text[len(HEAD) : end].encode(), found["status"], found["line"], found.get("id"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _line(number: int | None, record: bytes, its_id: str, status: str, outcome: bytes) -> bytes:
    data = _outcomes.decode(outcome)
    if status != "completed":
        what, text = b"error", b"null" if data.error is None else write_json(_error(data.error))
    else:
        what, text = b"response", _response(data)
    duration = None if data.duration is None else round(data.duration, 6)
    rest: dict[str, Any] = {"duration": duration, "line": number}
    if number is None:
        rest["id"] = its_id
    return b'%b%b, "status": "%b", "%b": %b, %b\n' % (HEAD, record, status.encode(), what, text, write_json(rest)[1:])


def _response(data: OutcomeData) -> bytes:
    if data.repr is not None:
        return write_json(data.repr)
    return bytes(data.response) if data.escaped is None else data.escaped.encode()


def _error(data: ErrorData) -> dict[str, Any]:
    name = data.type.rpartition(".")[2]
    found: dict[str, Any] = {"error": name, "message": data.message}
    known = getattr(errors, name, None)
    if data.details or (isinstance(known, type) and issubclass(known, errors.LionprideError)):
        found["retryable"] = data.retryable
    return found | ({"details": data.details} if data.details else {})
