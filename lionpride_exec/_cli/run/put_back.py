"""``--resume-failed``: events that did not complete, and whose lines INPUT has, are pending again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._journal.offline import requeue_ended
from lionpride_exec._journal.reader import JournalReader
from lionpride_exec._status import FAILURES
from lionpride_exec.errors import JournalError

from .known_events import ROWS, Known
from .line_identity import line_key

if TYPE_CHECKING:
    from pathlib import Path

    from .input_files import InputFiles
    from .line_identity import Identity
    from .lines import JobMaker


class PutBack(NamedTuple):
    """
    Events that are pending again.

    Attributes:
        events: How many there are.
        keys: What their lines are known by.
    """

    events: int = 0
    keys: frozenset[str] = frozenset()


def put_back(journal: Path, source: InputFiles, maker: JobMaker, identity: Identity) -> PutBack:
    """
    Have events that did not complete be pending again, if regular files of INPUT have their lines. Blocks.

    O(number of events in the file, and of lines).

    Args:
        journal: Path of the journal. No executor has it open.
        source: INPUT. Its place stays.
        maker: Reads the lines.
        identity: What lines are known by.

    Raises:
        UsageError: INPUT or the journal cannot be read, or the journal is in use or cannot be written. Nothing has
            changed.
    """
    if not (journal.is_file() and journal.stat().st_size):
        return PutBack()
    try:
        failed = _failed(journal, source, maker, identity)
        if not failed:
            return PutBack()
        return PutBack(requeue_ended(journal, FAILURES, failed).events, frozenset(failed.values()))
    except JournalError as exc:
        raise UsageError(str(exc)) from exc
    except OSError as exc:
        raise UsageError(f"cannot read {source.name}: {exc.strerror or exc}") from exc


def _failed(journal: Path, source: InputFiles, maker: JobMaker, identity: Identity) -> dict[int, str]:
    """Return the keys of the events that did not complete, by their numbers."""
    known, found, seq = Known(), dict[int, str](), 0
    with JournalReader(journal) as reader:
        for step in (known.read_journal(reader), known.read_input(source, maker, identity)):
            for _ in step:
                pass
        while entries := reader.entries(seq, ROWS):
            for seq, _, stored, status in entries:
                key = line_key(stored)
                if key is not None and status in FAILURES and not known.is_missing(key):
                    found[seq] = key
    return found
