"""
The runs of a report, to zoom into: each run is a bar in the lane of its slot, drawn on a canvas by a script.

The runs are columns of numbers, deflated, in an attribute of the canvas. Nothing of an event is in them but its number
and its status. The policy of the page allows this one script, by its hash.
"""

from __future__ import annotations

import json
import zlib
from array import array
from base64 import b64encode
from functools import cache
from hashlib import sha256
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from lionpride_exec._base.wording import counted
from lionpride_exec._display.markup import Markup, element
from lionpride_exec._display.pieces import section, swatch
from lionpride_exec._model.run_record import RUN_KINDS

from .run_lanes import assign_lanes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lionpride_exec._model.run_record import RunReport, Times

    from .summary import Summary

_SCRIPT: Final = Path(__file__).with_name("zoom.js")

# The most lanes. Of more runs at the same time, the others share the last lane.
MAX_LANES: Final = 500

# Times in the page are whole numbers from 0 to this one.
WHOLE: Final = 2**32 - 2

# The largest height of all lanes together, in pixels.
MAX_HEIGHT: Final = 400

# The width of each pause that was left out, as a part of the width of everything else.
PAUSE_WIDTH: Final = 0.02

HINT: Final = (
    "Drag to move. Ctrl and the wheel, a pinch, a double click or the keys + and - zoom, 0 shows all. Times are in UTC."
)


@attrs.frozen
class Zoomed:
    """
    What a page needs to show runs that people can zoom into.

    Attributes:
        section: The section with the canvas.
        script: The script, which must come after the section.
        source: The source of the script for the directive ``script-src`` of the page's policy.
    """

    section: Markup
    script: Markup
    source: str


def zoom_section(report: RunReport, summary: Summary) -> Zoomed | None:
    """
    Return the section with all runs. None if none has both of its times. O(n log n) in the number of runs.

    Args:
        report: The run, whose times have been read with the kind of each run.
        summary: Its numbers.
    """
    times = report.times
    if not summary.stretches or not (times.begins or times.running):
        return None
    canvas, lanes = _canvas(times, _Ruler(summary.stretches))
    buttons = [
        element("button", text, type="button", data_key=key, title=title)
        for text, key, title in (("+", "+", "Zoom in"), ("-", "-", "Zoom out"), ("All", "0", "Show all"))
    ]
    lead = f"Each run is a bar, in the lane of a slot that was free. {counted(lanes, 'lane')}."
    kinds: set[int] = set(times.kinds)
    if times.running:
        kinds.add(RUN_KINDS.index("processing"))
    names = element(
        "ul",
        *(element("li", swatch(RUN_KINDS[kind]), f" {RUN_KINDS[kind]}") for kind in sorted(kinds)),
        class_="legend",
    )
    tools = element("p", *buttons, element("span", HINT, class_="told soft", data_hint=HINT), class_="tools")
    text = _script()
    return Zoomed(
        section("Runs", lead, names, canvas, tools),
        element("script", text),
        f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'",
    )


@cache
def _script() -> Markup:
    return Markup(_SCRIPT.read_text("utf-8"))


class _Ruler:
    """Places of times on a line from 0 to ``WHOLE``, on which pauses are narrow."""

    def __init__(self, stretches: Sequence[tuple[float, float]]) -> None:
        rest = sum(end - begin for begin, end in stretches)
        gap = rest * PAUSE_WIDTH
        self.unit = max(rest + gap * (len(stretches) - 1), 1e-6) / WHOLE  # seconds
        at = 0.0
        self._pieces: list[tuple[float, float]] = []  # where each stretch begins on the line, and when
        for begin, end in stretches:
            self._pieces.append((at, begin))
            at += end - begin + gap
        self._later = self._pieces[:0:-1]

    @property
    def pieces(self) -> list[list[float]]:
        """Where each stretch begins, as a whole number, and when, seconds since 1970."""
        return [[round(at / self.unit), begin] for at, begin in self._pieces]

    def places(self, ats: Iterable[float]) -> array[int]:
        """Return the places of times."""
        found = array("I")
        (at, start), unit = self._pieces[0], self.unit
        for time in ats:
            for later_at, later_start in self._later:
                if time >= later_start:
                    place = later_at + time - later_start
                    break
            else:
                place = at + time - start
            found.append(min(max(int(place / unit), 0), WHOLE))
        return found


def _canvas(times: Times, ruler: _Ruler) -> tuple[Markup, int]:
    """Return the canvas with all runs, and how many lanes there are."""
    last = times.last or 0.0
    begins, stops = [*times.begins, *times.running], [*times.stops, *([last] * len(times.running))]
    order = sorted(range(len(begins)), key=begins.__getitem__)
    lanes = array("I", (min(lane, MAX_LANES - 1) for lane in assign_lanes((begins[run], stops[run]) for run in order)))
    count = max(lanes) + 1
    lefts = ruler.places(begins[run] for run in order)
    rights = ruler.places(stops[run] for run in order)
    running = RUN_KINDS.index("processing")
    kinds = bytes(times.kinds) + bytes([running]) * len(times.running)
    numbers = [*times.numbers, *times.running_numbers]
    in_order = array("I", (numbers[run] for run in order))
    packed = zlib.compress(
        b"".join((
            _planes(_differences(lefts), 4),
            _planes(array("I", (max(right - left, 0) for left, right in zip(lefts, rights, strict=True))), 4),
            _planes(lanes, 2),
            bytes(kinds[run] for run in order),
            _planes(_differences(in_order), 4),
        )),
        9,
    )  # fmt: skip
    return element(
        "canvas",
        class_="runs",
        tabindex="0",
        role="img",
        aria_label=f"{counted(len(order), 'run')} over time, by slot",
        style=f"height: {min(max(count * 16, 60), MAX_HEIGHT) + 22}px",
        data_runs=b64encode(packed).decode(),
        data_count=str(len(order)),
        data_unit=repr(ruler.unit),
        data_whole=str(WHOLE),
        data_lanes=str(count),
        data_pieces=json.dumps(ruler.pieces),
        data_names=" ".join(RUN_KINDS),
    ), count


def _differences(values: Sequence[int]) -> array[int]:
    """Return the first value, and how much more each of the others is than the one before, modulo 2**32."""
    return array("I", ((after - before) % 2**32 for before, after in pairwise(chain((0,), values))))


def _planes(values: array[int], width: int) -> bytes:
    """Return the lowest bytes of all values, then the next higher ones: equal bytes side by side deflate well."""
    return b"".join(bytes(value >> 8 * byte & 255 for value in values) for byte in range(width))
