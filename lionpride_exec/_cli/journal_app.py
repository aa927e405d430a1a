"""The arguments of the commands for journals. The commands need the extra ``journal`` when they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .guard import JOURNAL, guarded
from .parameters import DASH, FLAG, REPEATED

if TYPE_CHECKING:
    from cyclopts import App

Status = Literal["pending", "processing", "completed", "failed", "cancelled", "skipped", "aborted", "held"]
Ended = Literal["completed", "failed", "cancelled", "skipped", "aborted", "held"]

Json = Annotated[bool, FLAG]


def add_journal_commands(app: App) -> None:
    """Add the commands for journals to an app."""
    for command in (inspect, tail, show, export, retry):
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
    *,
    status: Annotated[tuple[Ended, ...], REPEATED] = (),
    event: Annotated[tuple[str, ...], Parameter(name="--id"), REPEATED] = (),
) -> int:
    """
    Put events that have ended back to pending, so that the next run takes them. No run may be going on.

    Args:
        journal: File of the journal.
        status: Only events with this status; completed ones only with --id. Repeatable.
        event: Only this event: its id, number or key, as for show. Repeatable.
    """
    from .journal.retry import requeue_events  # noqa: PLC0415  the extra may not be installed

    return requeue_events(journal, status, event)
