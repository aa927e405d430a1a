"""The sections of a report about time: what ended when, what ran, how many runs began, and how long they took."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from lionpride_exec._base.wording import counted
from lionpride_exec._display.markup import Markup, element
from lionpride_exec._display.pieces import Series, cut, section, share, table
from lionpride_exec._display.quantities import (
    HOUR,
    MINUTE,
    shown_decade,
    shown_length,
    shown_moment,
    shown_number,
    shown_time,
)

from .charts import LABELS, columns, ticks
from .summary import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._model.run_record import RunReport

    from .scales import Axis
    from .starts import Starts
    from .summary import Lengths, Summary

V = TypeVar("V")

# Powers of ten that have room under a chart of half the width of the page.
MOST_LABELS: Final = 6

# The slots are drawn as a line if so many of them were in use at some time. Otherwise the line would flatten the chart.
LEAST_USED: Final = 0.25

# Columns that stand for a time that was left out.
BREAK: Final = 2


def throughput_section(report: RunReport, summary: Summary) -> Markup | None:
    """Return the events that ended over time. None if none did."""
    if summary.axis is None or not summary.ends:
        return None
    undated = sum(report.times.undated.values())
    lead = f"Events that ended, in steps of {shown_length(summary.axis.width)}.{_left_out(summary)}"
    if undated:
        lead += f" {counted(undated, 'event')} ended at a time that is not known."
    series = [Series(status, values) for status, values in summary.ends.items()]
    return section("Throughput", lead, _over_time(summary, summary.axis, series, "Events that ended, over time"))


def busy_section(report: RunReport, summary: Summary) -> Markup | None:
    """Return how many events ran over time. None if none did."""
    if summary.axis is None or not any(summary.busy):
        return None
    caption = "Events that ran at the same time, over time"
    bound = report.slots if report.slots and max(summary.busy) >= report.slots * LEAST_USED else None
    chart = _over_time(summary, summary.axis, [Series("running", summary.busy)], caption, bound=bound)
    lead = f"How many events ran on average, in steps of {shown_length(summary.axis.width)}."
    if report.slots:
        lead += f" {counted(report.slots, 'slot')}{'' if bound is None else ': the line'}."
    if report.times.repeated:
        lead += f" {counted(report.times.repeated, 'run')} that had to be repeated are among them."
    return section("Running at the same time", lead, chart)


def _left_out(summary: Summary) -> str:
    pauses = [shown_length(end - begin) for begin, end in summary.pauses]
    if not pauses:
        return ""
    verb = "is" if len(pauses) == 1 else "are"
    return f" {counted(len(pauses), 'pause')} without events {verb} left out: {', '.join(pauses)}."


def _over_time(
    summary: Summary, axis: Axis, series: Sequence[Series], caption: str, *, bound: float | None = None
) -> Markup:
    """Return a chart over time, in which the pauses are narrow."""
    span = axis.begins[-1] + axis.width - axis.begins[0]
    needs_seconds = axis.width < MINUTE and span > HOUR * 12
    names = [shown_moment(at) if needs_seconds else shown_time(at, span=span) for at in axis.begins]
    if len(axis.pieces) == 1:
        labels = [shown_time(axis.begins[0] + span * place / (LABELS - 1), span=span) for place in range(LABELS)]
        return columns(series, names, labels, caption=caption, bound=bound)
    spread = [Series(one.name, _spread(axis, one.values, 0)) for one in series]
    lengths = [shown_length(end - begin) for begin, end in summary.pauses]
    begins = [first + BREAK * number for number, first in enumerate(axis.firsts)]
    breaks = {
        first - back: f"{length} without events"
        for first, length in zip(begins[1:], lengths, strict=True)
        for back in range(BREAK, 0, -1)
    }
    all_names = _spread(axis, names, "")
    marks = [
        (first / len(all_names), shown_time(axis.begins[place], span=span))
        for first, place in zip(begins, axis.firsts, strict=True)
    ]
    marks.append((1.0, shown_time(axis.begins[-1] + axis.width, span=span)))
    return columns(spread, all_names, ticks(marks), caption=caption, breaks=breaks, bound=bound)


def _spread(axis: Axis, values: Sequence[V], empty: V) -> list[V]:
    """Return the values of the bins, with empty columns for the pauses."""
    ends = [*axis.firsts[1:], axis.count]
    pieces = [values[first:end] for first, end in zip(axis.firsts, ends, strict=True)]
    return list(
        chain.from_iterable([*([empty] * BREAK if number else ()), *piece] for number, piece in enumerate(pieces))
    )


def start_section(summary: Summary) -> Markup | None:
    """Return how many runs began in a stretch of time, beside what was allowed. None if none began."""
    if not summary.starts:
        return None
    has_keys = any(one.key is not None for one in summary.starts)
    span = summary.stretches[-1][1] - summary.stretches[0][0]
    rows = [_start_row(one, span, has_keys=has_keys) for one in summary.starts]
    heads = ("in any", *(("of",) if has_keys else ()), "runs", "limit", "", "until")
    kinds = ("fixed", *(("wide",) if has_keys else ()), "number", "number", "bar", "number rare")
    lead = "The most runs that began in any stretch of time of this length, wherever it begins, beside the limit."
    if has_keys:
        lead += " Of the keys of a limit, the one that came nearest to its amount."
    return section("Starts", lead, table(heads, rows, kinds))


def _start_row(one: Starts, span: float, *, has_keys: bool) -> tuple[str | Markup, ...]:
    amount, most = one.amount, one.most
    bar = (
        "" if amount is None or most is None else share(most, max(amount, most), "over" if most > amount else "events")
    )
    return (
        shown_length(one.per),
        *((_key_cell(one),) if has_keys else ()),
        "-" if most is None else f"{most:,}",
        "-" if amount is None else shown_number(amount),
        bar,
        "-" if one.at is None else shown_time(one.at, span=span),
    )


def _key_cell(one: Starts) -> str | Markup:
    if one.key is None:
        return "all"
    if one.value is None:
        return element("span", "each ", element("code", cut(one.key)), ", which is not known here")
    rest = f", of {counted(one.keys, 'key')}" if one.keys > 1 else ""
    return element("span", element("code", cut(one.key)), " ", element("code", cut(one.value)), rest)


def length_sections(summary: Summary) -> Markup | None:
    """Return how long runs took and how long events waited, side by side. None if neither is known."""
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
    return section(title, lead, element("ul", *facts, class_="legend"), chart)
