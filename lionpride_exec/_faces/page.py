"""The page of a report: one HTML file, which loads nothing. It has no script, unless its runs can be zoomed into."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lionpride_exec._display.markup import Markup, element
from lionpride_exec._display.pieces import cut
from lionpride_exec._display.quantities import shown_length, shown_moment, shown_pace

from .event_sections import error_section, given_section, open_section, slow_section, status_section
from .summary import summarize
from .time_sections import busy_section, length_sections, start_section, throughput_section
from .zoom import zoom_section

if TYPE_CHECKING:
    from lionpride_exec._model.run_record import RunReport

    from .summary import Summary

# Nothing is loaded, sent or run, whatever stands in the page.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE: Final = Path(__file__).with_name("page.css")


def page_of(report: RunReport, *, zoom: bool = False, title: str | None = None) -> str:
    """
    Return the page of a report. O(n log n) in the number of events.

    Args:
        report: What the page shows.
        zoom: Whether each run is in the page, with a script that draws them.
        title: The heading. None, or an empty text, for the name of the report.
    """
    heading = title if title and title.strip() else report.name
    summary = summarize(report)
    zoomed = zoom_section(report, summary) if zoom else None
    parts = (
        _heading(report, heading),
        _tiles(report, summary),
        status_section(report, summary),
        throughput_section(report, summary),
        busy_section(report, summary),
        None if zoomed is None else zoomed.section,
        start_section(summary),
        length_sections(summary),
        error_section(report),
        slow_section(report),
        open_section(report),
        given_section(report),
        _notes(report),
    )
    policy = POLICY if zoomed is None else f"{POLICY}; script-src {zoomed.source}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{cut(heading)}: report"),
        element("style", Markup(_STYLE.read_text("utf-8"))),
    )
    body = element("body", element("main", *parts), None if zoomed is None else zoomed.script)
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def encoded(page: str) -> bytes:
    """Return a page as its file has it. A name or a title may have characters that UTF-8 lacks: they are escaped."""
    return page.encode("utf-8", "backslashreplace")


def _heading(report: RunReport, heading: str) -> Markup:
    return element(
        "header",
        element("h1", cut(heading)),
        element("p", f"{_period(report)}{report.state} Read at {shown_moment(report.at)}.", class_="soft"),
        _window(report),
    )


def _period(report: RunReport) -> str:
    first, last = report.times.first, report.times.last
    if first is None or last is None:
        return ""
    begun, ended = shown_moment(first), shown_moment(last)
    # An end on the same day needs no second date.
    return f"{begun} to {ended[11:] if ended[:11] == begun[:11] else ended} UTC. "


def _window(report: RunReport) -> Markup | None:
    """Return what was asked for, if not all of the run was."""
    window = report.window
    if window.is_all:
        return None
    since = f" since {shown_moment(window.since)}" if window.has_begin else ""
    until = f" until {shown_moment(window.until)}" if window.has_end else ""
    return element("p", f"Only what happened{since}{until}. Open events are those of now.", class_="soft")


def _tiles(report: RunReport, summary: Summary) -> Markup:
    middle, slow = summary.durations.percentiles[:2] or (None, None)
    shown = {
        "Events": f"{summary.total:,}",
        **({"Bad lines": f"{report.bad_lines:,}"} if report.bad_lines else {}),
        "Completed": f"{report.counts['completed']:,}",
        "Failed": f"{report.counts['failed']:,}",
        "Time": shown_length(summary.span) if summary.axis else "-",
        "Ended": "-" if summary.rate is None else shown_pace(summary.rate),
        "Median run": "-" if middle is None else shown_length(middle),
        "95 % within": "-" if slow is None else shown_length(slow),
    }
    return element(
        "dl",
        *(element("div", element("dt", name), element("dd", value)) for name, value in shown.items()),
        class_="tiles",
    )


def _notes(report: RunReport) -> Markup:
    ours = f"Written by lionpride-exec {version('lionpride-exec')} on Python {platform.python_version()}."
    return element("footer", " ".join([*report.notes, "Times are in UTC.", ours]))
