"""A chart of runs in lanes: what each slot of an executor did, and when."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from anyio.lowlevel import checkpoint

from lionpride_exec._display.markup import Markup, element
from lionpride_exec._display.quantities import shown_length, shown_time

from .charts import LABELS
from .run_lanes import assign_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .snapshot import RunLine

WIDTH: Final = 1000.0
HEIGHT: Final = 16.0  # of a lane, in pixels

# Bars that are drawn between two checkpoints.
AT_A_TIME: Final = 50


async def lanes(runs: Sequence[RunLine], begin: float, end: float, *, address: str, caption: str) -> Markup:
    """
    Return a chart in which each run is a bar in its lane, with a link to its event. A bar takes some 20 us.

    The bars are drawn in pieces, with a checkpoint after each. A thread would hold up the event loop for longer: a
    thread that computes gives the interpreter away only every 5 ms.

    Args:
        runs: The runs, by their beginning.
        begin: The left end of the chart, seconds since 1970.
        end: The right end. A run that has not ended goes on until then.
        address: The address of the page of an event, without the id.
        caption: What the chart shows, for those who cannot see it.
    """
    places = assign_lanes((run.begin, inf if run.end is None else run.end) for run in runs)
    count = max(places, default=0) + 1
    scale = WIDTH / max(end - begin, 1e-9)
    bars: list[Markup] = []
    for run, lane in zip(runs, places, strict=True):
        bars.append(_bar(run, lane, begin, end, scale, address))
        if not len(bars) % AT_A_TIME:
            await checkpoint()
    drawing = element(
        "svg",
        *bars,
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT * count:.0f}",
        height=HEIGHT * count,
        preserveAspectRatio="none",
        role="group",
        aria_label=caption,
    )
    times = [begin + (end - begin) * place / (LABELS - 1) for place in range(LABELS)]
    below = element("div", *(element("span", shown_time(at, span=end - begin)) for at in times), class_="labels")
    return element("div", element("div", drawing, class_="lanes"), below, class_="timeline")


def _bar(run: RunLine, lane: int, begin: float, end: float, scale: float, address: str) -> Markup:
    first, last = max(run.begin, begin), min(end if run.end is None else run.end, end)
    length = (end if run.end is None else run.end) - run.begin
    bar = element(
        "rect",
        x=(first - begin) * scale,
        y=lane * HEIGHT + 1,
        width=max((last - first) * scale, 1.0),
        height=HEIGHT - 2,
        class_=run.status,
    )
    title = element("title", f"{run.kind or '?'} {run.id[:8]}: {run.status}, {shown_length(max(length, 0.0))}")
    return element("a", title, bar, href=f"{address}{quote(run.id, safe='', errors='replace')}", tabindex="-1")
