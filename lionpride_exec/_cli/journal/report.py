"""``lionpride-exec report``: a journal as a page for people."""

from __future__ import annotations

from pathlib import Path

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.run.options import check_not_an_option
from lionpride_exec._faces.report import page_text

from .export import writing
from .records import reading


def write_report(journal: str, output: str, top: int, *, overwrite: bool = False) -> int:
    """
    Write the page of a journal. Return the exit status.

    Args:
        journal: Path of the journal.
        output: A path, or "-".
        top: How many events or errors to show of each kind.
        overwrite: Whether a file that is not empty is replaced.

    Raises:
        UsageError: ``top`` is negative, the journal or the output cannot be opened, or the output is not empty or a
            part of the journal.
        JournalError: The journal cannot be read.
        OutputError: The output cannot be written.
    """
    check_not_an_option("--output", output)
    if top < 0:
        raise UsageError(f"--top must be 0 or more, got {top}")
    with reading(journal) as reader:
        page = page_text(reader, top)
    with writing(output, Path(journal), overwrite=overwrite) as file:
        file.write(page.encode())
    return 0
