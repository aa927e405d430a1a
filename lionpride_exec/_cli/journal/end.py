"""``lionpride-exec cancel`` and ``lionpride-exec skip``: end events that have not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.wording import counted
from lionpride_exec._cli.streams import say
from lionpride_exec._cli.terminal import write_line
from lionpride_exec._journal.offline import end_open
from lionpride_exec._journal.schema import FINAL, HELD
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import EventCancelled, Skip

from .choice import has_ended
from .records import reading

if TYPE_CHECKING:
    from .choice import Choice

OPEN = (EventStatus.PENDING.value, EventStatus.PROCESSING.value, HELD)


def end_events(journal: str, choice: Choice, status: EventStatus, reason: str | None) -> int:
    """
    End events CANCELLED or SKIPPED, and write how many. Return the exit status: 1 if one that was named had ended.

    Args:
        journal: Path of the journal. No run may have it open.
        choice: The events. Held events are ended only if they are named, or their status is.
        status: The final status.
        reason: The reason, for their errors. None for the usual one.

    Raises:
        UsageError: Nothing was chosen, or the journal cannot be opened.
        NotFoundError: No event has one of the names. Nothing has changed.
        JournalLockedError: A run has the journal open. Nothing has changed.
        JournalError: The journal cannot be read or written.
    """
    choice.check()
    statuses = choice.statuses or (OPEN if choice.names else OPEN[:-1])
    with reading(journal) as reader:
        named = choice.named(reader)
        seqs = choice.numbers(reader, statuses)
    error = EventCancelled(reason) if status is EventStatus.CANCELLED else Skip(reason)
    write_line(f"{counted(end_open(journal, statuses, seqs, status, error), 'event')} {status.value}")
    late = [row for row in named.values() if row.status in FINAL]
    for row in late:
        say(has_ended(row))
    return 1 if late else 0
