"""
Failures that nobody has looked at: they are reported once, at the end of a lifetime.

A failure is data and raises nothing, so a program that asks for no result would never learn of it. Each failed event is
counted, and the event is marked with its count. Looking at the event removes the mark. Both steps are O(1), and a
success costs nothing. No event is kept for the report except the first that has left the executor.

With a journal, an event that has left can come back as another object, read from the file. To look at either object is
to look at the event. So the numbers of the rows of such events are kept, and an object that is read gets a mark
too.
"""

from __future__ import annotations

import logging
from traceback import format_exception
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._base.redaction import NO_SECRETS, mask, secrets_of
from lionpride_exec._base.tracebacks import log_info
from lionpride_exec._events.log_fields import log_fields
from lionpride_exec._status import FAILURES, EventStatus
from lionpride_exec.errors import LionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lionpride_exec._events.event import Event

logger = logging.getLogger("lionpride_exec")

# The word for each of FAILURES, in the order of the report.
_WORDS = {EventStatus.FAILED: "failed", EventStatus.CANCELLED: "timed out", EventStatus.ABORTED: "aborted"}

# How many rows of a journal share one int.
BLOCK = 1024


def failure_of(event: Event, status: EventStatus) -> BaseException | None:
    """
    Return the error of an event that ends with a status, if that is a failure which somebody should look at.

    None for a cancellation from outside: only an event that ran into its own timeout counts as CANCELLED here.
    """
    error = error_in(event.execution.error)
    is_from_outside = status is EventStatus.CANCELLED and not issubclass(type(error), LionTimeoutError)
    return error if status in FAILURES and not is_from_outside else None


def look_at(event: Event) -> None:
    """Note that somebody has looked at the failure of an event, if it has failed. O(1)."""
    if event._unseen is not None:
        event._unseen.look_at(event)


