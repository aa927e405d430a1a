"""Rows as plain values. Nothing here knows events or connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID


def has_begun(status: str, attempt: int, attempts: bytes | None) -> bool:
    """
    Return whether a run of an event has begun, this one or an earlier one, by what its row has.

    In memory, ``has_begun()`` in ``_executor/expirations.py`` decides by the same rule. Change both.
    """
    return status != "pending" or attempt > 0 or attempts is not None


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

    @property
    def has_begun(self) -> bool:
        """Whether a run of the event has begun, this one or an earlier one."""
        return has_begun(self.status, self.attempt, self.attempts)


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


class OfflineEnd(NamedTuple):
    """
    How events end that are ended while no executor has the journal.

    Attributes:
        status: The final status.
        outcome: The error, as the file has it.
        line: What the audit trail says.
        unless_begun: Whether events that have begun are left as they are.
    """

    status: str
    outcome: bytes
    line: str | None
    unless_begun: bool = False


class Answer(NamedTuple):
    """What came of a command: the result as JSON, or an error in one line. Never both, never neither."""

    done: str | None
    error: str | None


@attrs.define(eq=False)
class Batch:
    """What one transaction writes."""

    new: list[NewRow] = attrs.field(factory=list[NewRow])
    changes: dict[int, RowUpdate] = attrs.field(
        factory=dict[int, RowUpdate]
    )  # the last change of each event, by number
    steps: list[AuditRecord] = attrs.field(factory=list[AuditRecord])
    priorities: dict[int, float | None] = attrs.field(
        factory=dict[int, "float | None"]
    )  # the new value of the column `priority`, by number
    removed: list[int] = attrs.field(factory=list[int])  # events to be deleted
    expiries: dict[int, float] = attrs.field(
        factory=dict[int, float]
    )  # when new events end that have not begun, by number; seconds since 1970
    # The packed ids of the events that may end in any way, by the number of the new event that waits for them.
    any_ends: dict[int, bytes] = attrs.field(factory=dict[int, bytes])
    # New events that take their key from another one, by number: its number, or 0 if it has ended on disk.
    freed: dict[int, int] = attrs.field(factory=dict[int, int])
    facts: dict[str, str | None] = attrs.field(factory=dict[str, "str | None"])  # in ``meta``; None deletes one
    answers: dict[int, Answer] = attrs.field(factory=dict[int, Answer])  # to commands, by their numbers
    # Rows of the table submit, by their numbers: those whose events are in `new`; those that need no event, since an
    # event has the key; and why others cannot become events.
    taken: list[int] = attrs.field(factory=list[int])
    dropped: list[int] = attrs.field(factory=list[int])
    refused: dict[int, str] = attrs.field(factory=dict[int, str])
    # The costs that settle() corrected, as JSON, by the numbers of event and attempt.
    settled: dict[tuple[int, int], str] = attrs.field(factory=dict[tuple[int, int], str])

    def is_empty(self) -> bool:
        """Return whether there is nothing to write."""
        rows = self.new or self.changes or self.steps or self.priorities or self.removed
        inbox = self.answers or self.dropped or self.refused  # `taken` comes with `new`
        return not (rows or inbox or self.facts or self.settled)

    def before(self, later: Batch) -> Batch:
        """Return one batch of both, in which the later changes count."""
        return Batch(
            new=[*self.new, *later.new],
            changes=self.changes | later.changes,
            steps=[*self.steps, *later.steps],
            priorities=self.priorities | later.priorities,
            removed=[*self.removed, *later.removed],
            expiries=self.expiries | later.expiries,
            any_ends=self.any_ends | later.any_ends,
            freed=self.freed | later.freed,
            facts=self.facts | later.facts,
            answers=self.answers | later.answers,
            taken=[*self.taken, *later.taken],
            dropped=[*self.dropped, *later.dropped],
            refused=self.refused | later.refused,
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
