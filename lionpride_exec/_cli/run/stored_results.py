"""
Make a result, which is a line of the output, of the outcome in a journal, and read results back.

A result is made of the same bytes when its event ends and later, from the journal. So both give the same line.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from lionpride_exec._base.field_paths import look_up
from lionpride_exec._base.json_text import read_json, write_json
from lionpride_exec._base.redaction import mask_data, redacted_paths, secrets_of, texts_of
from lionpride_exec._cli.errors import BadLineError
from lionpride_exec._journal.outcome_codec import ErrorData, OutcomeData, encode_outcome, tells_retryable
from lionpride_exec._status import EventStatus

from .line_identity import is_told_by_record, kind_of, line_key, mark_of_id, mark_of_key, recall, recall_event

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

    from .line_identity import Identity


class Data(msgspec.Struct):
    """The fields of a stored event that are used here."""

    metadata: dict[str, Any] = {}
    record: msgspec.Raw = msgspec.Raw(b"null")


class Envelope(msgspec.Struct):
    """A stored event."""

    tag: str
    data: Data
    redact: list[str] = []
    raw: str | dict[str, str] = ""


class RawEnvelope(msgspec.Struct):
    """All fields of a stored event, and the paths of what is redacted."""

    data: Any
    redact: list[str] = []


class Result(msgspec.Struct):
    """A line of the output."""

    record: msgspec.Raw
    status: str
    line: int | None
    id: str | None = None
    key: str | None = None
    duration: float | None = None


class Told(NamedTuple):
    """
    What a result says.

    Attributes:
        mark: The mark of its event. None if the result does not lead to its event: the result is written again.
        status: The status of the event.
        number: The number of the line, when the result was written. None if the event was made of no line.
        key: The key of its line. None if the event was made of no line, or if ``mark`` is None.
        duration: Seconds that the event has run. None if it never began.
        text: The digest of its record, if lines have ids. None if something in the record may be redacted.
    """

    mark: int | None
    status: str
    number: int | None
    key: str | None
    duration: float | None
    text: int | None = None


_envelopes = msgspec.json.Decoder(Envelope)
_raw_envelopes = msgspec.json.Decoder(RawEnvelope)
_outcomes = msgspec.json.Decoder(OutcomeData)
_results = msgspec.json.Decoder(Result)

HEAD = b'{"record": '
TEXT = (1 << 32) - 1


def tag_of(event: bytes) -> str:
    """Return the tag of a stored event."""
    return _envelopes.decode(event).tag


def place_of(event_id: bytes, event: bytes) -> tuple[int | None, bytes]:
    """Return number and record of the line that a stored event was made of. None and ``null`` if there was none."""
    envelope = _envelopes.decode(event)
    text = envelope.raw["record"].encode() if isinstance(envelope.raw, dict) else bytes(envelope.data.record)
    return recall(envelope.data.metadata, str(UUID(bytes=event_id)), text)


def is_redacted(event: bytes) -> bool:
    """Whether a stored event has something redacted. Then its record has stars in it."""
    return bool(_envelopes.decode(event).redact)


def line_of_event(
    event: Event, status: EventStatus, outcome: bytes | None, key: str | None, *, with_traceback: bool = False
) -> tuple[int | None, bytes]:
    """
    Return the number of the line of an event that has ended, and its result, as the journal has it.

    Args:
        event: The event.
        status: The status that it ends with.
        outcome: What the journal has of its end. None if that is not known any more.
        key: Its key in the journal, as JSON. None if it has no key.
        with_traceback: Whether an error has its traceback.
    """
    secrets, execution = secrets_of(event), event.execution
    number, record = recall_event(event)
    shown = _shown_key(line_key(key), is_redacted=bool(redacted_paths(event)))
    if outcome is None:
        if status is EventStatus.COMPLETED and execution.response is None and type(execution.duration) is float:
            # The duration is the whole outcome. It need not be encoded and decoded to write it.
            rest = _rest(number, event.id, execution.duration, shown)
            return number, _joined(record, status._value_, b"response", b"null", rest)
        outcome = encode_outcome(status, execution.response, execution.error, execution.duration, secrets)
    line = _line(number, record, event.id, status._value_, outcome, shown, secrets, with_traceback=with_traceback)
    return number, line


def line_of_row(
    event_id: bytes,
    event: bytes,
    status: str,
    outcome: bytes | None,
    *,
    key: str | None,
    number_now: int | None,
    with_traceback: bool = False,
) -> bytes:
    """Return the result of an event in the journal. ``number_now`` is the number of its line in INPUT, or None."""
    number, record = place_of(event_id, event)
    number = number if number is None else number_now or number
    envelope = _raw_envelopes.decode(event) if is_redacted(event) else RawEnvelope(None)
    secrets = texts_of(look_up(envelope.data, path) for path in envelope.redact)
    shown = _shown_key(line_key(key), is_redacted=bool(envelope.redact))
    return _line(
        number, record, UUID(bytes=event_id), status, outcome or b"{}", shown, secrets, with_traceback=with_traceback
    )


def _shown_key(key: str | None, *, is_redacted: bool) -> str | None:
    """Return the key that a result must have, because its record does not lead to it. None if it does."""
    return key if key is not None and (is_redacted or not is_told_by_record(key)) else None


def read_line(line: bytes, identity: Identity) -> Told | None:
    """Return what a result says. None if the line is not a result."""
    try:
        result = _results.decode(line)
        record = bytes(result.record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _read_slowly(line, identity)
    return _told(record, result, identity)


def record_in(line: bytes) -> bytes:
    """Return the record of a result, as JSON."""
    try:
        return bytes(_results.decode(line).record)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _record_and_rest(line)[0]


def digest_of_text(record: bytes) -> int:
    """Return 32 bits of a hash of a record. It differs between processes, so no two texts have one digest for long."""
    return hash(record) & TEXT


def is_cut_off(line: bytes) -> bool:
    """Return whether a line that is no result is the beginning of one, as a process leaves it that is killed."""
    if not (line.startswith(HEAD) or HEAD.startswith(line)):
        return False
    try:
        found: Any = read_json(line.decode())
    except (ValueError, RecursionError):
        return True
    # A whole object: a result without its newline, or none of ours.
    return not line.endswith(b"\n") and isinstance(found, dict) and "status" in found


def is_before_hole(line: bytes, *, is_first: bool) -> bool:
    """
    Return whether zeros in a line are a hole that a power failure left: in a result, or in place of one.

    Args:
        line: A line that is no result.
        is_first: Whether no result comes before it. It has to tell more then, since a file of another kind may have
            zeros too.
    """
    before, zero, after = line.partition(b"\0")
    if not zero:
        return False
    if is_first:
        return before.startswith(HEAD) or not (before or after.strip(b"\0\n"))
    return before.startswith(HEAD) or HEAD.startswith(before)


def duration_of(outcome: bytes | None) -> float | None:
    """Return the duration in a stored outcome, as a result has it. None if there is none."""
    seconds = _outcomes.decode(outcome).duration if outcome else None
    return None if seconds is None else round(seconds, 6)


def with_number(line: bytes, number: int) -> bytes:
    """Return a result with another number of its line."""
    return _NUMBER.sub(lambda match: b'"line": %d%b' % (number, match[1]), line)


# The end of a result, as _line() writes it.
_NUMBER = re.compile(rb'"line": [0-9]+((?:, "key": "(?:[^"\\]|\\.)*")?\}\n)\Z')


def _told(record: bytes, result: Result, identity: Identity) -> Told | None:
    status, duration = result.status, result.duration
    try:
        if result.line is None:
            mark = None if result.id is None else mark_of_id(UUID(result.id).bytes)
            return None if mark is None else Told(mark, status, None, None, duration)
        key = identity.key_of(record) if result.key is None else result.key
    except BadLineError:  # the record has no such id
        return Told(None, status, result.line, None, duration)
    except ValueError:
        return None
    is_ours = kind_of(key) == identity.kind  # if not, lines were known by something else when the result was written
    if not is_ours:
        return Told(None, status, result.line, None, duration)
    is_plain = identity.field is not None and result.key is None  # a redacted record does not lead to its key
    return Told(mark_of_key(key), status, result.line, key, duration, digest_of_text(record) if is_plain else None)


def _read_slowly(line: bytes, identity: Identity) -> Told | None:
    """Read a line that is JSON although msgspec refuses it: with half of a surrogate pair."""
    try:
        record, found = _record_and_rest(line)
        if not line.startswith(HEAD):
            return None
        rest = (found.get(name) for name in ("id", "key", "duration"))
        return _told(record, Result(msgspec.Raw(), found["status"], found["line"], *rest), identity)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _record_and_rest(line: bytes) -> tuple[bytes, Any]:
    text = line.decode()
    _, end = json.JSONDecoder().raw_decode(text, len(HEAD))
    return text[len(HEAD) : end].encode(), read_json(text)


def _line(
    number: int | None,
    record: bytes,
    its_id: UUID,
    status: str,
    outcome: bytes,
    key: str | None,
    secrets: frozenset[str],
    *,
    with_traceback: bool,
) -> bytes:
    data = _outcomes.decode(outcome)
    if status != "completed":
        what, text = b"error", b"null"
        if data.error is not None:
            text = write_json(mask_data(_error(data.error, with_traceback=with_traceback), secrets))
    else:
        what, text = b"response", _response(data)
        if secrets:
            text = write_json(mask_data(read_json(text), secrets))
    return _joined(record, status, what, text, _rest(number, its_id, data.duration, key))


def _rest(number: int | None, its_id: UUID, seconds: float | None, key: str | None) -> bytes:
    """Return the end of a result, behind the response or the error."""
    duration = "null" if seconds is None else float.__repr__(round(seconds, 6))
    place = "null" if number is None else str(number)
    rest = f'"duration": {duration}, "line": {place}'.encode()  # as write_json() writes it, in a fifth of the time
    if number is None:
        rest += b', "id": "%b"' % str(its_id).encode()
    elif key is not None:
        rest += b', "key": ' + write_json(key)
    return rest


def _joined(record: bytes, status: str, what: bytes, text: bytes, rest: bytes) -> bytes:
    return b'%b%b, "status": "%b", "%b": %b, %b}\n' % (HEAD, record, status.encode(), what, text, rest)


def _response(data: OutcomeData) -> bytes:
    if data.repr is not None:
        return write_json(data.repr)
    return bytes(data.response) if data.escaped is None else data.escaped.encode()


def _error(data: ErrorData, *, with_traceback: bool) -> dict[str, Any]:
    name = data.type.rpartition(".")[2]
    found: dict[str, Any] = {"error": name, "message": data.message}
    if tells_retryable(data.type, retryable=data.retryable, details=data.details):
        found["retryable"] = data.retryable
    if data.details:
        found["details"] = data.details
    if with_traceback and data.traceback:
        found["traceback"] = data.traceback.rstrip("\n")
    return found
