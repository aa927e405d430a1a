"""New events that wait for a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .rows import pack_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio

    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec.errors import JournalError

    from .rows import AuditRecord, NewRow, Row

# New events that may wait for the next commit. Beyond, the callers of append() wait. A commit takes all there are.
MAX_PENDING_INSERTS = 1000


@attrs.define(eq=False)
class PendingInsert:
    """
    A new event on its way to the disk.

    Attributes:
        row: The row to insert.
        step: The first line of the event in the audit trail. None if there is no trail.
        done: Set once the row has been committed or has failed; shared with the other inserts of the same commit.
        error: Why the row could not be committed.
        known: The row that has the same key already. If there is one, this row was not inserted.
        is_withdrawn: Whether the caller has given up: the row is left out of the next commit, or deleted again.
        expires: When the event ends if it has not begun, in seconds since 1970. None if it waits.
        any_end: The packed ids of the events that it waits for and that may end in any way. None if there are none.
        frees: The number of a row that gives its key to this one, whatever its status is; 0 if only rows that have
            ended do. None if no row does.
        submitted: The number of the row in the table submit that this row replaces. None if there is none.
        on_done: Called once the row has been committed or has failed, if no task waits for ``done``.
    """

    row: NewRow
    step: AuditRecord | None
    done: anyio.Event
    error: JournalError | None = None
    known: Row | None = None
    is_withdrawn: bool = False
    expires: float | None = None
    any_end: bytes | None = None
    frees: int | None = None
    submitted: int | None = None
    on_done: Callable[[], None] | None = None

    @property
    def is_on_disk(self) -> bool:
        """Whether the row was inserted: the commit succeeded, and no other row has its key."""
        return self.done.is_set() and self.error is None and self.known is None


def insert_of(row: NewRow, step: AuditRecord | None, done: anyio.Event, options: SubmitOptions) -> PendingInsert:
    """Return the insert of a new event, with what its options add to other tables than that of the events."""
    expires = None if options.expiry is None else options.expiry.wall_time()
    any_end = pack_ids(sorted(options.any_end)) if options.any_end else None
    return PendingInsert(row, step, done, expires=expires, any_end=any_end, submitted=options.submitted)


class InsertQueue:
    """The new events that go into the next commit, those of a failed commit first."""

    def __init__(self) -> None:
        self._queued: list[PendingInsert] = []  # withdrawn ones included; at most MAX_PENDING_INSERTS
        self._retried: list[PendingInsert] = []  # of a commit that failed for a reason that may pass

    def __len__(self) -> int:
        """Return how many new events are queued, withdrawn ones included."""
        return len(self._queued)

    @property
    def has_room(self) -> bool:
        """Whether :meth:`put` can be called."""
        return len(self._queued) < MAX_PENDING_INSERTS

    def put(self, insert: PendingInsert) -> None:
        """Add a new event; there has to be room."""
        self._queued.append(insert)

    def requeue(self, inserts: list[PendingInsert]) -> None:
        """Have the events of a failed commit tried again by the next one."""
        self._retried = inserts

    def take(self) -> list[PendingInsert]:
        """Take all events but those that were withdrawn; their tasks are told."""
        inserts, self._retried = self._retried, []
        for insert in inserts:
            if insert.is_withdrawn:
                insert.done.set()
        inserts, self._queued = inserts + self._queued, []
        return [insert for insert in inserts if not insert.is_withdrawn]

    def retried_seqs(self) -> list[int]:
        """Return the numbers of the events that a commit has failed to insert."""
        return [insert.row.seq for insert in self._retried]


def report_inserts(inserts: list[PendingInsert], done: anyio.Event) -> None:
    """Tell the callers of append() what became of new events, which all share ``done`` unless a commit has failed."""
    done.set()
    for insert in inserts:
        insert.done.set()  # the event of an earlier commit, if that one failed
        if insert.on_done is not None:
            insert.on_done()
