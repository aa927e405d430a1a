"""``lionpride-exec inspect``: show how a run goes, from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.error_shapes import group_words
from lionpride_exec._base.wording import shown_rate
from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.terminal import Table, write_json, write_line, write_table
from lionpride_exec._journal.file_lock import owner_of
from lionpride_exec._journal.row_records import encode, iso
from lionpride_exec.errors import JournalError

from .records import overview_record, reading, short_id

if TYPE_CHECKING:
    from lionpride_exec._journal.inbox_overview import StoredCommand
    from lionpride_exec._journal.overview import Overview

# Characters of arguments, and of a result, that are shown.
LONGEST: Final = 60


def inspect_journal(journal: str, top: int, *, as_json: bool) -> int:
    """
    Write an overview of a journal. Return the exit status.

    Args:
        journal: Path of the journal.
        top: How many events or errors to show of each kind.
        as_json: Whether to write one JSON object.

    Raises:
        UsageError: ``top`` is negative, or the journal cannot be opened.
        JournalError: The journal cannot be read.
    """
    if top < 0:
        raise UsageError(f"--top must be 0 or more, got {top}")
    with reading(journal) as reader:
        overview = reader.overview(top=top)
    process = _process_of(journal)
    if as_json:
        write_json(encode(overview_record(journal, overview) | {"process": process}))
        return 0
    _write_summary(journal, overview, process)
    tables = (_runs, _running, _schedules, _commands, _refusals, _slowest, _errors)
    for table in (make(overview) for make in tables):
        write_table(table)
    named = sum(group.count for group in overview.errors)
    if overview.other_errors and named:
        write_line(f"{overview.other_errors:,} more ended with other errors")
    return 0


def seconds(value: float | None) -> str:
    """Return a length of time as text for people."""
    if value is None:
        return "?"
    return f"{value:,.3f} s" if abs(value) < 100 else f"{value:,.0f} s"  # noqa: PLR2004  about three digits


def size(number: int) -> str:
    """Return a number of bytes as text for people."""
    value, units = float(number), ["bytes", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:  # noqa: PLR2004  decimal units
        value /= 1000
        units.pop(0)
    return f"{value:,.0f} {units[0]}" if units[0] == "bytes" else f"{value:,.1f} {units[0]}"


def _process_of(journal: str) -> str | None:
    """Return the number of the process that runs a journal. None if nobody does; "?" if that cannot be seen."""
    try:
        return owner_of(Path(journal).resolve())
    except JournalError:
        return "?"


def _write_summary(journal: str, overview: Overview, process: str | None) -> None:
    total = sum(overview.counts.values())
    write_line(
        f"{journal}: {total:,} events at {iso(overview.at)}; {size(overview.file_bytes)}, "
        f"log {size(overview.wal_bytes)}"
    )
    write_line("nobody runs it" if process is None else f"process {process} runs it")
    write_line("")
    write_table(Table("", ("status", "events"), [(name, f"{count:,}") for name, count in overview.counts.items()]))
    rate = "" if overview.rate is None else f"; {shown_rate(overview.rate)} from the first queued to the last finished"
    write_line(f"finished: {overview.last_minute:,} in the last 60 s, {overview.last_hour:,} in the last 3600 s{rate}")
    oldest = overview.oldest_pending
    if oldest is not None:
        name = f"#{oldest.seq} {short_id(oldest.id)} {oldest.tag or '?'}"
        queued = f"queued {iso(oldest.since) or '?'}, {seconds(oldest.age)} ago"
        write_line(f"oldest pending: {name}, {queued}, attempt {oldest.attempt}")
    if overview.submitted:
        write_line(f"submitted by other processes, not taken in yet: {overview.submitted:,}")
    write_line("")


def _runs(overview: Overview) -> Table:
    return Table("Runs", ("begun", "given"), [(iso(run.at) or "?", run.command_line) for run in overview.runs])


def _running(overview: Overview) -> Table:
    return Table(
        f"Running ({overview.counts['processing']:,})",
        ("#", "id", "tag", "attempt", "since", "for"),
        [
            (
                str(one.seq),
                short_id(one.id),
                one.tag or "?",
                str(one.attempt),
                iso(one.since) or "?",
                seconds(one.age),
            )
            for one in overview.running
        ],
    )


def _schedules(overview: Overview) -> Table:
    return Table(
        "Schedules",
        ("name", "due", "next", "last"),
        [
            (one.name, one.trigger or "?", iso(one.next_at) or "?", iso(one.at) or ("never" if one.trigger else "?"))
            for one in overview.schedules
        ],
    )


def _commands(overview: Overview) -> Table:
    return Table(
        "Commands",
        ("n", "at", "command", "by", "came of it"),
        [
            (str(one.n), iso(one.at) or "?", f"{one.what} {_shown(one.args)}".rstrip(), one.by or "?", _came_of(one))
            for one in overview.commands
        ],
    )


def _refusals(overview: Overview) -> Table:
    return Table(
        f"Submitted, and not taken in ({overview.refused:,})",
        ("n", "at", "id", "tag", "error"),
        [(str(one.n), iso(one.at) or "?", short_id(one.id), one.tag or "?", one.error) for one in overview.refusals],
    )


def _came_of(command: StoredCommand) -> str:
    """Return the words for what came of a command."""
    if command.error is not None:
        return str(command.error)
    return "no answer yet" if command.done is None else f"done {_shown(command.done)}".rstrip()


def _shown(value: Any) -> str:
    """Return arguments, or a result, as short text for people. "" if there is nothing to say."""
    text = "" if value in (None, {}) else encode(value).decode()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _slowest(overview: Overview) -> Table:
    return Table(
        "Slowest",
        ("#", "id", "tag", "status", "duration"),
        [
            (str(one.seq), short_id(one.id), one.tag or "?", one.status, seconds(one.duration))
            for one in overview.slowest
        ],
    )


def _errors(overview: Overview) -> Table:
    return Table(
        "Errors",
        ("events", "status", "error", "such as"),
        [
            (
                f"{group.count:,}",
                group.status,
                group_words(group.type, group.message, group.status_code),
                f"#{group.example_seq} {short_id(group.example_id)}",
            )
            for group in overview.errors
        ],
    )
