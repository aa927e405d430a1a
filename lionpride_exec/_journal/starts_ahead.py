"""
Starts that a strict journal writes before the events begin, in the commit with the ends whose slots they get.

A strict journal has the start of an event on disk before the event runs, and its end before anybody can see the end.
Without this part, an event holds its slot during two commits, one after the other. With this part, the commit of some
ends also has the starts of as many events: those that come next. When that commit is done, the slots are free, and
these events begin at once.

In memory nothing begins ahead. If another event takes the slot, or nothing may start any more, the next commit puts the
event back in the file: PENDING, "not begun". If the process dies before, the event counts as interrupted, like each
event that ran. So only events that then run again are started ahead (``on_crash="rerun"``), no events that a crash has
left open before, which the next one might end, and only while no limit counts starts.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from lionpride_exec._status import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from lionpride_exec._events.event import Event

    from .host import JournalHost
    from .row_encoder import RowEncoder
    from .rows import AuditRecord, RowUpdate


class StartWritten(Enum):
    """Whether the start of an event is in the file by the time the event begins."""

    NO = auto()
    ON_THE_WAY = auto()  # the commit in progress has it: the event has to wait for its own commit nevertheless
    ON_DISK = auto()


class StartsAhead:
    """
    The events whose start is written and that have not begun.

    Args:
        host: The executor, which knows what comes next.
        encoder: Makes the rows.
        pending: The numbers of the rows of which something is not on disk yet. Their events are not started ahead.
        record: Has a row written by the next commit.
    """

    def __init__(
        self,
        host: JournalHost,
        encoder: RowEncoder,
        pending: Container[int],
        record: Callable[[RowUpdate, AuditRecord | None], None],
    ) -> None:
        self._host = host
        self._encoder = encoder
        self._pending = pending
        self._record = record
        self._on_disk: dict[int, Event] = {}  # by the number of the row
        self._on_the_way: dict[int, Event] = {}  # likewise; in a commit that has not succeeded yet
        self._ending: set[int] = set()  # events with a recorded end that they do not know yet: each holds a slot

    def add_end(self, seq: int) -> None:
        """Learn that the end of a running event is recorded. The slot is free once the event has been told."""
        self._ending.add(seq)

    def told(self, seq: int) -> None:
        """Learn that an event has been told that it has ended."""
        self._ending.discard(seq)

    def has_written(self, seq: int) -> bool:
        """Return whether the start of an event is on disk already."""
        return seq in self._on_disk

    def begin(self, seq: int) -> StartWritten:
        """Learn that an event begins now. Return whether its start was written ahead."""
        if self._on_disk and self._on_disk.pop(seq, None) is not None:
            return StartWritten.ON_DISK
        if self._on_the_way and self._on_the_way.pop(seq, None) is not None:
            return StartWritten.ON_THE_WAY
        return StartWritten.NO

    def choose(self) -> None:
        """
        Record the starts of the events that get the slots of the events whose end the next commit has.

        An event that was chosen before and is not among them is put back, as far as it still waits.
        """
        before = self._on_disk | self._on_the_way
        if not (self._ending or before):
            return
        coming = {event._seq: event for event in self._host.next_to_start(len(self._ending)) if self._may_start(event)}
        for seq, event in before.items():
            if seq not in coming and event._seq == seq and self._may_start(event):
                self._record(*self._encoder.encode_not_begun(event))
        for seq, event in coming.items():
            if seq not in before:
                self._record(*self._encoder.encode_start_ahead(event))
        self._on_disk = {seq: event for seq, event in self._on_disk.items() if seq in coming}
        self._on_the_way = {seq: event for seq, event in coming.items() if seq not in self._on_disk}

    def committed(self) -> None:
        """Learn that the last commit is on disk."""
        if self._on_the_way:
            self._on_disk |= self._on_the_way
            self._on_the_way = {}

    def _may_start(self, event: Event) -> bool:
        """Return whether an event waits, its row is on disk, and it runs again after a crash that it does not see."""
        return (
            event.execution.status is PENDING
            and event._seq > 0
            and event._seq not in self._pending
            and event._kind.on_crash == "rerun"
            and event._kind.max_attempts > 1
            and not event._is_suspect  # crashes may have interrupted it as often as they may
        )
