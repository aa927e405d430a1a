"""``report()``: a journal as a page for people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lionpride_exec._events.stored_names import public_home
from lionpride_exec._journal import Journal
from lionpride_exec._journal.file_lock import is_part_of

if TYPE_CHECKING:
    from lionpride_exec._journal.reader import JournalReader


def report(journal: str | os.PathLike[str] | Journal, output: str | os.PathLike[str], *, top: int = 20) -> None:
    """
    Write what a journal knows of a run as one HTML file: ``report("run.db", "run.html")``.

    The file has counts, charts over time, errors by shape and the slowest events. It has no script and loads nothing. A
    process may run the journal meanwhile: neither waits for the other. The page shows the last commit. It has the
    errors and tags of events, and neither their data nor their keys nor their results.

    The call blocks for some seconds for a million events, and needs 100 bytes of memory for each. In a program with an
    event loop, call it by ``anyio.to_thread.run_sync()``.

    Args:
        journal: The journal, or the path of its file.
        output: The HTML file. It is replaced if it exists.
        top: How many events and errors of each kind are named; 0 or more.

    Raises:
        ConfigurationError: The extra ``journal`` is not installed.
        ValueError: ``top`` is negative, or ``output`` is a file of the journal.
        JournalError: The journal cannot be read. ``output`` is as it was.
        OSError: ``output`` cannot be written.
    """
    if top < 0:
        raise ValueError(f"top must be 0 or more, got {top}")
    path = (journal if isinstance(journal, Journal) else Journal(journal)).path
    if is_part_of(path, output):
        raise ValueError(f"output must not be a file of the journal, got {os.fspath(output)!r}")
    from lionpride_exec._journal.reader import JournalReader  # noqa: PLC0415  needs the extra

    with JournalReader(path) as reader:
        page = page_text(reader, top)
    Path(output).write_text(page, "utf-8")


def page_text(reader: JournalReader, top: int) -> str:
    """Return the page of a journal, as :func:`report` writes it."""
    from lionpride_exec._journal.run_report import read_report  # noqa: PLC0415  needs the extra

    from .page import page_of  # noqa: PLC0415  likewise

    return page_of(reader.path.name, read_report(reader, top=top))


report.__module__ = public_home(report.__module__)
