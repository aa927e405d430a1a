"""``lionpride-exec export``: the events of a journal as JSON lines."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lionpride_exec._cli.errors import OutputError, UsageError
from lionpride_exec._cli.run.options import check_not_an_option
from lionpride_exec._cli.run.output import open_output
from lionpride_exec._cli.run.result_shapes import misnamed_file
from lionpride_exec._cli.streams import say
from lionpride_exec._journal.file_lock import is_part_of
from lionpride_exec._journal.row_records import encode, event_record

from .records import reading

if TYPE_CHECKING:
    from collections.abc import Collection, Generator


def export_events(
    journal: str, statuses: Collection[str], tags: Collection[str], output: str, *, overwrite: bool = False
) -> int:
    """
    Write events as JSON lines, in order of arrival. Return the exit status. Memory does not grow with the journal.

    Args:
        journal: Path of the journal.
        statuses: Only events with one of these statuses. If empty, all.
        tags: Only events of the classes with these tags. If empty, all.
        output: A path, or "-".
        overwrite: Whether a file that is not empty is replaced.

    Raises:
        UsageError: The journal or the output cannot be opened, or the output is not empty or a part of the journal.
        JournalError: The journal cannot be read.
        OutputError: The output cannot be written.
    """
    check_not_an_option("--output", output)
    if (warning := misnamed_file(output, "JSON lines", "run --output-format csv writes a table")) is not None:
        say(warning)
    with reading(journal) as reader:
        rows = iter(reader.events(statuses or None, tags or None))
        first = list(islice(rows, 1))  # before the output is replaced: the journal may be unreadable
        with writing(output, Path(journal), overwrite=overwrite) as file:
            for row in chain(first, rows):
                file.write(encode(event_record(row)) + b"\n")
    return 0


@contextmanager
def writing(output: str, journal: Path, *, overwrite: bool) -> Generator[BinaryIO]:
    """
    Open a file for what a command makes of a journal.

    Args:
        output: A path, or "-" for standard output.
        journal: The path of the journal.
        overwrite: Whether a file that is not empty is replaced.

    Raises:
        UsageError: The file cannot be opened, is not empty, or is a part of the journal.
        OutputError: The file cannot be written.
    """
    if output == "-":
        yield sys.stdout.buffer
        return
    if is_part_of(journal, output):
        raise UsageError(f"--output {output} is part of the journal")
    opened = open_output(output, [journal.stat()], overwrite=overwrite)
    try:
        with os.fdopen(opened.fd, "wb") as file:
            if opened.replaces:
                file.truncate(0)
            yield file
    except OSError as exc:
        raise OutputError(f"cannot write {output}: {exc.strerror or exc}") from exc
