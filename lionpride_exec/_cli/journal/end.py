"""``lionpride-exec cancel`` and ``lionpride-exec skip``: end events that have not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lionpride_exec._cli.terminal import write_ended
from lionpride_exec._executor.journal_commands import BEGUN, ENDED
from lionpride_exec._journal.command_forms import Ending, Result
from lionpride_exec._journal.offline import end_open
from lionpride_exec._journal.reader import id_text
from lionpride_exec._status import FINAL, HELD, OPEN, EventStatus
from lionpride_exec.errors import EventCancelled, Skip

from .owner import find_owner, tell_others
from .records import reading

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lionpride_exec._journal.rows import Row

    from .choice import Choice


def end_events(
    journal: str,
    verb: Literal["cancel", "skip"],
    choice: Choice,
    reason: str | None,
    seconds: float,
    *,
    unless_begun: bool = False,
) -> int:
    """
    End events CANCELLED or SKIPPED, and write how many.

    Return the exit status: 1 if an event that was named was left as it is, or if the process has not answered in time.

    Args:
        journal: Path of the journal. If a process runs it, that process ends the events.
        verb: How they end.
        choice: The events. Held events are ended only if they are named, or their status is.
        reason: The reason, for their errors. None for the usual one.
        seconds: For how long to wait for the answer of the process.
        unless_begun: Whether events that have begun are left as they are.

    Raises:
        UsageError: Nothing was chosen, or the journal cannot be opened.
        NotFoundError: No event has one of the names. Nothing has changed.
        JournalError: The journal cannot be read or written, or the process that runs it refuses or has ended.
    """
    choice.check()
    statuses = choice.statuses or (OPEN if choice.names else [status for status in OPEN if status != HELD])
    with reading(journal) as reader:
        named = choice.named(reader)
        owner = find_owner(journal, seconds)
        seqs = None if owner is not None else choice.numbers(reader, statuses, unless_begun=unless_begun)
    status = EventStatus.CANCELLED if verb == "cancel" else EventStatus.SKIPPED
    if owner is not None:
        result = owner.do(verb, Ending(**choice.form(named), reason=reason, unless_begun=unless_begun))
    else:
        error = EventCancelled(reason) if verb == "cancel" else Skip(reason)
        number = end_open(journal, statuses, seqs, status, error, unless_begun=unless_begun)
        result = Result(number, others=_left(named.values(), statuses, unless_begun=unless_begun))
    if result is None:
        return 1
    write_ended(result.events, result.running, status.value)
    tell_others(result, named)
    if not (result.events or result.running or named):
        process = None if owner is None else owner.process
        return choice.tell_none(journal, statuses, process, unless_begun=unless_begun)
    return 1 if result.others else 0


def _left(rows: Collection[Row], statuses: Sequence[str], *, unless_begun: bool) -> dict[str, str]:
    """Return why events that were named stay as they are, by their ids, from the rows before the change."""
    left = {id_text(row.id): ENDED for row in rows if row.status in FINAL}
    if unless_begun:
        left |= {id_text(row.id): BEGUN for row in rows if row.status in statuses and row.has_begun}
    return left
