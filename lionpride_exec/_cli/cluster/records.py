"""What a queue knows about events, as data for JSON and for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from lionpride_exec._cluster.cluster import SECRET_VARIABLE
from lionpride_exec._cluster.engine import EVENT, OUTCOME, Signer, UntrustedRecordError
from lionpride_exec._executor.cluster_rows import envelope_of, moment, outcome_of, row_of
from lionpride_exec._journal.envelope_tags import tag_of
from lionpride_exec._journal.outcome_codec import OutcomeData
from lionpride_exec._journal.row_records import ID_BYTES, full_record, iso
from lionpride_exec._status import PENDING, PROCESSING, TERMINAL

if TYPE_CHECKING:
    from lionpride_exec._cluster.engine import Details, Moved, ServerQueue

_outcome_data = msgspec.json.Decoder(OutcomeData)

LONGEST_ERROR = 500


def show_record(details: Details, transitions: list[Moved], queue: ServerQueue, *, is_paused: bool) -> dict[str, Any]:
    """
    Return everything about an event.

    Args:
        details: What the queue knows of the event.
        transitions: Its transitions that the server still has, oldest first.
        queue: The queue.
        is_paused: Whether the queue is paused.

    Raises:
        ConfigurationError: The secret of the environment is too short.
    """
    signature = _check(details, queue.name)
    row, envelope = row_of(details), envelope_of(details.envelope)
    record = full_record(row, [transition_record(step, details) for step in transitions])
    for name in ("seq", "runs"):
        del record[name]
    last = transitions[-1] if transitions else None
    began = last if details.status == PROCESSING else None
    more = {
        "after": [str(UUID(bytes=other)) for other in envelope.after if len(other) == ID_BYTES],
        "level": None if queue.lowest is None else queue.lowest + details.level - 1,
        "worker": details.worker or None,
        "since": None if began is None else iso(moment(began)),
        "held_by": details.held_by or None,
        "renewed": round(details.idle, 3) if details.held_by else None,
        "waits_for": _waits_for(details, last, is_paused=is_paused),
        "because": str(UUID(details.because)) if details.because else None,
        "signature": signature,
        "crashes": _crashes(details, record["attempts"]),
    }
    return record | more


def _crashes(details: Details, attempts: list[Any]) -> int:
    """Return how many runs were cut short by the death of their worker."""
    counted = sum(not (isinstance(one, dict) and one.get("interrupted")) for one in attempts)
    has_last_run = details.status != PENDING and details.attempt > 0
    return max(details.attempt - counted - has_last_run, 0)


def _waits_for(details: Details, last: Moved | None, *, is_paused: bool) -> str | None:
    """Return what a pending event waits for. None for any other event."""
    if details.status != PENDING:
        return None
    refused = "" if last is None or last.refused is None else f"worker {last.worker} has found it {last.refused[1]}"
    reasons = (
        (details.waits_for, f"{details.waits_for:,} events that have to be completed first"),
        (details.parked, f"its turn at the limit {details.parked}"),
        (details.is_delayed and refused, f"a worker that can run it: {refused}"),
        (details.is_delayed, "its time"),
        (details.held_by, f"worker {details.held_by}, which starts it when slots and limits allow"),
        (is_paused, "the end of the pause"),
    )
    return next((reason for holds, reason in reasons if holds), "a worker that has room")


def _check(details: Details, queue: str) -> str:
    """Return "checked", or why the signatures of an event were not verified."""
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        return f"not verified: {SECRET_VARIABLE} is not set"
    signer = Signer(queue, [secret])
    try:
        signer.unsign(EVENT, details.event_id, details.envelope)
        for record in filter(None, (details.outcome, details.attempts)):
            signer.unsign(OUTCOME, details.event_id, record)
    except UntrustedRecordError as error:
        return f"not verified: {error}"
    return "checked"


def transition_record(step: Moved, details: Details | None = None) -> dict[str, Any]:
    """Return a transition as a line of ``tail``. The details are those of its event."""
    return {
        "cursor": step.cursor,
        "at": iso(moment(step)),
        "id": str(UUID(step.subject)),
        "tag": None if details is None else tag_of(envelope_of(details.envelope).event),
        "status": status_of(step),
        "attempt": None if step.refused is not None else step.attempt,
        "worker": step.worker or None,
        "error": _error_of(step, details),
    }


def is_readable(step: Moved) -> bool:
    """Return whether an entry of the stream is about an event. Another program may have written anything."""
    try:
        return bool(UUID(step.subject))
    except ValueError:
        return False


def status_of(step: Moved) -> str:
    """Return the new status of an event, or why a worker could not run it."""
    return step.status if step.refused is None else step.refused[1]


def attempt_of(step: Moved) -> str:
    """Return the number of the attempt as text. "" if the entry is no transition."""
    return str(step.attempt) if step.refused is None else ""


def _error_of(step: Moved, details: Details | None) -> str | None:
    """Return class and message of the error of an event that has ended. None if there is none or it is not known."""
    record = step.outcome
    if not record and details is not None and details.status == step.status in TERMINAL:
        record = details.outcome
    found = outcome_of(record)
    try:
        error = None if found is None else _outcome_data.decode(found.outcome).error
    except (msgspec.MsgspecError, ValueError):
        return None
    if error is None:
        return None
    text = f"{error.type.rpartition('.')[2]}: {error.message}" if error.message else error.type
    return " ".join(text.split())[:LONGEST_ERROR]
