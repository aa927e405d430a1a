"""
What clients and workers of a cluster store of an event: its envelope and its outcome.

Both are signed bytes on the server. Events, responses, errors and keys have the form that they have in a journal. An
envelope also has what a worker needs to queue the event; an outcome also has the record of the runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID

import msgspec

from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cluster.engine import EVENT, OUTCOME, UntrustedRecordError, unverified
from lionpride_exec._events.call import Call
from lionpride_exec._events.lifecycle import MAX_ATTEMPTS_KEPT
from lionpride_exec._journal.codec import Codec, Unreadable
from lionpride_exec._journal.envelope_tags import tag_of
from lionpride_exec._journal.outcome_codec import (
    encode_attempts,
    encode_outcome,
    restore_execution,
    to_seconds,
)
from lionpride_exec._journal.rows import Row
from lionpride_exec.errors import ExecutionError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._cluster.engine import Signer
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._model.execution import Attempt, Execution
    from lionpride_exec._status import EventStatus


class Envelope(NamedTuple):
    """
    What is submitted of an event.

    Attributes:
        queued: When the event was submitted, in seconds since 1970, by the clock of the client.
        priority: The priority that the caller passed. None for the default.
        event: The event, as a journal stores it.
        after: The ids of the events that it comes after.
    """

    queued: float
    priority: float | None
    event: bytes
    after: tuple[bytes, ...] = ()


class Outcome(NamedTuple):
    """
    How an event ended.

    Attributes:
        status: The final status. It is signed with the rest, so that the status alone cannot be exchanged.
        started: When the last run began, in seconds since 1970, by the clock of the worker. None if none did.
        finished: When it ended.
        outcome: Response or error, as a journal stores them.
        attempts: The runs before the last one, as a journal stores them. None if there were none.
    """

    status: str
    started: float | None
    finished: float
    outcome: bytes
    attempts: bytes | None


_encode = msgspec.msgpack.Encoder().encode
_envelopes = msgspec.msgpack.Decoder(Envelope)
_outcomes = msgspec.msgpack.Decoder(Outcome)


class ClusterRecords:
    """
    Encodes and decodes the records of one queue.

    Args:
        codec: For the fields of events.
        signer: Signs the records, and checks them before they are decoded.
    """

    def __init__(self, codec: Codec, signer: Signer) -> None:
        self.codec: Codec = codec
        self._signer = signer

    # ---------------------------------------------------------------- events

    def envelope(self, event: Event, priority: float | None, after: Iterable[str] = ()) -> bytes:
        """
        Return the envelope of an event.

        Raises:
            ValidationError: The value of a field would not come back unchanged. The message names the field.
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        queued = to_seconds(event.execution.queued_at) or wall_clock.seconds()
        others = tuple(UUID(other).bytes for other in after)
        envelope = Envelope(queued, priority, self.codec.encode(event), others)
        return self._signer.sign(EVENT, event.id.hex, _encode(envelope))

    def read_envelope(
        self, event_id: str, envelope: bytes, status: EventStatus, attempt: int, attempts: bytes = b""
    ) -> tuple[Event, float | None]:
        """
        Return an event and its priority.

        Args:
            event_id: Its id, as the server has it.
            envelope: What :meth:`envelope` returned.
            status: The status that its record gets. Not a final one.
            attempt: How often it has begun.
            attempts: What :meth:`attempts` returned. Empty if no attempt is stored.

        Raises:
            UntrustedRecordError: A record is not signed with one of the secrets.
            Unreadable: The class is not known in this process, or refuses the stored fields.
        """
        data = self._signer.unsign(EVENT, event_id, envelope)
        try:
            found = _envelopes.decode(data)
            before = self._signer.unsign(OUTCOME, event_id, attempts) if attempts else None
            number = UUID(event_id).bytes
        except (msgspec.MsgspecError, ValueError) as exc:
            raise Unreadable(f"{type(exc).__name__}: {exc}") from exc
        row = Row(
            seq=0, id=number, event=found.event, key=None, after=None, priority=found.priority, due=None,
            status=status.value, attempt=attempt, crashes=0, queued=found.queued, started=None, finished=None,
            outcome=None, attempts=before,
        )  # fmt: skip
        event = self.codec.decode(row)
        if found.after:
            event._set("_after", tuple(UUID(bytes=other) for other in found.after))
        return event, found.priority

    @staticmethod
    def stored_tag(envelope: bytes) -> str | None:
        """Return the tag of an event that cannot be read here, for messages. The signature is not checked."""
        try:
            return tag_of(_envelopes.decode(unverified(envelope)).event)
        except (msgspec.MsgspecError, ValueError):
            return None

    def attempts(self, event: EventLifecycle) -> bytes:
        """Return the record of the runs of an event that runs again. Empty if there is none."""
        data = encode_attempts(event.execution.attempts, secrets_of(event))
        return b"" if data is None else self._signer.sign(OUTCOME, event.id.hex, data)

    # ---------------------------------------------------------------- outcomes

    def outcome(
        self,
        event: EventLifecycle,
        status: EventStatus,
        response: Any,
        error: BaseException | UnsetType | None,
        at: datetime | None = None,
    ) -> bytes:
        """Return the outcome of an event that ends now, or at a time. Never raises for what the event returned."""
        execution, secrets = event.execution, secrets_of(event)
        outcome = Outcome(
            status=status.value,
            started=to_seconds(execution.started_at),
            finished=(at or wall_clock.now()).timestamp(),
            outcome=encode_outcome(status, response, error, execution.duration, secrets),
            attempts=encode_attempts(execution.attempts, secrets),
        )
        return self._signer.sign(OUTCOME, event.id.hex, _encode(outcome))

    def outcome_of(self, event_id: str, data: bytes) -> bytes | None:
        """Return the response or the error in an outcome, as a journal stores it. None if it cannot be trusted."""
        try:
            return _outcomes.decode(self._signer.unsign(OUTCOME, event_id, data)).outcome
        except (UntrustedRecordError, msgspec.MsgspecError):
            return None

    def read_outcome(self, event: EventLifecycle, status: EventStatus, data: bytes, attempt: int) -> Execution:
        """
        Return the record of an event that has ended.

        Args:
            event: The event, for the type of its response.
            status: The status that the server has for it.
            data: What :meth:`outcome` returned.
            attempt: How often the event has begun.

        Raises:
            UntrustedRecordError: The outcome is not signed with one of the secrets, or is that of another status.
            msgspec.MsgspecError: The outcome cannot be read.
        """
        found = _outcomes.decode(self._signer.unsign(OUTCOME, event.id.hex, data))
        if found.status != status.value:
            raise UntrustedRecordError(f"it is the outcome of an event that is {found.status}, not {status.value}")
        event._set("_stored_outcome", found.outcome)  # a run of the command writes its result of it
        function = event.function if isinstance(event, Call) else None
        row = Row(
            seq=0, id=event.id.bytes, event=b"", key=None, after=None, priority=None, due=None, status=status.value,
            attempt=attempt, crashes=0, queued=to_seconds(event.execution.queued_at), started=found.started,
            finished=found.finished, outcome=found.outcome, attempts=found.attempts,
        )  # fmt: skip
        return restore_execution(row, self.codec.response_type_of(cast("type[Event]", type(event)), function))

    def read_reason(self, event: EventLifecycle, status: EventStatus, data: bytes) -> str | None:
        """Return the reason of a request to end an event. None if there is none, or if its signature is wrong."""
        try:
            error = self.read_outcome(event, status, data, 0).error
        except Exception:  # noqa: BLE001  a request without a reason counts too
            return None
        return error.original_message or None if isinstance(error, RemoteError) else None


def crashes_of(attempt: int, attempts: Sequence[Attempt]) -> int:
    """
    Return how many runs of an event were cut short by the death of their worker, the last one included.

    If the record is full, earlier runs may be missing in it. Then only the last one counts.

    Args:
        attempt: How often the event has begun, without runs that were given back.
        attempts: The record of the runs that were followed by another one.
    """
    if len(attempts) >= MAX_ATTEMPTS_KEPT:
        return 1
    return attempt - sum(not one.interrupted for one in attempts)


def runs_again(event: EventLifecycle) -> bool:
    """Return whether an event runs again whose run was cut short, by its class and by how often that has happened."""
    kind, execution = cast("type[Event]", type(event))._kind, event.execution
    return kind.on_crash == "rerun" and crashes_of(execution.attempt, execution.attempts) < kind.max_attempts


def interruption() -> ExecutionError:
    """Return the error of an event that does not run again after its run was cut short."""
    return ExecutionError("interrupted: the worker ended or stalled while the event ran")
