"""What happens to an event, as the rows that are written of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._base.redaction import NO_SECRETS, secrets_of
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._model.element import to_uuid
from lionpride_exec._status import COMPLETED, PENDING, PROCESSING, EventStatus

from .outcome_codec import encode_attempts, encode_outcome, one_line, to_seconds
from .rows import AuditRecord, NewRow, RowUpdate, pack_ids
from .schema import LETTER_OF, key_hash, stored_key

if TYPE_CHECKING:
    from datetime import datetime

    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._events.event import Event
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._events.submit_options import SubmitOptions

    from .codec import Codec


_STARTED, _WAITING = LETTER_OF["processing"], LETTER_OF["pending"]


class RowEncoder:
    """
    Encodes events. Each method returns a row, and a line of the audit trail, or None if there is no trail.

    Args:
        codec: For the fields of events.
        audit: Whether there is an audit trail.
    """

    def __init__(self, codec: Codec, *, audit: bool) -> None:
        self._codec = codec
        self._audit = audit

    def encode_new(
        self, seq: int, event: Event, options: SubmitOptions, due: float | None
    ) -> tuple[NewRow, AuditRecord | None]:
        """
        Return the row of a new event.

        Args:
            seq: The number of the row.
            event: The event.
            options: Its priority, dependencies and key; the key as :func:`encode_key` returns it.
            due: Seconds since 1970 before which the event does not start. None if it may start at once.

        Raises:
            ValidationError: A field cannot be stored. The message names it.
            TypeError: The class of the event has no tag.
        """
        execution = event.execution
        status = execution.status._value_
        queued = wall_clock.seconds() if execution.queued_at is None else execution.queued_at.timestamp()
        after = None
        if options.comes_after or options.any_end:
            after = pack_ids([*map(to_uuid, options.comes_after), *sorted(options.any_end)])
        key = options.key
        stored = self._codec.encode(event)
        id_bytes, key_column, hashed = event.id.int.to_bytes(16), stored_key(key), key_hash(key)
        # tuple.__new__() as in encode_end(): each event comes here.
        row: NewRow = tuple.__new__(
            NewRow, (seq, id_bytes, stored, key_column, after, options.priority, due, status, queued, hashed)
        )
        step: AuditRecord | None = None
        if self._audit:
            step = tuple.__new__(AuditRecord, (seq, queued, LETTER_OF[status], execution.attempt, None))
        return row, step

    def encode_progress(
        self, event: EventLifecycle, target: EventStatus, due: float | None
    ) -> tuple[RowUpdate, AuditRecord | None]:
        """Return the change of an event that starts, or goes back to PENDING until ``due``, seconds since 1970."""
        execution, name = event.execution, target._value_
        attempts, at, error = None, execution.started_at, None
        secrets = secrets_of(event) if event._redacted else NO_SECRETS
        if execution.attempts:
            attempts = encode_attempts(execution.attempts, secrets)
            if target is PENDING:
                at, error = execution.attempts[-1].finished_at, execution.attempts[-1].error
        when = wall_clock.seconds() if at is None else at.timestamp()
        started = when if target is PROCESSING else None
        seq, attempt, line = event._seq, execution.attempt, None if error is None else one_line(error, secrets)
        # tuple.__new__() as in encode_end(): each event comes here.
        change: RowUpdate = tuple.__new__(RowUpdate, (seq, name, attempt, due, started, None, None, attempts))
        step: AuditRecord | None = None
        if self._audit:
            step = tuple.__new__(AuditRecord, (seq, when, LETTER_OF[name], attempt, line))
        return change, step

    def encode_start_ahead(self, event: EventLifecycle) -> tuple[RowUpdate, AuditRecord | None]:
        """Return the change of a PENDING event that is written as started before it starts."""
        attempt, now, execution = event.execution.attempt + 1, wall_clock.seconds(), event.execution
        attempts = encode_attempts(execution.attempts, secrets_of(event)) if execution.attempts else None
        step = AuditRecord(event._seq, now, _STARTED, attempt, None) if self._audit else None
        return RowUpdate(event._seq, "processing", attempt, None, now, None, None, attempts), step

    def encode_not_begun(self, event: EventLifecycle) -> tuple[RowUpdate, AuditRecord | None]:
        """Return the change of a PENDING event that was written as started, and still waits."""
        execution = event.execution
        attempts = encode_attempts(execution.attempts, secrets_of(event)) if execution.attempts else None
        step = (
            AuditRecord(event._seq, wall_clock.seconds(), _WAITING, execution.attempt, "not begun")
            if self._audit
            else None
        )
        return RowUpdate(event._seq, "pending", execution.attempt, None, None, None, None, attempts), step

    def encode_end(
        self,
        event: EventLifecycle,
        target: EventStatus,
        response: Any,
        error: BaseException | UnsetType | None,
        at: datetime | None,
    ) -> tuple[RowUpdate, AuditRecord | None]:
        """Return the change of an event that ends at a time (UTC). None: now."""
        seq, execution, name = event._seq, event.execution, target._value_
        error = None if target is COMPLETED else error
        finished = wall_clock.seconds() if at is None else at.timestamp()
        secrets = secrets_of(event) if event._redacted else NO_SECRETS
        outcome: bytes | float
        if target is COMPLETED and response is None and type(execution.duration) is float:
            outcome = execution.duration  # no response: the duration is all there is to store
        else:
            outcome = encode_outcome(target, response, error, execution.duration, secrets)
        attempts = encode_attempts(execution.attempts, secrets) if execution.attempts else None
        started = to_seconds(execution.started_at)
        attempt, line = execution.attempt, None if error is None else one_line(error, secrets)
        # The constructor of a NamedTuple takes three times as long as tuple.__new__().
        change: RowUpdate = tuple.__new__(RowUpdate, (seq, name, attempt, None, started, finished, outcome, attempts))
        step: AuditRecord | None = None
        if self._audit:
            step = tuple.__new__(AuditRecord, (seq, finished, LETTER_OF[name], attempt, line))
        return change, step
