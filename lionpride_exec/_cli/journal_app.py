"""The arguments of the commands for journals. The commands need the extra ``journal`` when they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .guard import JOURNAL, guarded
from .parameters import DASH, FLAG, REPEATED
from .report_app import report
from .run.options import InputFormat, RunOptions

if TYPE_CHECKING:
    from cyclopts import App

    from .journal.choice import Choice

LineUnique = Literal["ever", "open", "no"]  # as run.submit has it, which needs the extra
Status = Literal["pending", "processing", "completed", "failed", "cancelled", "skipped", "aborted", "held"]
Open = Literal["pending", "processing", "held"]
Ended = Literal["completed", "failed", "cancelled", "skipped", "aborted", "held"]

Json = Annotated[bool, FLAG]

# Seconds for which a command waits for the answer of a run, while somebody waits at the terminal.
PATIENCE = 10.0


def add_journal_commands(app: App) -> None:
    """Add the commands for journals to an app."""
    commands = (inspect, tail, show, export, report, explain, retry, cancel, skip, pause, resume, resize, submit)
    for command in commands:
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
    timeout: float = PATIENCE,
) -> int:
    """
    Run events again that have ended: in the run that is going on, or in the next one.

    An event runs with the record that the journal has. To run a corrected record: lionpride-exec run --resume-failed.

    Args:
        journal: File of the journal.
        events: Only these events: their ids, numbers or keys, as for show.
        status: Only events with this status; completed ones only with EVENTS. Repeatable.
        failed: Only events that failed, as --status failed.
        event: The same as EVENTS. Repeatable.
        tag: Only events of the class with this tag. Repeatable.
        error: Only events whose error has this text, or has it with ``<n>``, ``<id>`` and ``<url>`` for what
            varies.
        since: Only events that ended since then: a length of time such as 2h, or a time such as 2026-11-30T12:00Z.
        limit: At most so many, the newest.
        timeout: Seconds to wait for the answer of the run that is going on.
    """
    from .journal.retry import retry_events  # noqa: PLC0415  the extra may not be installed

    statuses = (*status, "failed") if failed else status
    return retry_events(journal, _choice((*events, *event), statuses, tag, error, since, limit), timeout)


@guarded(JOURNAL)
def cancel(
    journal: str,
    /,
    *events: str,
    status: Annotated[tuple[Open, ...], REPEATED] = (),
    tag: Annotated[tuple[str, ...], REPEATED] = (),
    since: str | None = None,
    limit: int | None = None,
    unless_begun: bool = False,
    reason: str | None = None,
    timeout: float = PATIENCE,
) -> int:
    """
    Cancel events that have not ended, also while a run goes on.

    Args:
        journal: File of the journal.
        events: Only these events: their ids, numbers or keys, as for show.
        status: Only events with this status; held ones only with it, or with EVENTS. Repeatable.
        tag: Only events of the class with this tag. Repeatable.
        since: Only events that began, or else came, since then: a length of time, or a time, as for retry.
        limit: At most so many, the newest.
        unless_begun: Leave events as they are that have begun, also if an earlier run of theirs has failed.
        reason: The reason, for the errors of the events.
        timeout: Seconds to wait for the answer of the run that is going on.
    """
    return _end(
        journal, "cancel", _choice(events, status, tag, None, since, limit), reason, timeout, unless_begun=unless_begun
    )


@guarded(JOURNAL)
def skip(
    journal: str,
    /,
    *events: str,
    status: Annotated[tuple[Open, ...], REPEATED] = (),
    tag: Annotated[tuple[str, ...], REPEATED] = (),
    since: str | None = None,
    limit: int | None = None,
    unless_begun: bool = False,
    reason: str | None = None,
    timeout: float = PATIENCE,
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
        unless_begun: Leave events as they are that have begun, also if an earlier run of theirs has failed.
        reason: The reason, for the errors of the events.
        timeout: Seconds to wait for the answer of the run that is going on.
    """
    return _end(
        journal, "skip", _choice(events, status, tag, None, since, limit), reason, timeout, unless_begun=unless_begun
    )


@guarded(JOURNAL)
def pause(
    journal: str,
    /,
    *,
    key: str | None = None,
    limit: str | None = None,
    until: str | None = None,
    seconds: float | None = None,
    reason: str | None = None,
    timeout: float = PATIENCE,
) -> int:
    """
    Have the run that is going on start no more events until resume, or none of one key. Running events go on.

    Args:
        journal: File of the journal.
        key: Only events with this key of a limit, or of this partition: a text, or the key as JSON.
        limit: Only under the limit with this name.
        until: When the pause of a key ends by itself, such as 2026-11-30T12:00Z.
        seconds: The same, in seconds from now.
        reason: Words for the progress of the run.
        timeout: Seconds to wait for the answer of the run.
    """
    from .journal.steer import pause as pause_run  # noqa: PLC0415  the extra may not be installed

    return pause_run(journal, key, limit, until, seconds, reason, timeout)