class Rows:
    """
    A set of numbers of rows. Each step is O(1).

    The rows of a block share one int, a bit for each. A row takes 0.2 bytes if all rows are in the set, and 21 if each
    hundredth is. In a set of ints it takes 70.
    """

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}

    def __contains__(self, row: int) -> bool:
        return bool(self._blocks.get(row // BLOCK, 0) >> row % BLOCK & 1)

    def add(self, row: int) -> None:
        """Add a number."""
        self._blocks[row // BLOCK] = self._blocks.get(row // BLOCK, 0) | 1 << row % BLOCK

    def discard(self, row: int) -> None:
        """Take a number out, if it is in the set."""
        rest = self._blocks.get(row // BLOCK, 0) & ~(1 << row % BLOCK)
        if rest:
            self._blocks[row // BLOCK] = rest
        else:
            self._blocks.pop(row // BLOCK, None)


class Count:
    """
    The events of one status that nobody has looked at.

    Attributes:
        number: The number of these events.
        rows: The rows of those that have left the executor, if they are in a journal.
        gone: The first of them that has left the executor. None if there is none, or if it was looked at meanwhile.
    """

    __slots__ = ("_gone", "number", "rows")

    def __init__(self) -> None:
        self.number = 0
        self.rows = Rows()
        self._gone: Event | None = None

    @property
    def gone(self) -> Event | None:
        """The first of these events that has left the executor."""
        return self._gone if self._gone is not None and self._has(self._gone) else None

    def note(self, event: Event) -> None:
        """Count an event, and mark it."""
        self.number += 1
        event._set("_unseen", self)

    def look_at(self, event: Any) -> None:
        """Subtract an event that was looked at, and remove its mark."""
        if self._has(event):
            self.number -= 1
            self.rows.discard(event._seq)
        event._set("_unseen", None)

    def look_at_row(self, row: int) -> None:
        """Subtract an event that was looked at in an object read from its row, unless it was looked at before."""
        if row in self.rows:
            self.number -= 1
            self.rows.discard(row)

    def leave(self, event: Event) -> None:
        """Learn that an event leaves the executor. Keep it for the report, if no earlier one is kept."""
        if event._seq:
            self.rows.add(event._seq)
        if self.gone is None:
            self._gone = event

    def _has(self, event: Event) -> bool:
        """Return whether neither this event nor another object of it was looked at."""
        has_no_other = event._host is not None or not event._seq  # it is still here, or has no row
        return event._unseen is self and (has_no_other or event._seq in self.rows)


@attrs.frozen(eq=False)
class ReadMark:
    """The mark of an object that was read from the row of an event that nobody has looked at."""

    _count: Count
    _row: int

    def look_at(self, event: Any) -> None:
        """Subtract the event, and remove this mark."""
        self._count.look_at_row(self._row)
        event._set("_unseen", None)

    def leave(self, event: Any) -> None:
        """Do nothing: this object was never in the executor."""


class UnseenFailures:
    """
    The failures of an executor that nobody has looked at.

    Args:
        executor: The name of the executor, for the log.

    Attributes:
        are_counted: False if nobody could look: in a process that only works for the clients of a cluster.
    """

    __slots__ = ("_counts", "_executor", "are_counted")

    def __init__(self, executor: str = "") -> None:
        self.are_counted = True
        self._executor = executor
        self._counts = {status: Count() for status in _WORDS}

    def note(self, event: Event, status: EventStatus) -> None:
        """Count an event that has ended FAILED, CANCELLED or ABORTED, if that is a failure."""
        error = failure_of(event, status)
        goes_on = issubclass(type(error), (KeyboardInterrupt, SystemExit))  # it is raised to the owner of the executor
        if error is not None and not goes_on and self.are_counted:
            self._counts[status].note(event)

    def was_read(self, event: Event, row: int) -> None:
        """Mark an object that was read from a row, if nobody has looked at the event yet."""
        count = self._counts.get(event.execution.status)
        if count is not None and row in count.rows:
            event._set("_unseen", ReadMark(count, row))

    def look_at_row(self, status: EventStatus, row: int) -> None:
        """Note that the failure of a row counts as looked at. Its event has left the executor."""
        count = self._counts.get(status)
        if count is not None:
            count.look_at_row(row)

    def look_at_all(self, status: EventStatus, events: Iterable[Event]) -> None:
        """Note that a caller was given the events in memory with a status."""
        count = self._counts.get(status)
        if count is not None and count.number:
            for event in events:
                mark = event._unseen
                if mark is not None and mark is count:
                    mark.look_at(event)

    def tell(self, events_of: Callable[[EventStatus], Iterable[Event]]) -> None:
        """
        Log a warning with the number of failures and the first traceback, if there are any. Then count from 0 again.

        Args:
            events_of: Returns the events of a status in the executor, in the order in which they ended.
        """
        counts = {status: count for status, count in self._counts.items() if count.number > 0}
        if not counts:
            return
        self._counts = {status: Count() for status in _WORDS}
        found = [first for status, count in counts.items() if (first := _first(count, events_of(status))) is not None]
        first = min(found, key=_end_of, default=None)
        error = None if first is None else first.execution.error
        secrets = NO_SECRETS if first is None else secrets_of(first)
        trace = ""
        known = error_in(error)
        if secrets and known is not None:
            trace, known = "\n" + mask("".join(format_exception(known)), secrets), None
        logger.warning(
            "nobody has looked at events that did not complete: %s%s%s",
            ", ".join(f"{count.number:,} {_WORDS[status]}" for status, count in counts.items()),
            "" if first is None else f"; the first is {type(first).__name__} {first.id}",
            trace,
            exc_info=None if known is None else log_info(known),
            extra=log_fields(self._executor, first, error_in(error))
            | {"lionpride.count": sum(count.number for count in counts.values())},
        )


def _first(count: Count, events: Iterable[Event]) -> Event | None:
    return count.gone or next((event for event in events if event._unseen is count), None)


def _end_of(event: Event) -> float:
    finished = event.execution.finished_at
    return float("inf") if finished is None else finished.timestamp()
