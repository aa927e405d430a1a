"""``lionpride-exec retry``: events that have ended are run again by the next run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.terminal import write_line
from lionpride_exec._journal.schema import HELD
from lionpride_exec._status import EventStatus

from .records import reading

if TYPE_CHECKING:
    from collections.abc import Collection

ENDED = tuple(status.value for status in EventStatus if status.is_terminal)


def requeue_events(journal: str, statuses: Collection[str], texts: Collection[str]) -> int:
    """
    Put events back to pending and tell how many; give the exit status: 1 if one of ``texts`` was not among them.

    Args:
        journal: Its file; no run may have it open.
        statuses: Of which ones; empty, with ``texts``: whatever they are, unless they are open.
        texts: Which ones, as for ``show``; empty: all.

    Raises:
        UsageError: Nothing was chosen, all that completed was, or the journal cannot be opened.
        NotFoundError: One of ``texts`` is no event. Nothing has changed.
        JournalLockedError: A run goes on. Nothing has changed.
        JournalError: It cannot be read or written.
    """
    from lionpride_exec._journal.store import Store  # noqa: PLC0415  needs the extra
    from lionpride_exec._journal.transient_errors import patiently  # noqa: PLC0415  likewise

    if not (statuses or texts):
        raise UsageError("which events? give --status, or --id, or both")
    if EventStatus.COMPLETED in statuses and not texts:
        raise UsageError("--status completed needs --id: what has completed is not run again by the thousand")
    with reading(journal) as reader:  # Store would make a file that does not exist
        seqs = frozenset(reader.find(text).seq for text in texts)
    store = Store(Path(journal))
    patiently(store.open)
    try:
        number = patiently(lambda: store.requeue(tuple(statuses) or (*ENDED, HELD), seqs if texts else None))
    finally:
        store.close()
    write_line(f"{number:,} event{' is' if number == 1 else 's are'} pending again")
    return 0 if number >= len(seqs) else 1
