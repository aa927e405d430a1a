"""The arguments of the commands for journals. The commands need the extra ``journal`` when they are run."""

from __future__ import annotations

import sys
from functools import wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec

from cyclopts import Parameter

from lionpride_exec.errors import LionprideError

from .errors import OutputError, UsageError
from .exit_status import INCOMPLETE, INTERRUPTED, MISUSED
from .parameters import DASH, REPEATED
from .streams import say, tell_of_lost_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import App

P = ParamSpec("P")

Status = Literal["pending", "processing", "completed", "failed", "cancelled", "skipped", "aborted", "held"]
Ended = Literal["completed", "failed", "cancelled", "skipped", "aborted", "held"]

FLAG = Parameter(negative="")
Json = Annotated[bool, FLAG]


def guarded(command: Callable[P, int]) -> Callable[P, int]:
    """
    Return a command that writes an error as one line, and returns the exit status for it.

    If the reader of standard output has gone away, nothing is written.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        """Run the command."""
        if find_spec("msgspec") is None:
            return _tell("msgspec is missing; journals need: pip install 'lionpride-exec[journal]'", MISUSED)
        try:
            status = command(*args, **kwargs)
            sys.stdout.flush()
        except (UsageError, LionprideError, OutputError) as exc:
            return _tell(str(exc), MISUSED if isinstance(exc, UsageError) else INCOMPLETE)
        except OSError as exc:
            tell_of_lost_output(exc)
            return INCOMPLETE
        except KeyboardInterrupt:
            return INTERRUPTED
        return status

    return run


def add_journal_commands(app: App) -> None:
    """Add the commands for journals to an app."""
    for command in (inspect, tail, show, export, retry):
        app.command(command)


@guarded
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


@guarded
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


@guarded
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


@guarded
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


@guarded
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


def _tell(text: str, status: int) -> int:
    say(text)
    return status
