"""``lionpride-exec retry``: put events that have ended back, for the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.terminal import write_line
from lionpride_exec._journal.offline import requeue_ended
from lionpride_exec._journal.schema import HELD
from lionpride_exec._status import EventStatus

from .records import reading

if TYPE_CHECKING:
    from collections.abc import Collection

ENDED = tuple(status.value for status in EventStatus if status.is_terminal)


def requeue_events(journal: str, statuses: Collection[str], texts: Collection[str]) -> int:
    """
    Put events back to pending. Write their number, and the number of skipped events that come after them.

    Return the exit status: 1 if one of ``texts`` was not among them.

    Args:
        journal: Path of the journal. No run may have it open.
        statuses: Only events with one of these statuses. If empty, ``texts`` are put back whatever their status is,
            unless they are open.
        texts: Only these events, named as for ``show``. If empty, all events with the statuses.

    Raises:
        UsageError: Nothing was chosen, or all completed events were, or the journal cannot be opened.
        NotFoundError: No event has one of ``texts``. Nothing has changed.
        JournalLockedError: A run has the journal open. Nothing has changed.
        JournalError: The journal cannot be read or written.
    """
    if not (statuses or texts):
        raise UsageError("which events? give --status, or --id, or both")
    if EventStatus.COMPLETED in statuses and not texts:
        raise UsageError("--status completed needs --id: completed events are put back only by name")
    with reading(journal) as reader:  # it refuses a file that does not exist, which requeue_ended() would make
        seqs = {reader.find(text).seq for text in texts}
    number, skipped = requeue_ended(journal, tuple(statuses) or (*ENDED, HELD), seqs if texts else None)
    write_line(f"{number:,} event{' is' if number == 1 else 's are'} pending again")
    if skipped:
        more = "1 skipped event comes" if skipped == 1 else f"{skipped:,} skipped events come"
        write_line(f"{more} after {'it' if number == 1 else 'them'}: --status skipped puts those back too")
    return 0 if number >= len(seqs) else 1
