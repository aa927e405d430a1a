"""The charts of the pages, from what a source tells of the last seconds."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Final

from lionpride_exec._display.pieces import Series, stacked
from lionpride_exec._display.quantities import shown_length, shown_time
from lionpride_exec._faces.charts import LABELS, columns
from lionpride_exec._faces.scales import Bins
from lionpride_exec._status import FINAL, OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lionpride_exec._display.markup import Markup
    from lionpride_exec._faces.snapshot import Second

# The stretches of time that can be chosen, in seconds, with the width of a column.
WINDOWS: Final = {120: 1, 900: 10, 3600: 30}


def throughput(ended: Sequence[Second], at: float, window: int) -> Markup | None:
    """
    Return the chart of the events that ended in the last seconds. None if none did.

    Args:
        ended: How many ended in each second.
        at: The time now, seconds since 1970.
        window: How many seconds the chart shows: one of ``WINDOWS``.
    """
    width = WINDOWS[window]
    count = window // width
    bins = Bins((floor(at / width) + 1 - count) * width, width, count)
    counts = {status: [0] * count for status in FINAL}
    for second in ended:
        if bins.start <= second.at < bins.end:
            for status, number in second.ended.items():
                if status in counts:
                    counts[status][bins.place(second.at)] += number
    series = [Series(status, values) for status, values in counts.items() if any(values)]
    if not series:
        return None
    names = [shown_time(bins.start + width * place, span=window) for place in range(count)]
    labels = [shown_time(bins.start + window * place / (LABELS - 1), span=window) for place in range(LABELS)]
    caption = f"Events that ended in the last {shown_length(window)}"
    return columns(series, names, labels, caption=caption)


def by_status(counts: Mapping[str, int]) -> Markup | None:
    """Return a bar with the part of each status. None if there are no events."""
    series = [Series(status, (counts[status],)) for status in (*FINAL, *reversed(OPEN)) if counts.get(status)]
    if not series:
        return None
    told = ", ".join(f"{one.values[0]:,} {one.name}" for one in series)
    return stacked(series, f"Events by status: {told}")
