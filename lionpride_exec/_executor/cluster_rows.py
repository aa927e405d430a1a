"""What the server of a cluster knows of events, as rows of a journal. Signatures are not verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from lionpride_exec._cluster.engine import unverified
from lionpride_exec._journal.rows import Row

from .cluster_records import Envelope, Outcome

if TYPE_CHECKING:
    from lionpride_exec._cluster.engine import Details, Moved

_envelopes = msgspec.msgpack.Decoder(Envelope)
_outcomes = msgspec.msgpack.Decoder(Outcome)

NO_ENVELOPE: Final = Envelope(0.0, None, b"")


def row_of(details: Details) -> Row:
    """Return an event as a row with the number 0. What cannot be read is empty."""
    envelope, ended = envelope_of(details.envelope), outcome_of(details.outcome)
    return Row(
        seq=0,
        id=bytes.fromhex(details.event_id),
        event=envelope.event,
        key=details.key or None,
        after=None,
        priority=envelope.priority,
        due=details.due / 1e6 if details.due else None,
        status=details.status,
        attempt=details.attempt,
        crashes=0,
        queued=envelope.queued or None,
        started=None if ended is None else ended.started,
        finished=None if ended is None else ended.finished,
        outcome=None if ended is None else ended.outcome,
        attempts=ended.attempts if ended is not None else unverified(details.attempts) or None,
    )


def envelope_of(record: bytes) -> Envelope:
    """Return what was submitted. An empty envelope if the record cannot be read."""
    try:
        return _envelopes.decode(unverified(record))
    except (msgspec.MsgspecError, ValueError):
        return NO_ENVELOPE


def outcome_of(record: bytes) -> Outcome | None:
    """Return how an event ended. None if the record is empty, or cannot be read."""
    try:
        return _outcomes.decode(unverified(record)) if record else None
    except (msgspec.MsgspecError, ValueError):
        return None


def moment(step: Moved) -> float:
    """Return the time of a transition, in seconds since 1970, by the clock of the server."""
    return int(step.cursor.partition("-")[0]) / 1000
