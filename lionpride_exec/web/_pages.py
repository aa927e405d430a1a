"""What the pages show: for each page a function that reads the source, and returns the values of its template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._display.quantities import shown_length
from lionpride_exec._faces.lanes import lanes
from lionpride_exec._faces.snapshot import Choice

from ._figures import ENDED, OPEN, WINDOWS, by_status, throughput

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.datastructures import QueryParams

    from lionpride_exec._faces.snapshot import EventPage, Source

    Reader = Callable[[Source, QueryParams], Awaitable[dict[str, Any]]]

# How many rows a page has.
PAGE: Final = 50
MOST_LIMITS: Final = 200
MOST_ERRORS: Final = 100
MOST_RUNS: Final = 2000

# Stretches of time that events can be chosen by, and that the timeline shows. Seconds.
SINCE: Final = {"300": "5 minutes", "3600": "hour", "86400": "day"}
SPANS: Final = {10: "10 s", 60: "1 min", 300: "5 min", 1800: "30 min"}

# The texts by which events are chosen.
TEXTS: Final = ("text", "kind", "key", "error")

# What can be done with an event of a status.
ACTIONS: Final = {
    "pending": ("cancel", "skip"),
    "processing": ("cancel", "skip"),
    "held": ("cancel", "skip", "retry"),
    **dict.fromkeys(("failed", "cancelled", "skipped", "aborted"), ("retry",)),
}


@attrs.frozen
class Page:
    """
    A page.

    Attributes:
        name: Its name, which is its address and its template. That of the first page has the address "".
        title: What it is called.
        read: Reads what it shows.
        in_menu: Whether each page has a link to it.
    """

    name: str
    title: str
    read: Reader
    in_menu: bool = True

    @property
    def address(self) -> str:
        """Where it is, seen from every page."""
        return "./" if self.name == "overview" else self.name


async def _overview(source: Source, query: QueryParams) -> dict[str, Any]:
    window = _number(query.get("window"), WINDOWS, 120)
    snapshot = await source.snapshot()
    ended = await source.ended(window)
    return {
        "snapshot": snapshot,
        "total": sum(snapshot.counts.values()),
        "ended": sum(snapshot.counts.get(status, 0) for status in ENDED),
        "bar": by_status(snapshot.counts),
        "chart": throughput(ended, snapshot.at, window),
        "window": window,
        "windows": {seconds: shown_length(seconds) for seconds in WINDOWS},
        "limits": await source.limits(5) if snapshot.is_live else (),
        "running": await source.running(8),
        "errors": await source.errors(5),
    }


async def _events(source: Source, query: QueryParams) -> dict[str, Any]:
    page = await find(source, query)
    return {"page": page, "before": query.get("before"), "offered": ACTIONS.get(query.get("status", ""), ())}


async def find(source: Source, query: QueryParams) -> EventPage:
    """Return the events that a query asks for."""
    return await source.events(choice_of(query), query.get("before") or None, PAGE)


def choice_of(query: QueryParams) -> Choice:
    """Return which events a query asks for. What is empty, or no status, fits all."""
    status = query.get("status")
    within = query.get("within", "")
    return Choice(
        status=status if status in {*ENDED, *OPEN} else None,
        since=wall_clock.now().timestamp() - int(within) if within in SINCE else None,
        **{name: query.get(name) or None for name in TEXTS},
    )


async def _event(source: Source, query: QueryParams) -> dict[str, Any]:
    view = await source.event(query.get("ref", ""))
    return {"view": view, "now": wall_clock.now().timestamp(), "offered": ACTIONS.get(view.line.status, ())}


async def _errors(source: Source, query: QueryParams) -> dict[str, Any]:  # noqa: ARG001  as all readers
    errors = await source.errors(MOST_ERRORS)
    return {"errors": errors, "most": max((line.count for line in errors), default=0)}


async def _limits(source: Source, query: QueryParams) -> dict[str, Any]:  # noqa: ARG001  as all readers
    return {"snapshot": await source.snapshot(), "limits": await source.limits(MOST_LIMITS), "most": MOST_LIMITS}


async def _timeline(source: Source, query: QueryParams) -> dict[str, Any]:
    span = _number(query.get("span"), SPANS, 60)
    runs = await source.runs(span, MOST_RUNS)
    now = wall_clock.now().timestamp()
    latest = max((now if run.end is None else run.end for run in runs), default=now)
    caption = f"{len(runs):,} runs of the last {SPANS[span]}, by slot"
    statuses = sorted({run.status for run in runs})
    chart = lanes(runs, latest - span, latest, address="event?ref=", caption=caption) if runs else None
    return {"runs": runs, "chart": chart, "statuses": statuses, "span": span, "spans": SPANS, "most": MOST_RUNS}


def _number(text: str | None, known: dict[int, Any], default: int) -> int:
    """Return a number that is one of those that are known."""
    found = [number for number in known if str(number) == text]
    return found[0] if found else default


PAGES: Final = {
    page.name: page
    for page in (
        Page("overview", "Overview", _overview),
        Page("events", "Events", _events),
        Page("errors", "Errors", _errors),
        Page("limits", "Limits", _limits),
        Page("timeline", "Timeline", _timeline),
        Page("event", "Event", _event, in_menu=False),
    )
}
