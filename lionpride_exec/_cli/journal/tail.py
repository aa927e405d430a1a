"""``lionpride-exec tail``: show the last transitions, and new ones as they come."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.terminal import write_json, write_line
from lionpride_exec._journal.row_records import encode, iso, transition_record

from .records import reading, short_id

if TYPE_CHECKING:
    from lionpride_exec._journal.reader import Transition

PAUSE = 0.5  # seconds between two looks
CHUNK = 1000


def tail_journal(journal: str, lines: int, *, follow: bool, as_json: bool) -> int:
    """
    Write the last transitions. Return the exit status.

    Args:
        journal: Path of the journal.
        lines: How many transitions to write.
        follow: Whether to go on with new transitions until interrupted.
        as_json: Whether to write JSON lines.

    Raises:
        UsageError: ``lines`` is negative, or the journal cannot be opened.
        JournalError: The journal cannot be read.
    """
    if lines < 0:
        raise UsageError(f"--lines must be 0 or more, got {lines}")
    with reading(journal) as reader:
        seen = reader.last_n()
        last = reader.last_transitions(lines)
        _write(last, as_json=as_json)
        seen = last[-1].n if last else seen
        while follow:
            time.sleep(PAUSE)  # another process writes; nothing else is to be done here
            seen = min(seen, reader.last_n())  # if the last transitions were deleted, their numbers are used again
            while steps := reader.transitions(seen, CHUNK):
                _write(steps, as_json=as_json)
                seen = steps[-1].n
    return 0


def _write(steps: list[Transition], *, as_json: bool) -> None:
    for step in steps:
        if as_json:
            write_json(encode(transition_record(step)))
        else:
            write_line(_line(step))
    sys.stdout.flush()


def _line(step: Transition) -> str:
    parts = [iso(step.at) or "?", f"#{step.seq}", short_id(step.id), step.tag or "?", f"{step.status} ({step.attempt})"]
    return "  ".join(parts if step.error is None else [*parts, str(step.error)])
