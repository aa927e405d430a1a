"""
A journal whose lines are known by something else than this run asks for is changed before the run begins.

Versions up to 0.1 knew lines by their number, and ``--id`` may be given in one run and left out in the next. The
journal has the record of each line, so the new key of the line can be found.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from lionpride_exec._base.line_keys import LINE_PREFIX
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._journal.offline import change_keys
from lionpride_exec._journal.reader import JournalReader
from lionpride_exec.errors import JournalError

from .line_identity import Lines, kind_of, line_key
from .stored_results import is_redacted, place_of

if TYPE_CHECKING:
    from pathlib import Path

    from .line_identity import Identity

ROWS = 1000


def know_lines_by(journal: Path, identity: Identity) -> None:
    """
    Have the lines of a journal be known by an identity, if they are known by something else. Blocks.

    O(number of events in the file). All keys are changed, or none.

    Raises:
        UsageError: A key cannot be found, or the journal is in use or cannot be written.
    """
    if not journal.is_file() or _kind(journal) in {None, identity.kind}:
        return
    lines = Lines(identity)

    def new_key(event_id: bytes, key: str, event: bytes) -> str:
        """Return the key of a line, from the event that was made of the line."""
        number, record = place_of(event_id, event)
        old = line_key(key)
        assert old is not None
        return old if number is None else lines.key_of(_whole(record, event), number)

    try:
        change_keys(journal, LINE_PREFIX, new_key)
    except BadLineError as exc:
        by = "their content" if identity.field is None else f"--id {identity.field}"
        raise UsageError(
            f"the lines of {journal} are known by something else, and cannot be known by {by}: {exc}"
        ) from exc
    except (JournalError, msgspec.MsgspecError) as exc:
        raise UsageError(str(exc)) from exc


def _kind(journal: Path) -> str | None:
    """Return what the lines of a journal are known by. None if it has no lines, or is no journal."""
    with suppress(JournalError), JournalReader(journal) as reader:
        seq = 0
        while entries := reader.entries(seq, ROWS):
            for _, _, stored, _ in entries:
                key = line_key(stored)
                if key is not None:
                    return kind_of(key)
            seq = entries[-1][0]
    return None  # the start of the run tells what is wrong with the file


def _whole(record: bytes, event: bytes) -> bytes:
    """Return the record of a stored event, unless stars stand for a part of the record."""
    if is_redacted(event):
        raise BadLineError("records in it are redacted")
    return record