@guarded(JOURNAL)
def resume(journal: str, /, *, key: str | None = None, limit: str | None = None, timeout: float = PATIENCE) -> int:
    """
    End a pause. The pause of all events and those of keys end each by itself.

    Args:
        journal: File of the journal.
        key: The key that is paused.
        limit: The limit that is paused.
        timeout: Seconds to wait for the answer of the run.
    """
    from .journal.steer import resume as resume_run  # noqa: PLC0415  the extra may not be installed

    return resume_run(journal, key, limit, timeout)


@guarded(JOURNAL)
def resize(
    journal: str,
    /,
    *,
    concurrency: int | None = None,
    capacity: int | None = None,
    timeout: float = PATIENCE,
) -> int:
    """
    Change how many events the run that is going on may run at the same time, or start in a window.

    Args:
        journal: File of the journal.
        concurrency: Events that may run at the same time.
        capacity: Events that may start in a window, as for run.
        timeout: Seconds to wait for the answer of the run.
    """
    from .journal.steer import resize as resize_run  # noqa: PLC0415  the extra may not be installed

    return resize_run(journal, concurrency, capacity, timeout)


@guarded(JOURNAL)
def explain(journal: str, /, *events: str, timeout: float = PATIENCE) -> int:
    """
    Ask the run that is going on how it goes: what its events wait for, its limits and pauses.

    Args:
        journal: File of the journal.
        events: Tell what these events wait for instead: their ids, numbers or keys, as for show.
        timeout: Seconds to wait for the answer of the run.
    """
    from .journal.steer import explain as explain_run  # noqa: PLC0415  the extra may not be installed

    return explain_run(journal, events, timeout)


@guarded(JOURNAL)
def submit(
    journal: str,
    target: str,
    /,
    *sources: Annotated[str, Parameter(name="INPUT"), DASH],
    input_format: InputFormat | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    skip: int = 0,
    limit: int | None = None,
    field: str | None = None,
    priority: str | None = None,
    timeout: float | None = None,
    event_fields: str | None = None,
    record_id: Annotated[str | None, Parameter(name="--id")] = None,
    unique: LineUnique = "ever",
    calls: Annotated[bool, FLAG] = False,
    redact: Annotated[tuple[str, ...], REPEATED] = (),
    quiet: Annotated[bool, FLAG] = False,
) -> int:
    """
    Hand the lines of INPUT to the process that runs a journal, or to the next one that does.

    A line that the journal knows is not run again, as with run.

    Exit status: 0 all submitted, 1 some were not, 2 wrong use, 130 interrupted.

    Args:
        journal: File of the journal. An executor has to have made it.
        target: MODULE:NAME or FILE.py:NAME, as for run: what the process runs.
        sources: As for run: JSON lines, CSV, TSV or a JSON array, compressed or not; - is standard input.
        input_format: What INPUT is, as for run.
        delimiter: What stands between two cells of a table, as for run.
        encoding: Encoding of INPUT, such as cp1252 or utf-16. Default: UTF-8.
        skip: Pass over this many records of INPUT.
        limit: Read at most this many records of INPUT.
        field: INPUT is plain lines, not JSON; each line fills this field of the event (a function gets the line).
        priority: Field of the record, or a path into it, with the priority: a number, lower runs first.
        timeout: Seconds that an event may take, unless its record has a timeout.
        event_fields: Fields of the record that set fields of the event, as for run.
        record_id: Field of the record, or a path into it, by which a line is known; default: the content of the record.
        unique: For how long a line is known: ever, open (until its event has ended), or no (each line is run).
        calls: The process is a program with Executor.of(TARGET): submit calls of the function.
        redact: Field of the record, or a path into it, that is shown as ***, as for run. Repeatable.
        quiet: Show no count; bad lines are still shown.
    """
    from .run.submit import submit as submit_lines  # noqa: PLC0415  the extra may not be installed

    options = RunOptions(
        input_format=input_format,
        delimiter=delimiter,
        encoding=encoding,
        skip=skip,
        limit=limit,
        field=field,
        priority=priority,
        timeout=timeout,
        event_fields=event_fields,
        journal=journal,
        record_id=record_id,
        redact=redact,
        quiet=quiet,
    )
    return submit_lines(journal, target, sources, options, unique=unique, as_calls=calls)


def _end(
    journal: str,
    verb: Literal["cancel", "skip"],
    choice: Choice,
    reason: str | None,
    timeout: float,
    *,
    unless_begun: bool = False,
) -> int:
    from .journal.end import end_events  # noqa: PLC0415  the extra may not be installed

    return end_events(journal, verb, choice, reason, timeout, unless_begun=unless_begun)


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
