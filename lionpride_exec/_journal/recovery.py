"""
Recovery: which open rows become events again, and how.

Rows are read in order of arrival. The events that an event comes after have arrived before it, so it is known what
became of them: restored, ended, or left in the file. An event that comes after one that is left is left too.

An event that ran when the process died goes through the same transition as any other interruption. Its class decides
whether the event runs again, fails, or is held.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs

from lionpride_exec._base.sentinel import Unset
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._status import HELD, EventStatus
from lionpride_exec.errors import ExecutionError

from .any_end import read_any_ends
from .codec import Unreadable
from .expiries import read_expiries
from .outcome_codec import encode_attempts, encode_outcome, from_seconds, one_line
from .rows import AuditRecord, Row, RowUpdate, unpack_ids
from .schema import LETTER_OF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lionpride_exec._events.event import Event

    from .codec import Codec
    from .host import JournalHost
    from .store import Store


@attrs.frozen
class Restored:
    """
    An event that has been restored.

    Attributes:
        seq: The number of its row.
        event: The event, which is PENDING.
        priority: The priority that was given. None for the default.
        due: Seconds since 1970 before which the event does not start. None if it may start at once.
        after: Restored events that it waits for.
        lost: An event that has to complete first, and will not. None if there is none.
        key: The key of the event, as the file has it. None if it has none.
        expires: Seconds since 1970 by which the event ends if it has not begun. None if it waits.
        comes_after: All events of ``append(after=)``, in this order.
        any_end: All events of ``append(after_any_end=)``: those that may end in any way.
        left_before: The events that it comes after, and that stay in the file: held events, and what comes after these.
    """

    seq: int
    event: Event
    priority: float | None
    due: float | None
    after: list[UUID]
    lost: UUID | None
    key: str | None
    expires: float | None = None
    comes_after: tuple[UUID, ...] = ()
    any_end: frozenset[UUID] = frozenset()
    left_before: frozenset[UUID] = frozenset()


# Why an event stays in the file that comes after another one which does.
AFTER_LEFT: Final = "after what is left"


def held_event(row: Row, event: Event) -> Restored:
    """Return a held event as ``release()`` and ``cancel()`` take it in. It has begun, so it waits for no other one."""
    return Restored(row.seq, event, row.priority, None, [], None, row.key)


class Restorer:
    """
    Restores the open rows of a file.

    Args:
        store: The open file.
        codec: For its events.
        host: The executor.
        audit: Whether interruptions get a line in the audit trail.
    """

    def __init__(self, store: Store, codec: Codec, host: JournalHost, *, audit: bool) -> None:
        self.left: Counter[str] = Counter()  # rows that stay in the file as they are, by reason
        self.here: list[tuple[Row, Event]] = []  # rows whose event is in memory
        # Events that stay in the file until somebody has decided, if they can be read here: those that are held, and
        # those that come after these. In order of arrival.
        self.kept: dict[UUID, Restored] = {}
        self._store = store
        self._codec = codec
        self._host = host
        self._audit = audit
        self._left_ids: set[bytes] = set()  # of the rows counted in `left`
        self._expiries: dict[int, float] = {}  # of the rows that were read last, by number
        self._any_ends: dict[int, frozenset[bytes]] = {}  # likewise: after which events, which may end in any way
        self._seen = 0  # the number of the last row that was read
        self._changes: list[tuple[RowUpdate, int]] = []  # not written yet, with the number of crashes
        self._steps: list[AuditRecord] = []  # not written yet

    def next_rows(self, limit: int) -> list[Row]:
        """Return the next rows. Blocks."""
        rows = self._store.open_rows(self._seen, limit)
        if rows:
            self._seen = rows[-1].seq
        return rows

    def facts_of(self, rows: Sequence[Row]) -> dict[bytes, str]:
        """Return the statuses of the events that these rows come after, if on disk. Read the other tables. Blocks."""
        first, last = rows[0].seq, rows[-1].seq
        self._expiries = self._store.read(lambda connection: read_expiries(connection, first, last))
        self._any_ends = self._store.read(lambda connection: read_any_ends(connection, first, last))
        wanted = {one for row in rows for one in unpack_ids(row.after)}
        return self._store.statuses_by_id(sorted(wanted)) if wanted else {}

    def write_interruptions(self) -> None:
        """Write what became of the events that were interrupted. Blocks."""
        if self._changes:
            self._store.write_interruptions(self._changes, self._steps)
            self._changes, self._steps = [], []

    def restore(self, row: Row, statuses: Mapping[bytes, str]) -> Restored | None:
        """Return the event of a row. None if it is in memory, has ended by the interruption, or is left in the file."""
        if row.status != HELD and (left := self._left_ids.intersection(unpack_ids(row.after))):
            return self._restore_after(row, statuses, frozenset(UUID(bytes=one) for one in left))
        try:
            event_id = UUID(bytes=row.id)
            here = self._host.find_in_memory(event_id) or self._host.find_ended_while_closed(event_id)
            if here is not None:
                self.here.append((row, here))
                return None
            if row.status == HELD:
                self._leave(row, HELD)
                self._keep_held(row)
                return None
            return self._decode(row, statuses)
        except Exception as exc:  # noqa: BLE001  a row that cannot be read does not stop the others
            self._host.reports.unread(row.seq, exc)
            self._leave(row, "unreadable")
            return None

    def _decode(self, row: Row, statuses: Mapping[bytes, str]) -> Restored | None:
        event = self._codec.decode(row)
        if not self._host.accepts(event):
            raise Unreadable(f"the executor does not take a {type(event).__name__}")
        restored = self._restored(row, event, statuses)
        if row.status == EventStatus.PROCESSING and not self._decide_interrupted(row, event):
            return None
        return restored

    def _restored(self, row: Row, event: Event, statuses: Mapping[bytes, str]) -> Restored:
        after, lost = self._dependencies(row, statuses)
        any_end = self._any_ends.get(row.seq, frozenset())
        comes_after = tuple(UUID(bytes=one) for one in unpack_ids(row.after) if one not in any_end)
        return Restored(
            row.seq, event, row.priority, row.due, after, lost, row.key, self._expiries.get(row.seq), comes_after,
            frozenset(UUID(bytes=one) for one in any_end),
        )  # fmt: skip

    def _keep_held(self, row: Row) -> None:
        """Keep the event of a held row at hand, unless it cannot be read here."""
        try:
            event = self._codec.decode(row._replace(status=EventStatus.PENDING.value))
        except Exception:  # noqa: BLE001  as in restore()
            return
        if self._host.accepts(event):
            self.kept[event.id] = held_event(row, event)

    def _restore_after(self, row: Row, statuses: Mapping[bytes, str], left: frozenset[UUID]) -> Restored | None:
        """
        Leave an event that comes after events which stay, and keep it at hand if these are kept.

        Return the event if it ends now, whatever they do: another one before it has not completed.
        """
        restored = self._readable(row, statuses)
        if restored is not None and restored.lost is not None:
            return restored
        self._leave(row, AFTER_LEFT)
        if restored is not None and left <= self.kept.keys():
            after = [*restored.after, *left]
            self.kept[restored.event.id] = attrs.evolve(restored, after=after, left_before=left)
        return None

    def _readable(self, row: Row, statuses: Mapping[bytes, str]) -> Restored | None:
        """Return a pending event. None if it cannot be read here, or is in memory."""
        if row.status != EventStatus.PENDING:
            return None
        try:
            event = self._codec.decode(row)
        except Exception:  # noqa: BLE001  as in restore()
            return None
        is_new = self._host.accepts(event) and self._host.find_in_memory(event.id) is None
        return self._restored(row, event, statuses) if is_new else None

    def _leave(self, row: Row, why: str) -> None:
        self.left[why] += 1
        self._left_ids.add(row.id)

    def _dependencies(self, row: Row, statuses: Mapping[bytes, str]) -> tuple[list[UUID], UUID | None]:
        after: list[UUID] = []
        any_end = self._any_ends.get(row.seq, ())
        for one in unpack_ids(row.after):
            if statuses.get(one) == EventStatus.COMPLETED or one in self._left_ids:
                continue
            if self._host.find_in_memory(UUID(bytes=one)) is not None:
                after.append(UUID(bytes=one))
            elif one not in any_end and not self._has_completed_late(one):  # all that are not in memory have ended
                return after, UUID(bytes=one)
        return after, None

    def _has_completed_late(self, one: bytes) -> bool:
        event = self._host.find_ended_while_closed(UUID(bytes=one))
        return event is not None and event.execution.status is EventStatus.COMPLETED

    def _decide_interrupted(self, row: Row, event: Event) -> bool:
        """Decide what becomes of an event that ran when the process died. Return whether it runs again."""
        options, now = type(event)._kind, wall_clock.seconds()
        crashes = row.crashes + 1
        times = "" if crashes == 1 else f", {crashes} times by now"
        error = ExecutionError(f"interrupted: the process ended while it ran{times}")
        runs_again = options.on_crash == "rerun" and crashes < options.max_attempts
        target = EventStatus.PENDING if runs_again or options.on_crash == "hold" else EventStatus.FAILED
        event._transition(target, error=error, interrupted=target is EventStatus.PENDING, at=from_seconds(now))
        if target is EventStatus.FAILED:
            self._host.reports.given_up(event, crashes)
            self._record(row, crashes, target.value, now, error, event)
            return False
        self._record(row, crashes, target.value if runs_again else HELD, now, error, event)
        if not runs_again:
            self._host.reports.held(event, crashes)
            self._leave(row, HELD)
            self.kept[event.id] = held_event(row, event)
        return runs_again

    def _record(self, row: Row, crashes: int, status: str, now: float, error: ExecutionError, event: Event) -> None:
        """Have the row of an interrupted event written by the next :meth:`write_interruptions`."""
        has_ended = status == EventStatus.FAILED
        attempt = event.execution.attempt
        change = RowUpdate(
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
            self._steps.append(AuditRecord(row.seq, now, LETTER_OF[status], attempt, one_line(error)))
