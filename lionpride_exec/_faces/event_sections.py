"""The sections of a report about single events: by status, errors, the slowest, those that run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.wording import counted
from lionpride_exec._display.markup import Markup, element, joined
from lionpride_exec._display.pieces import Series, cut, legend, section, share, stacked, swatch, table
from lionpride_exec._display.quantities import shown_length, shown_time
from lionpride_exec._status import FINAL, OPEN

if TYPE_CHECKING:
    from lionpride_exec._model.run_record import OpenRun, RunReport, SlowRun

    from .summary import Summary

# Characters of the words of a command that are shown.
LONGEST_COMMAND: Final = 2000


def status_section(report: RunReport, summary: Summary) -> Markup | None:
    """Return the events by status. Statuses that no event has are left out of the bar."""
    if not summary.total:
        return None
    series = [Series(status, (report.counts[status],)) for status in (*FINAL, *OPEN) if report.counts[status]]
    told = ", ".join(f"{one.values[0]:,} {one.name}" for one in series)
    names = legend(series) or element("p", swatch(series[0].name), f" {told}", class_="legend")
    lead = f"{summary.ended:,} of {summary.total:,} have ended."
    return section("Events by status", lead, stacked(series, f"Events by status: {told}"), names)


def error_section(report: RunReport) -> Markup | None:
    """Return the errors by shape, the most frequent first. None if there were none."""
    if not report.errors:
        return None
    most = report.errors[0].count
    rows = [
        (
            f"{group.count:,}",
            share(group.count, most, group.status),
            group.status,
            joined(element("code", group.shape), _example(group.shape, group.example)),
            _place(group.first) if group.line_id is None else element("code", cut(group.line_id)),
        )
        for group in report.errors
    ]
    rest = f" {report.other_errors:,} more ended with other errors." if report.other_errors else ""
    lead = f"What differs from event to event is <n>, <id> or <url>.{rest}"
    kinds = ("number", "bar", "fixed", "wide", "number")
    return section("Errors", lead, table(("events", "", "status", "error", "first"), rows, kinds))


def _example(shape: str, example: str) -> Markup | None:
    return None if example == shape else element("p", element("code", example), class_="soft")


def _place(number: int | str | None) -> str:
    """Return what a command calls an event: its number, or the beginning of its id."""
    return "" if number is None else number[:8] if isinstance(number, str) else f"#{number}"


def slow_section(report: RunReport) -> Markup | None:
    """Return the slowest events. None if there are none."""
    if not report.slowest:
        return None
    first, has_numbers = report.slowest[0], _have_numbers(report.slowest)
    rows = [
        (
            shown_length(one.duration),
            share(one.duration, first.duration, one.status),
            one.status,
            element("code", cut(one.kind or "?")),
            *_names(one, has_numbers=has_numbers),
        )
        for one in report.slowest
    ]
    lead = joined("The longest last runs of events that completed or failed.", _command(report, first))
    heads, kinds = ("took", "", "status", "kind"), ("number", "bar", "fixed", "wide")
    more_heads, more_kinds = _name_columns(has_numbers=has_numbers)
    return section("Slowest events", lead, table((*heads, *more_heads), rows, (*kinds, *more_kinds)))


def _command(report: RunReport, one: SlowRun) -> Markup | None:
    if not report.show_command:
        return None
    words = f"{report.show_command} {shlex.quote(report.name)} {one.number}"
    return joined(" All about the first one: ", element("code", words))


def open_section(report: RunReport) -> Markup | None:
    """Return the events that run. None if none does."""
    if not report.running:
        return None
    has_numbers = _have_numbers(report.running)
    rows = [
        (
            "?" if one.age is None else shown_length(max(one.age, 0.0)),
            cut(str(one.attempt)),
            element("code", cut(one.kind or "?")),
            *_names(one, has_numbers=has_numbers),
        )
        for one in report.running
    ]
    rest = " If no process runs the journal now, they were cut off." if report.show_command else ""
    lead = f"{counted(report.counts['processing'], 'event')}, the longest first.{rest}"
    heads, kinds = ("for", "attempt", "kind"), ("number", "number", "wide")
    more_heads, more_kinds = _name_columns(has_numbers=has_numbers)
    return section("Running", lead, table((*heads, *more_heads), rows, (*kinds, *more_kinds)))


def _have_numbers(events: tuple[SlowRun | OpenRun, ...]) -> bool:
    return any(one.number is not None for one in events)


def _names(one: SlowRun | OpenRun, *, has_numbers: bool) -> tuple[str | Markup, ...]:
    short = element("code", one.id[:8])
    return (_place(one.number), short) if has_numbers else (short,)


def _name_columns(*, has_numbers: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the heads and the kinds of the columns that name an event."""
    return (("number", "id"), ("number", "fixed rare")) if has_numbers else (("id",), ("fixed",))


def given_section(report: RunReport) -> Markup | None:
    """Return what was given to the last runs of the command. None if nothing was."""
    if not report.given:
        return None
    rows = [(shown_time(run.at), element("code", cut(run.command_line, LONGEST_COMMAND))) for run in report.given]
    lead = "The last runs of the command, the newest first, in UTC."
    return section("What was given", lead, table(("begun", "given"), rows, ("fixed", "wide")))
