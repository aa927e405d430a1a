"""The page of a report: one HTML file, without a script and without anything from elsewhere."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.wording import counted
from lionpride_exec._display.markup import Markup, element, joined
from lionpride_exec._display.pieces import Series, legend, share, stacked, swatch, table
from lionpride_exec._display.quantities import shown_decade, shown_length, shown_moment, shown_pace, shown_time
from lionpride_exec._journal.reader import id_text
from lionpride_exec._journal.schema import FINAL

from .charts import LABELS, columns
from .summary import PERCENTILES, summarize

if TYPE_CHECKING:
    from lionpride_exec._journal.run_report import RunReport

    from .summary import Lengths, Summary

# Nothing is loaded, sent or run, whatever stands in the page.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE: Final = Path(__file__).with_name("page.css")

# Powers of ten that have room under a chart of half the width of the page.
MOST_LABELS: Final = 6

OPEN: Final = ("pending", "processing", "held")


def page_of(name: str, report: RunReport) -> str:
    """
    Return the page of a report. O(n log n) in the number of events.

    Args:
        name: The name of the journal, for the heading.
        report: What the page shows.
    """
    summary = summarize(report)
    parts = (
        _heading(name, report),
        _tiles(report, summary),
        _statuses(report, summary),
        _throughput(report, summary),
        _busy(report, summary),
        _starts(summary),
        _lengths(summary),
        _errors(report),
        _slowest(name, report),
        _running(report),
        _runs(report),
        _notes(report),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{name}: report"),
        element("style", Markup(_STYLE.read_text("utf-8"))),
    )
    page = element("html", head, element("body", element("main", *parts)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _heading(name: str, report: RunReport) -> Markup:
    return element(
        "header",
        element("h1", name),
        element("p", f"{_period(report)}{_state(report)} Read at {shown_moment(report.at)}.", class_="soft"),
    )


def _period(report: RunReport) -> str:
    first, last = report.times.first, report.times.last
    if first is None or last is None:
        return ""
    begun, ended = shown_moment(first), shown_moment(last)
    # An end on the same day needs no second date.
    return f"{begun} to {ended[11:] if ended[:11] == begun[:11] else ended} UTC. "


def _state(report: RunReport) -> str:
    """Return how far the run is, as far as the file tells."""
    still_open = sum(report.counts[status] for status in OPEN)
    if report.is_closed is False:
        return "The journal is open: a process runs it, or was cut off."
    if still_open:
        return f"The journal is closed. {counted(still_open, 'event')} can go on in the next run."
    return "The journal is closed, and all events have ended." if sum(report.counts.values()) else "No events yet."


def _tiles(report: RunReport, summary: Summary) -> Markup:
    middle, slow = summary.durations.percentiles[:2] or (None, None)
    shown = {
        "Events": f"{summary.total:,}",
        "Completed": f"{report.counts['completed']:,}",
        "Failed": f"{report.counts['failed']:,}",
        "Time": shown_length(summary.span) if summary.bins else "-",
        "Ended": "-" if summary.rate is None else shown_pace(summary.rate),
        "Median run": "-" if middle is None else shown_length(middle),
        "95 % within": "-" if slow is None else shown_length(slow),
    }
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in shown.items()),
        class_="tiles",
    )


def _section(title: str, lead: str | Markup, *parts: Markup | None) -> Markup:
    return element("section", element("h2", title), element("p", lead, class_="lead"), *parts)


def _statuses(report: RunReport, summary: Summary) -> Markup | None:
    """Return the events by status. Statuses that no event has are left out of the bar."""
    if not summary.total:
        return None
    series = [Series(status, (report.counts[status],)) for status in (*FINAL, *OPEN) if report.counts[status]]
    told = ", ".join(f"{one.values[0]:,} {one.name}" for one in series)
    names = legend(series) or element("p", swatch(series[0].name), f" {told}", class_="legend")
    lead = f"{summary.ended:,} of {summary.total:,} have ended."
    return _section("Events by status", lead, stacked(series, f"Events by status: {told}"), names)


def _throughput(report: RunReport, summary: Summary) -> Markup | None:
    bins = summary.bins
    if bins is None or not summary.ends:
        return None
    series = [Series(status, values) for status, values in summary.ends.items()]
    undated = sum(report.times.undated.values())
    lead = f"Events that ended, in steps of {shown_length(bins.width)}."
    if undated:
        lead += f" {counted(undated, 'event')} ended at a time that the file does not have."
    chart = columns(series, _bin_names(summary), _time_labels(summary), caption="Events that ended, over time")
    return _section("Throughput", lead, chart)


def _busy(report: RunReport, summary: Summary) -> Markup | None:
    if summary.bins is None or not any(summary.busy):
        return None
    chart = columns(
        [Series("running", summary.busy)],
        _bin_names(summary),
        _time_labels(summary),
        caption="Events that ran at the same time, over time",
    )
    lead = f"How many events ran on average, in steps of {shown_length(summary.bins.width)}."
    if report.times.repeated:
        lead += f" {counted(report.times.repeated, 'run')} that had to be repeated are among them."
    return _section("Running at the same time", lead, chart)


def _starts(summary: Summary) -> Markup | None:
    """Return how many runs began in a stretch of time, beside what was allowed."""
    if not summary.starts:
        return None
    rows = [
        (
            shown_length(one.per),
            f"{one.most:,}",
            "-" if one.amount is None else f"{one.amount:,}",
            "" if one.amount is None else share(one.most, max(one.amount, one.most), "events"),
            shown_time(one.at, span=summary.span),
        )
        for one in summary.starts
    ]
    lead = "The most runs that began in any stretch of time of this length, and the rate that the command was given."
    kinds = ("fixed", "number", "number", "bar", "number")
    return _section("Starts", lead, table(("in any", "runs", "rate", "", "until"), rows, kinds))


def _bin_names(summary: Summary) -> list[str]:
    bins = summary.bins
    assert bins is not None
    span = bins.width * bins.count
    return [shown_time(bins.start + bins.width * place, span=span) for place in range(bins.count)]


def _time_labels(summary: Summary) -> list[str]:
    """Return times at equal distances from the beginning of the bins to their end, the first one with its date."""
    bins = summary.bins
    assert bins is not None
    span = bins.end - bins.start
    return [shown_time(bins.start + span * place / (LABELS - 1), span=span) for place in range(LABELS)]


def _lengths(summary: Summary) -> Markup | None:
    found = [
        _length_section("Duration", "How long the last run of each completed or failed event took.", summary.durations),
        _length_section("Wait", "From the time when an event was queued to its last run.", summary.waits),
    ]
    shown = [one for one in found if one is not None]
    return element("div", *shown, class_="pair") if shown else None


def _length_section(title: str, lead: str, lengths: Lengths) -> Markup | None:
    if not lengths.count:
        return None
    edges = [shown_length(edge) for edge in lengths.edges]
    names = [f"up to {edges[1]}", *(f"{lower} to {upper}" for lower, upper in pairwise(edges[1:]))]
    labels = [shown_decade(power) for power in lengths.decades]
    if len(labels) > MOST_LABELS and len(labels) % 2:
        labels = labels[::2]  # the first and the last one stay
    chart = columns([Series("events", lengths.bars)], names, labels, caption=f"{title}: how many events took how long")
    told = [(f"{percent} % within", value) for percent, value in zip(PERCENTILES, lengths.percentiles, strict=True)]
    facts = [
        element("li", name, " ", element("b", shown_length(value)))
        for name, value in (*told, ("longest", lengths.longest))
    ]
    return _section(title, lead, element("ul", *facts, class_="legend"), chart)


def _errors(report: RunReport) -> Markup | None:
    if not report.errors:
        return None
    most = report.errors[0].count
    rows = [
        (
            f"{group.count:,}",
            share(group.count, most, group.status),
            group.status,
            joined(element("code", group.shape), _example(group.shape, group.example)),
            f"#{group.seq}",
        )
        for group in report.errors
    ]
    rest = f" {report.other_errors:,} more ended with other errors." if report.other_errors else ""
    lead = f"What differs from event to event is <n>, <id> or <url>.{rest}"
    kinds = ("number", "bar", "fixed", "wide", "number")
    return _section("Errors", lead, table(("events", "", "status", "error", "first"), rows, kinds))


def _example(shape: str, example: str) -> Markup | None:
    return None if example == shape else element("p", element("code", example), class_="soft")


def _slowest(name: str, report: RunReport) -> Markup | None:
    if not report.slowest:
        return None
    most = report.slowest[0].duration
    rows = [
        (
            shown_length(one.duration),
            share(one.duration, most, one.status),
            one.status,
            element("code", one.tag or "?"),
            f"#{one.seq}",
            element("code", id_text(one.id)[:8]),
        )
        for one in report.slowest
    ]
    command = element("code", f"lionpride-exec show {shlex.quote(name)} {report.slowest[0].seq}")
    lead = joined("The longest last runs of events that completed or failed. All about the first one: ", command)
    kinds = ("number", "bar", "fixed", "wide", "number", "fixed")
    return _section("Slowest events", lead, table(("took", "", "status", "kind", "number", "id"), rows, kinds))


def _running(report: RunReport) -> Markup | None:
    if not report.running:
        return None
    rows = [
        (
            "?" if one.age is None else shown_length(max(one.age, 0.0)),
            str(one.attempt),
            element("code", one.tag or "?"),
            f"#{one.seq}",
            element("code", id_text(one.id)[:8]),
        )
        for one in report.running
    ]
    count = counted(report.counts["processing"], "event")
    lead = f"{count}, the longest first. If no process runs the journal now, they were cut off."
    kinds = ("number", "number", "wide", "number", "fixed")
    return _section("Running", lead, table(("for", "attempt", "kind", "number", "id"), rows, kinds))


def _runs(report: RunReport) -> Markup | None:
    if not report.runs:
        return None
    rows = [(shown_time(run.at), element("code", run.command_line)) for run in report.runs]
    lead = "The last runs of the command, the newest first, in UTC."
    return _section("What was given", lead, table(("begun", "given"), rows, ("fixed", "wide")))


def _notes(report: RunReport) -> Markup:
    submitted = f"{report.submitted:,} submitted by other processes, not taken in yet. " if report.submitted else ""
    refused = f"{report.refused:,} submitted, and not taken in. " if report.refused else ""
    return element("footer", f"{submitted}{refused}Journal of version {report.version}. Times are in UTC.")
