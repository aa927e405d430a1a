"""What the pages show: for each page a function that reads the source, and returns the values of its template."""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._display.quantities import shown_length
from lionpride_exec._faces.lanes import lanes
from lionpride_exec._model.waiting import words_of_several
from lionpride_exec._status import FINAL

from ._figures import WINDOWS, by_status, throughput
from ._history import steps_of
from ._queries import CHOICE, WITHIN, choice_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.datastructures import QueryParams

    from lionpride_exec._faces.snapshot import PauseLine, Snapshot, Source

    Reader = Callable[[Source, QueryParams], Awaitable[dict[str, Any]]]

# How many rows a page has.
PAGE: Final = 50
MOST_LIMITS: Final = 200
MOST_ERRORS: Final = 100
MOST_RUNS: Final = 500  # more of them make the event loop wait, and nobody could tell them apart

# Stretches of time that the timeline shows. Seconds.
SPANS: Final = {10: "10 s", 60: "1 min", 300: "5 min", 1800: "30 min"}

# What can be done with an event of a status.
ACTIONS: Final = {
    "pending": ("cancel", "skip"),
    "processing": ("cancel", "skip"),
    "held": ("cancel", "skip", "retry"),
    **dict.fromkeys(("failed", "cancelled", "skipped", "aborted"), ("retry",)),
}


# The parts of a line of progress that the first page shows as tiles and figures: counts, share, rate, time left.
_SHOWN_BELOW: Final = re.compile(
    r"[\d,]+ (done|of .*done.*|running|pending|completed|failed|cancelled|skipped|aborted)|[\d.,]+/s|[\d.,:]+( s)? left"
)


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
    window = _chosen(query.get("window"), WINDOWS, 120)
    snapshot = await source.snapshot()
    waits = sorted((snapshot.waits or {}).items(), key=itemgetter(1), reverse=True)
    errors = await source.errors(5)
    return {
        "snapshot": snapshot,
        "progress": _told_nowhere_else(snapshot.progress),
        "total": sum(snapshot.counts.values()),
        "ended": sum(snapshot.counts.get(status, 0) for status in FINAL),
        "bar": by_status(snapshot.counts),
        "chart": throughput(await source.ended(window), snapshot.at, window),
        "window": window,
        "windows": {seconds: shown_length(seconds) for seconds in WINDOWS},
        "waits": [(words_of_several(reason), number) for reason, number in waits if number],
        "closed": [pause for pause in pauses_of(snapshot) if pause.key is not None],  # the heading has a pause of all
        "limits": await source.limits(6) if snapshot.is_live else (),
        "running": await source.running(8),
        "errors": errors,
        "most": max((line.count for line in errors), default=0),
    }


def _told_nowhere_else(progress: str) -> str:
    """
    Return what a line of progress says that the first page does not show below it, such as retries and pauses.

    The counts of a journal are newer than the line, which its process has told. So counts would be there twice, and
    differ.
    """
    return " · ".join(part for part in progress.split("  ") if not _SHOWN_BELOW.fullmatch(part))


async def _events(source: Source, query: QueryParams) -> dict[str, Any]:
    choice = choice_of(query)
    page = await source.events(choice, query.get("before") or None, PAGE)
    chosen = {name: query[name] for name in CHOICE if query.get(name)}
    offered = ACTIONS.get(choice.status, ()) if choice.status else ()
    return {"page": page, "chosen": chosen, "offered": offered, "within": WITHIN, "before": query.get("before")}


async def _event(source: Source, query: QueryParams) -> dict[str, Any]:
    view = await source.event(query.get("ref", ""))
    line = view.line
    return {
        "view": view,
        "line": line,
        "now": wall_clock.now().timestamp(),
        "offered": ACTIONS.get(line.status, ()),
        "steps": steps_of(view),
        "others": {other.id: other for other in view.others},
        # Without what the page says anyway: which event it is, and that it is pending.
        "why": None if view.explanation is None else view.explanation.rpartition(" is pending, ")[2],
    }


async def _errors(source: Source, query: QueryParams) -> dict[str, Any]:  # noqa: ARG001  as all readers
    errors = await source.errors(MOST_ERRORS)
    return {
        "errors": errors,
        "most": max((line.count for line in errors), default=0),
        "now": wall_clock.now().timestamp(),
        "retried": {status for status, actions in ACTIONS.items() if "retry" in actions},
    }


async def _limits(source: Source, query: QueryParams) -> dict[str, Any]:  # noqa: ARG001  as all readers
    snapshot = await source.snapshot()
    limits = await source.limits(MOST_LIMITS) if snapshot.is_live else ()
    return {"snapshot": snapshot, "closed": pauses_of(snapshot), "limits": limits, "most": MOST_LIMITS}


def pauses_of(snapshot: Snapshot) -> list[PauseLine]:
    """Return the pauses, one for each key: a key of several limits is closed for all of them."""
    found: dict[str | None, PauseLine] = {}
    for pause in snapshot.pauses:  # the one that opens last is first
        found.setdefault(pause.key, pause)
    return list(found.values())


async def _timeline(source: Source, query: QueryParams) -> dict[str, Any]:
    span = _chosen(query.get("span"), SPANS, 60)
    runs = await source.runs(span, MOST_RUNS)
    now = wall_clock.now().timestamp()
    latest = max((now if run.end is None else run.end for run in runs), default=now)
    caption = f"{len(runs):,} runs of the last {SPANS[span]}, by slot"
    statuses = sorted({run.status for run in runs}, key=lambda status: (status not in FINAL, status))
    chart = await lanes(runs, latest - span, latest, address="event?ref=", caption=caption) if runs else None
    return {"runs": runs, "chart": chart, "shown": statuses, "span": span, "spans": SPANS, "most": MOST_RUNS}


def _chosen(text: str | None, known: dict[int, Any], default: int) -> int:
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
