"""The rows of a journal as what ``find()`` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from lionpride_exec._base.json_text import read_json
from lionpride_exec._journal.envelope_tags import tag_of
from lionpride_exec._journal.outcome_codec import from_seconds
from lionpride_exec._journal.stored_outcomes import read_outcome
from lionpride_exec._status import HELD, EventStatus

from .found import FoundEvent

if TYPE_CHECKING:
    from lionpride_exec._journal.rows import Row

_STATUS_OF: Final = {status.value: status for status in EventStatus} | {HELD: EventStatus.PENDING}


def found_in_row(row: Row) -> FoundEvent | None:
    """Return what a row says, without the event. None if the row is damaged."""
    error = None if row.outcome is None else read_outcome(row.outcome).error
    try:
        return FoundEvent(
            UUID(bytes=row.id),
            _STATUS_OF[row.status],
            None if row.key is None else read_json(row.key),
            tag_of(row.event) or "",
            None if error is None else error.text,
            row.attempt,
            None if row.queued is None else from_seconds(row.queued),
            None if row.started is None else from_seconds(row.started),
            None if row.finished is None else from_seconds(row.finished),
            row.seq,
            status_code=None if error is None else error.status_code,
        )
    except (LookupError, TypeError, ValueError, OverflowError, OSError):
        return None
