"""The numbers of a report for programs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._display.quantities import iso_time

from .summary import PERCENTILES, summarize

if TYPE_CHECKING:
    from lionpride_exec._model.run_record import RunReport

    from .summary import Lengths, Summary


def report_record(report: RunReport) -> dict[str, Any]:
    """Return a report as JSON-safe data. Times are in UTC, lengths are seconds. O(n log n) in the number of events."""
    summary, window = summarize(report), report.window
    return {
        "name": report.name,
        "at": iso_time(report.at),
        "since": iso_time(window.since) if window.has_begin else None,
        "until": iso_time(window.until) if window.has_end else None,
        "state": report.state,
        "notes": [*report.notes],
        "counts": {**report.counts},
        "total": summary.total,
        "bad_lines": report.bad_lines,
        "ended": summary.ended,
        "undated": {**report.times.undated},
        "first": iso_time(report.times.first),
        "last": iso_time(report.times.last),
        "seconds": summary.span,
        "rate": summary.rate,
        "pauses": [{"from": iso_time(begin), "to": iso_time(end)} for begin, end in summary.pauses],
        "slots": report.slots,
        "repeated": report.times.repeated,
        "over_time": _over_time(summary),
        "starts": [attrs.asdict(one) | {"at": iso_time(one.at)} for one in summary.starts],
        "durations": _lengths(summary.durations),
        "waits": _lengths(summary.waits),
        "errors": [attrs.asdict(group) for group in report.errors],
        "other_errors": report.other_errors,
        "slowest": [attrs.asdict(one) for one in report.slowest],
        "running": [attrs.asdict(one) for one in report.running],
        "given": [{"at": iso_time(run.at), "given": run.command_line} for run in report.given],
    }


def _over_time(summary: Summary) -> dict[str, Any] | None:
    axis = summary.axis
    if axis is None:
        return None
    return {
        "step": axis.width,
        "begins": [iso_time(at) for at in axis.begins],
        "ended": summary.ends,
        "running": summary.busy,
    }


def _lengths(lengths: Lengths) -> dict[str, Any]:
    named = zip(PERCENTILES, lengths.percentiles or (None,) * len(PERCENTILES), strict=True)
    return {
        "count": lengths.count,
        **{f"p{percent}": value for percent, value in named},
        "longest": lengths.longest if lengths.count else None,
        "bars": [
            {"from": lower, "to": upper, "count": count}
            for (lower, upper), count in zip(pairwise(lengths.edges), lengths.bars, strict=True)
        ],
    }
