"""The runs of events, from the lines of an audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._journal.reader import id_text

from .live_rings import RETRIED
from .snapshot import RunLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._journal.reader import Transition


def runs_in(steps: Sequence[Transition], seconds: float, count: int) -> tuple[RunLine, ...]:
    """
    Return the runs of the last seconds, by their beginning, at most the last so many.

    Args:
        steps: The last lines of the trail, oldest first. A run that began before them is left out.
        seconds: How long ago a run has ended at most.
        count: How many runs at most.
    """
    first = wall_clock.seconds() - seconds
    begun: dict[int, Transition] = {}
    lines: list[RunLine] = []
    for step in steps:
        began = begun.pop(step.seq, None)
        if began is not None and step.at >= first:
            status = RETRIED if step.status == "pending" else step.status
            lines.append(_line(began, step.at, status))
        if step.status == "processing":
            begun[step.seq] = step
    lines += [_line(began, None, began.status) for began in begun.values()]
    return tuple(sorted(lines, key=lambda line: line.begin)[-count:])


def _line(began: Transition, end: float | None, status: str) -> RunLine:
    event_id = "" if began.id is None else id_text(began.id)
    return RunLine(id=event_id, kind=began.tag or "", begin=began.at, end=end, status=status)
