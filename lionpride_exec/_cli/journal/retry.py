"""``lionpride-exec retry``: run events again that have ended, now or in the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.terminal import write_line
from lionpride_exec._executor.journal_commands import NOT_CHOSEN, NOT_ENDED, other_status
from lionpride_exec._journal.command_forms import Chosen, Result
from lionpride_exec._journal.offline import requeue_ended
from lionpride_exec._journal.reader import id_text
from lionpride_exec._status import BAD, FINAL, HELD, EventStatus

from .owner import find_owner, tell_others
from .records import reading

if TYPE_CHECKING:
    from collections.abc import Collection

    from lionpride_exec._journal.rows import Row

    from .choice import Choice


def retry_events(journal: str, choice: Choice, seconds: float) -> int:
    """
    Put events back to pending. Write their number, and the number of skipped events that come after them.

    Return the exit status: 1 if an event that was named was not among them, if no error has the text that was given, or
    if the process has not answered in time.

    Args:
        journal: Path of the journal. If a process runs it, that process runs the events again.
        choice: The events. Events that are named are put back whatever their status is, unless they are open or
            ``choice`` has statuses. Otherwise events that completed are not put back.
        seconds: For how long to wait for the answer of the process.

    Raises:
        UsageError: Nothing was chosen, or all completed events were, or the journal cannot be opened.
        NotFoundError: No event has one of the names. Nothing has changed.
        JournalError: The journal cannot be read or written, or the process that runs it refuses or has ended.
    """
    choice.check()
    if EventStatus.COMPLETED in choice.statuses and not choice.names:
        raise UsageError("--status completed needs --id: completed events are put back only by name")
    statuses = choice.statuses or ((*FINAL, HELD) if choice.names else BAD)
    with reading(journal) as reader:  # it refuses a file that does not exist, which requeue_ended() would make
        named = choice.named(reader)
        choice = choice.resolved(reader, statuses)
        owner = find_owner(journal, seconds)
        seqs = None if owner is not None else choice.numbers(reader, statuses)
    if owner is not None:
        result = owner.do("retry", Chosen(**choice.form(named)))
    else:
        requeued = requeue_ended(journal, statuses, seqs)
        left = _left(named.values(), statuses, seqs)
        result = Result(requeued.events, skipped_after=requeued.skipped_after, others=left)
    if result is None:
        return 1
    _tell(result.events, result.skipped_after)
    tell_others(result, named)
    if not (result.events or named):
        return choice.tell_none(journal, statuses, None if owner is None else owner.process)
    return 0 if result.events >= len({row.seq for row in named.values()}) else 1


def _left(rows: Collection[Row], statuses: Collection[str], seqs: Collection[int] | None) -> dict[str, str]:
    """Return why events that were named stay as they are, by their ids, from the rows before the change."""
    left: dict[str, str] = {}
    for row in rows:
        if row.status not in {*FINAL, HELD}:
            left[id_text(row.id)] = NOT_ENDED
        elif row.status not in statuses:
            left[id_text(row.id)] = other_status(str(row.status), statuses)
        elif seqs is not None and row.seq not in seqs:
            left[id_text(row.id)] = NOT_CHOSEN
    return left


def _tell(number: int, skipped: int) -> None:
    write_line(f"{number:,} event{' is' if number == 1 else 's are'} pending again")
    if skipped:
        more = "1 skipped event comes" if skipped == 1 else f"{skipped:,} skipped events come"
        write_line(f"{more} after {'it' if number == 1 else 'them'}: --status skipped puts those back too")
