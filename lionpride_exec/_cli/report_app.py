"""The arguments of ``lionpride-exec report``, which needs the extra ``journal`` when it is run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .guard import JOURNAL, guarded
from .parameters import DASH, FLAG, REPEATED


@guarded(JOURNAL)
def report(
    journal: str,
    /,
    *,
    output: Annotated[str, Parameter(name=["--output", "-o"]), DASH] = "-",
    title: str | None = None,
    top: int = 20,
    since: str | None = None,
    until: str | None = None,
    limit: Annotated[tuple[str, ...], REPEATED] = (),
    zoom: Annotated[bool, FLAG] = False,
    json: Annotated[bool, FLAG] = False,
    overwrite: Annotated[bool, FLAG] = False,
) -> int:
    """
    Write how a run goes, or went, as one HTML page with charts, for people.

    Args:
        journal: File of the journal; a run may be writing it.
        output: File for the page; - is standard output. A file that is not empty is refused.
        title: Heading of the page. Default: the name of the journal.
        top: How many events or errors to show of each kind.
        since: Only what happened since then: a length of time such as 2h, or a time such as 2026-11-30T12:00Z.
        until: Only what happened before then, likewise.
        limit: A rate to compare the starts with, such as 500/60s, beside those that the journal knows. Repeatable.
        zoom: Put each run into the page, with a script to zoom into them.
        json: Write the numbers as one JSON object, and no page.
        overwrite: Replace what the file for the page holds.
    """
    from .journal.report import ReportOptions, write_report  # noqa: PLC0415  the extra may not be installed

    options = ReportOptions(title=title, top=top, since=since, until=until, limits=limit, zoom=zoom, as_json=json)
    return write_report(journal, output, options, overwrite=overwrite)
