"""Rows as plain values. Nothing here knows events or connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID


class Row(NamedTuple):
    """A row of the table ``event``; see ``schema``."""

    seq: int
    id: bytes
    event: bytes
    key: str | None
    after: bytes | None
    priority: float | None
    due: float | None
    status: str
    attempt: int
    crashes: int
    queued: float | None
    started: float | None
    finished: float | None
    outcome: bytes | None
    attempts: bytes | None


class NewRow(NamedTuple):
    """The row of a new event."""

    seq: int
    id: bytes
    event: bytes
    key: str | bytes | None  # as stored_key() returns it
    after: bytes | None
    priority: float | None
    due: float | None
    status: str
    queued: float
    key_hash: int | None


class RowUpdate(NamedTuple):
    """The columns of a row that a transition changes."""

    seq: int
    status: str
    attempt: int
    due: float | None
    started: float | None
    finished: float | None
    outcome: bytes | float | None  # a number: the duration, and nothing else
    attempts: bytes | None


class AuditRecord(NamedTuple):
    """A line of the audit trail. The status is a letter of ``LETTERS``."""

    seq: int
    at: float
    status: str
    attempt: int
    error: str | None


@attrs.define(eq=False)
class Batch:
    """What one transaction writes."""

    new: list[NewRow] = attrs.field(factory=list[NewRow])
    changes: dict[int, RowUpdate] = attrs.field(
        factory=dict[int, RowUpdate]
    )  # the last change of each event, by number
    steps: list[AuditRecord] = attrs.field(factory=list[AuditRecord])
    waits_for: dict[int, bytes | None] = attrs.field(
        factory=dict[int, "bytes | None"]
    )  # the new value of the column `after`, by number
    removed: list[int] = attrs.field(factory=list[int])  # events to be deleted
    # The costs that settle() corrected, as JSON, by the numbers of event and attempt.
    settled: dict[tuple[int, int], str] = attrs.field(factory=dict[tuple[int, int], str])

    def is_empty(self) -> bool:
        """Return whether there is nothing to write."""
        return not (self.new or self.changes or self.steps or self.waits_for or self.removed or self.settled)

    def before(self, later: Batch) -> Batch:
        """Return one batch of both, in which the later changes count."""
        return Batch(
            new=[*self.new, *later.new],
            changes=self.changes | later.changes,
            steps=[*self.steps, *later.steps],
            waits_for=self.waits_for | later.waits_for,
            removed=[*self.removed, *later.removed],
            settled=self.settled | later.settled,
        )


def values_of(rows: Sequence[Sequence[Any]], size: int, width: int) -> list[Any]:
    """Return the values of rows in one list, filled up with None to ``size`` rows."""
    flat = [value for row in rows for value in row]
    flat.extend([None] * (size * width - len(flat)))
    return flat


def pack_ids(ids: Iterable[UUID]) -> bytes:
    """Return ids as a row has them, 16 bytes each."""
    return b"".join(one.bytes for one in ids)


def unpack_ids(packed: bytes | None) -> list[bytes]:
    """Return the ids that a row has."""
    return [] if packed is None else [packed[begin : begin + 16] for begin in range(0, len(packed), 16)]
