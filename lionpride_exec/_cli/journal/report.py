"""``lionpride-exec report``: a journal as a page for people."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.run.options import check_not_an_option
from lionpride_exec._faces.as_json import report_record
from lionpride_exec._faces.page import encoded, page_of
from lionpride_exec._journal.row_records import encode
from lionpride_exec._journal.run_limits import RATE, SECONDS
from lionpride_exec._journal.run_report import read_report
from lionpride_exec._model.run_record import LimitStarts, Window

from .choice import parse_since
from .export import writing
from .records import reading

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen(kw_only=True)
class ReportOptions:
    """
    What is shown of a journal, and how.

    Attributes:
        title: The heading of the page. None for the name of the journal.
        top: How many events or errors to show of each kind.
        since: A length of time or a time, as :func:`parse_since` reads it. None for all.
        until: Likewise.
        limits: Rates, as ``500/60s``.
        zoom: Whether the runs are in the page.
        as_json: Whether to write the numbers instead of the page.
    """

    title: str | None = None
    top: int = 20
    since: str | None = None
    until: str | None = None
    limits: Sequence[str] = ()
    zoom: bool = False
    as_json: bool = False


def write_report(journal: str, output: str, options: ReportOptions, *, overwrite: bool = False) -> int:
    """
    Write the page of a journal. Return the exit status.

    Args:
        journal: Path of the journal.
        output: A path, or "-".
        options: What is shown.
        overwrite: Whether a file that is not empty is replaced.

    Raises:
        UsageError: An option cannot be read, the journal or the output cannot be opened, or the output is not empty or
            a part of the journal.
        JournalError: The journal cannot be read.
        OutputError: The output cannot be written.
    """
    check_not_an_option("--output", output)
    if options.top < 0:
        raise UsageError(f"--top must be 0 or more, got {options.top}")
    for name, is_given in (("--zoom", options.zoom), ("--title", options.title is not None)):
        if is_given and options.as_json:
            raise UsageError(f"{name} is for a page, and --json writes none")
    window, limits = _window(options), [_limit(text) for text in options.limits]
    with reading(journal) as reader:
        report = read_report(reader, top=options.top, window=window, limits=limits, keeps_runs=options.zoom)
    if options.as_json:
        text = encode(report_record(report)) + b"\n"
    else:
        text = encoded(page_of(report, zoom=options.zoom, title=options.title))
    with writing(output, Path(journal), overwrite=overwrite) as file:
        file.write(text)
    return 0


def _window(options: ReportOptions) -> Window:
    since, until = parse_since("--since", options.since), parse_since("--until", options.until)
    window = Window(-inf if since is None else since, inf if until is None else until)
    if window.since >= window.until:
        raise UsageError(f"--since must be before --until, got {options.since} and {options.until}")
    return window


def _limit(text: str) -> LimitStarts:
    found = RATE.fullmatch(text)
    per = 0.0 if found is None else float(found[3] or 1) * SECONDS[found[4]]
    if found is None or found[1] is not None or not per or not int(found[2]):
        raise UsageError(f"--limit must be AMOUNT/TIME, such as 500/60s (units {', '.join(SECONDS)}), got {text!r}")
    return LimitStarts(per, int(found[2]))
