"""
What becomes of the rows that were open: which events come back, and how.

Rows are looked at in the order of arrival. What an event comes after arrived before it, so by then it is known whether
that has come back, has ended, or is left in the file; what comes after something that is left is left as well.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

import attrs

from lionpride_exec._base.sentinel import Unset
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ExecutionError

from .codec import Unreadable
from .outcome_codec import encode_attempts, encode_outcome, from_seconds, one_line
from .rows import Change, Row, Step, unpack_ids
from .schema import HELD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lionpride_exec._events.event import Event

    from .codec import Codec
    from .pending_write import JournalHost
    from .store import Store

logger = logging.getLogger("lionpride_exec")


@attrs.frozen
class Restored:
    """
    An event that comes back.

    Attributes:
        seq: Its number.
        event: PENDING.
        priority: As it was given; None: the default.
        due: Seconds since 1970 before which it does not start; None: it may.
        after: Events that have come back as well, and have to complete first.
        lost: An event that it comes after and that will not complete; None: there is none.
        key: By which it is known, as the file has it; None: by none.
    """

    seq: int
    event: Event
    priority: float | None
    due: float | None
    after: list[UUID]
    lost: UUID | None
    key: str | None


class Restorer:
    """
    Goes through the open rows of a store.

    Args:
        store: Open.
        codec: For its events.
        host: The executor.
        audit: Whether the trail is to tell of interruptions.
    """

    def __init__(self, store: Store, codec: Codec, host: JournalHost, *, audit: bool) -> None:
        self.left: Counter[str] = Counter()  # rows that stay where they are, by why
        self.here: list[tuple[Row, Event]] = []  # those that are in memory
        self._store = store
        self._codec = codec
        self._host = host
        self._audit = audit
        self._left_ids: set[bytes] = set()
        self._seen = 0  # the last number
        self._changes: list[tuple[Change, int]] = []
        self._steps: list[Step] = []

    def next_rows(self, limit: int) -> list[Row]:
        """Give the next rows. Blocks."""
        rows = self._store.open_rows(self._seen, limit)
        if rows:
            self._seen = rows[-1].seq
        return rows

    def statuses_of(self, rows: Sequence[Row]) -> dict[bytes, str]:
        """Give the statuses of what these rows come after, where it is on disk. Blocks."""
        wanted = {one for row in rows for one in unpack_ids(row.after)}
        return self._store.statuses_by_id(sorted(wanted)) if wanted else {}

    def write_interruptions(self) -> None:
        """Write what became of the events that were interrupted. Blocks."""
        if self._changes:
            self._store.write_interruptions(self._changes, self._steps)
            self._changes, self._steps = [], []

    def restore(self, row: Row, statuses: Mapping[bytes, str]) -> Restored | None:
        """Give the event of a row; None: it is in memory, has ended, or is left."""
        if row.status == HELD:
            self._leave(row, "held")
            return None
        if any(one in self._left_ids for one in unpack_ids(row.after)):
            self._leave(row, "after what is left")
            return None
        try:
            event_id = UUID(bytes=row.id)
            here = self._host._find_here(event_id) or self._host._find_ended_late(event_id)
            if here is not None:
                self.here.append((row, here))
                return None
            return self._decode(row, statuses)
        except Exception as exc:  # noqa: BLE001  whatever stands in a row, it stops no other
            logger.warning("event %s stays in %s unread: %s", row.seq, self._store.path, exc)
            self._leave(row, "unreadable")
            return None

    def _decode(self, row: Row, statuses: Mapping[bytes, str]) -> Restored | None:
        event = self._codec.decode(row)
        if not self._host._takes(event):
            raise Unreadable(f"the executor does not take a {type(event).__name__}")
        after, lost = self._dependencies(row, statuses)
        if row.status == EventStatus.PROCESSING and not self._decide_interrupted(row, event):
            return None
        return Restored(row.seq, event, row.priority, row.due, after, lost, row.key)

    def _leave(self, row: Row, why: str) -> None:
        self.left[why] += 1
        self._left_ids.add(row.id)

    def _dependencies(self, row: Row, statuses: Mapping[bytes, str]) -> tuple[list[UUID], UUID | None]:
        after: list[UUID] = []
        for one in unpack_ids(row.after):
            if self._host._find_here(UUID(bytes=one)) is not None and statuses.get(one) != EventStatus.COMPLETED:
                after.append(UUID(bytes=one))
            elif statuses.get(one) != EventStatus.COMPLETED and not self._has_completed_late(one):
                return after, UUID(bytes=one)
        return after, None

    def _has_completed_late(self, one: bytes) -> bool:
        event = self._host._find_ended_late(UUID(bytes=one))
        return event is not None and event.execution.status is EventStatus.COMPLETED

    def _decide_interrupted(self, row: Row, event: Event) -> bool:
        """Decide what becomes of an event that ran when the process died. Return whether it runs again."""
        options, now = type(event)._kind, time.time()
        crashes = row.crashes + 1
        times = "" if crashes == 1 else f", {crashes} times by now"
        error = ExecutionError(f"interrupted: the process ended while it ran{times}")
        runs_again = options.on_crash == "rerun" and crashes < options.max_attempts
        target = EventStatus.PENDING if runs_again or options.on_crash == "hold" else EventStatus.FAILED
        event._transition(target, error=error, interrupted=target is EventStatus.PENDING, at=from_seconds(now))
        if target is EventStatus.FAILED:
            self._record(row, crashes, target.value, now, error, event)
            return False
        self._record(row, crashes, target.value if runs_again else HELD, now, error, event)
        if not runs_again:
            self._leave(row, "held")
        return runs_again

    def _record(self, row: Row, crashes: int, status: str, now: float, error: ExecutionError, event: Event) -> None:
        """Have the row of an interrupted event written by the next :meth:`write_interruptions`."""
        has_ended = status == EventStatus.FAILED
        attempt = event.execution.attempt
        change = Change(
            seq=row.seq,
            status=status,
            attempt=attempt,
            due=None,
            started=row.started if has_ended else None,
            finished=now if has_ended else None,
            outcome=encode_outcome(EventStatus.FAILED, None, error, Unset) if has_ended else None,
            attempts=encode_attempts(event.execution.attempts),
        )
        self._changes.append((change, crashes))
        if self._audit:
            self._steps.append(Step(row.seq, now, status, attempt, one_line(error)))
