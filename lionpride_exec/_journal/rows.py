"""What goes to the file and comes from it, as plain values: nothing here knows an event or a connection."""

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
    """An event that is taken in."""

    seq: int
    id: bytes
    event: bytes
    key: str | None
    after: bytes | None
    priority: float | None
    due: float | None
    status: str
    queued: float


class Change(NamedTuple):
    """Where an event stands now."""

    seq: int
    status: str
    attempt: int
    due: float | None
    started: float | None
    finished: float | None
    outcome: bytes | None
    attempts: bytes | None


class Step(NamedTuple):
    """A line of the audit trail."""

    seq: int
    at: float
    status: str
    attempt: int
    error: str | None


@attrs.define(eq=False)
class Batch:
    """What is committed together."""

    new: list[NewRow] = attrs.field(factory=list[NewRow])
    changes: dict[int, Change] = attrs.field(factory=dict[int, Change])  # by number: the last one counts
    steps: list[Step] = attrs.field(factory=list[Step])
    waits_for: dict[int, bytes | None] = attrs.field(factory=dict[int, "bytes | None"])  # what is left of `after`
    removed: list[int] = attrs.field(factory=list[int])
    # What runs have taken of each limit, corrected by settle(), as JSON; by the numbers of event and attempt.
    settled: dict[tuple[int, int], str] = attrs.field(factory=dict[tuple[int, int], str])

    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.new or self.changes or self.steps or self.waits_for or self.removed or self.settled)

    def before(self, later: Batch) -> Batch:
        """Give both as one, where what is said later counts."""
        return Batch(
            new=[*self.new, *later.new],
            changes=self.changes | later.changes,
            steps=[*self.steps, *later.steps],
            waits_for=self.waits_for | later.waits_for,
            removed=[*self.removed, *later.removed],
            settled=self.settled | later.settled,
        )


def values_of(rows: Sequence[Sequence[Any]], size: int, width: int) -> list[Any]:
    """Give the values of rows one after the other, filled up with None to so many rows."""
    flat = [value for row in rows for value in row]
    flat.extend([None] * (size * width - len(flat)))
    return flat


def pack_ids(ids: Iterable[UUID]) -> bytes:
    """Give ids as they stand in a row, 16 bytes each."""
    return b"".join(one.bytes for one in ids)


def unpack_ids(packed: bytes | None) -> list[bytes]:
    """Give the ids that stand in a row."""
    return [] if packed is None else [packed[begin : begin + 16] for begin in range(0, len(packed), 16)]
