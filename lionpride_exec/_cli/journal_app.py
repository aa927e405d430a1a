"""The arguments of the commands for journals. The commands need the extra ``journal`` when they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .guard import JOURNAL, guarded
from .parameters import DASH, FLAG, REPEATED

if TYPE_CHECKING:
    from cyclopts import App

    from .journal.choice import Choice

Status = Literal["pending", "processing", "completed", "failed", "cancelled", "skipped", "aborted", "held"]
Open = Literal["pending", "processing", "held"]
Ended = Literal["completed", "failed", "cancelled", "skipped", "aborted", "held"]

Json = Annotated[bool, FLAG]


def add_journal_commands(app: App) -> None:
    """Add the commands for journals to an app."""
    for command in (inspect, tail, show, export, retry, cancel, skip):
        app.command(command)


@guarded(JOURNAL)
def inspect(journal: str, /, *, top: int = 5, json: Json = False) -> int:
    """
    Show how a run goes, or went: counts, rates, slow events, errors, what waits.

    Args:
        journal: File of the journal; a run may be writing it.
        top: How many events or errors to show of each kind.
        json: Write one JSON object.
    """
    from .journal.inspect import inspect_journal  # noqa: PLC0415  the extra may not be installed

    return inspect_journal(journal, top, as_json=json)


@guarded(JOURNAL)
def tail(
    journal: str,
    /,
    *,
    lines: Annotated[int, Parameter(name=["--lines", "-n"])] = 10,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    json: Json = False,
) -> int:
    """
    Show the last transitions, oldest first.

    Args:
        journal: File of the journal; a run may be writing it.
        lines: How many transitions to show.
        follow: Go on with new transitions, until Ctrl-C.
        json: Write one JSON object a line.
    """
    from .journal.tail import tail_journal  # noqa: PLC0415  the extra may not be installed

    return tail_journal(journal, lines, follow=follow, as_json=json)


@guarded(JOURNAL)
def show(journal: str, event: str, /, *, json: Json = False) -> int:
    """
    Show everything about one event.

    Args:
        journal: File of the journal; a run may be writing it.
        event: Number of the event (#17 or 17), its id or the first 4 or more digits of the id, or its key.
        json: Write one JSON object.
    """
    from .journal.show import show_event  # noqa: PLC0415  the extra may not be installed

    return show_event(journal, event, as_json=json)


@guarded(JOURNAL)
def export(
    journal: str,
    /,
    *,
    status: Annotated[tuple[Status, ...], REPEATED] = (),
    tag: Annotated[tuple[str, ...], REPEATED] = (),
    output: Annotated[str, DASH] = "-",
    overwrite: Annotated[bool, FLAG] = False,
) -> int:
    """
    Write events as JSON lines, in order of arrival.

    Args:
        journal: File of the journal; a run may be writing it.
        status: Only events with this status. Repeatable.
        tag: Only events of the class with this tag. Repeatable.
        output: File for the lines; - is standard output. A file that is not empty is refused.
        overwrite: Replace what the file for the lines holds.
    """
    from .journal.export import export_events  # noqa: PLC0415  the extra may not be installed

    return export_events(journal, status, tag, output, overwrite=overwrite)


@guarded(JOURNAL)
def retry(
    journal: str,
    /,
    *events: str,
    status: Annotated[tuple[Ended, ...], REPEATED] = (),
    failed: Annotated[bool, FLAG] = False,
    event: Annotated[tuple[str, ...], Parameter(name="--id"), REPEATED] = (),
    tag: Annotated[tuple[str, ...], REPEATED] = (),
    error: str | None = None,
    since: str | None = None,
    limit: int | None = None,
) -> int:
    """
    Put events that have ended back to pending, so that the next run takes them. No run may be going on.

    Args:
        journal: File of the journal.
        events: Only these events: their ids, numbers or keys, as for show.
        status: Only events with this status; completed ones only with EVENTS. Repeatable.
        failed: Only events that failed, as --status failed.
        event: The same as EVENTS. Repeatable.
        tag: Only events of the class with this tag. Repeatable.
        error: Only events whose error has this text, or has it with <n>, <id> and <url> for what varies.
        since: Only events that ended since then: a length of time such as 2h, or a time such as 2026-11-30T12:00Z.
        limit: At most so many, the newest.
    """
    from .journal.retry import retry_events  # noqa: PLC0415  the extra may not be installed

    statuses = (*status, "failed") if failed else status
    return retry_events(journal, _choice((*events, *event), statuses, tag, error, since, limit))


@guarded(JOURNAL)
def cancel(
    journal: str,
    /,
    *events: str,
    status: Annotated[tuple[Open, ...], REPEATED] = (),
    tag: Annotated[tuple[str, ...], REPEATED] = (),
    since: str | None = None,
    limit: int | None = None,
    reason: str | None = None,
) -> int:
    """
    Cancel events that have not ended. No run may be going on.

    Args:
        journal: File of the journal.
        events: Only these events: their ids, numbers or keys, as for show.
        status: Only events with this status; held ones only with it, or with EVENTS. Repeatable.
        tag: Only events of the class with this tag. Repeatable.
        since: Only events that began, or else came, since then: a length of time, or a time, as for retry.
        limit: At most so many, the newest.
        reason: The reason, for the errors of the events.
    """
    return _end("cancelled", journal, _choice(events, status, tag, None, since, limit), reason)


@guarded(JOURNAL)
def skip(
    journal: str,
    /,
    *events: str,
    status: Annotated[tuple[Open, ...], REPEATED] = (),
    tag: Annotated[tuple[str, ...], REPEATED] = (),
    since: str | None = None,
    limit: int | None = None,
    reason: str | None = None,
) -> int:
    """
    Like cancel, but the events end skipped.

    Args:
        journal: File of the journal.
        events: Only these events: their ids, numbers or keys, as for show.
        status: Only events with this status; held ones only with it, or with EVENTS. Repeatable.
        tag: Only events of the class with this tag. Repeatable.
        since: Only events that began, or else came, since then: a length of time, or a time, as for retry.
        limit: At most so many, the newest.
        reason: The reason, for the errors of the events.
    """
    return _end("skipped", journal, _choice(events, status, tag, None, since, limit), reason)


def _end(name: str, journal: str, choice: Choice, reason: str | None) -> int:
    from lionpride_exec._status import EventStatus  # noqa: PLC0415  for these commands only

    from .journal.end import end_events  # noqa: PLC0415  the extra may not be installed

    return end_events(journal, choice, EventStatus(name), reason)


def _choice(
    events: tuple[str, ...],
    statuses: tuple[str, ...],
    tags: tuple[str, ...],
    error: str | None,
    since: str | None,
    limit: int | None,
) -> Choice:
    from .journal.choice import Choice, parse_since  # noqa: PLC0415  the extra may not be installed

    return Choice(events, statuses, tags, error, parse_since("--since", since), limit)
