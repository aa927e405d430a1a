"""``report()``: a run as a page for people."""

from __future__ import annotations

import os
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.stored_names import public_home
from lionpride_exec._executor.executor import Executor
from lionpride_exec._executor.opening_fact import has_window, limit_form
from lionpride_exec._journal import Journal
from lionpride_exec._journal.file_lock import is_part_of
from lionpride_exec._model.limits import Rate
from lionpride_exec._model.run_record import ALL_TIME, LimitStarts, Window
from lionpride_exec._validation import check_seconds

from .live import executor_report
from .page import encoded, page_of
from .recording import RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lionpride_exec._model.run_record import RunReport


def report(
    source: str | os.PathLike[str] | Journal | Executor | RunRecord,
    output: str | os.PathLike[str],
    *,
    top: int = 20,
    since: float | datetime | None = None,
    until: datetime | None = None,
    limits: Iterable[Rate] | Rate = (),
    zoom: bool = False,
    title: str | None = None,
) -> None:
    """
    Write how a run goes, or went, as one HTML file: ``report("run.db", "run.html")``.

    The file has counts, charts over time, errors by shape and the slowest events. It loads nothing, and has no script
    unless ``zoom`` is True. It has the errors and tags of events, and neither their data nor their keys nor their
    results. Of lines that failed it has some ids, if the command was given ``--id``. Of a limit with keys it has the
    key that came nearest to its amount.

    A process may run a journal meanwhile: neither waits for the other, and the page shows the last commit.

    The call blocks for some seconds for a million events, and needs 100 bytes of memory for each. A journal, also that
    of an executor, can be read in another thread: ``anyio.to_thread.run_sync()``. For an executor without a journal,
    and for a record of one, make the call in the thread of its event loop.

    Args:
        source: The journal, or the path of its file. Or an executor: its journal, or else what is in memory of its
            events. Or what :func:`record_runs` has recorded.
        output: The HTML file. It is replaced if it exists.
        top: How many events and errors of each kind are named; 0 or more.
        since: Only what happened from then on: a time with a time zone, or how many seconds ago. None for all. Events
            that are open are those of now.
        until: Only what happened before then. None for all.
        limits: Rates to compare the starts with, beside those that are known. Without keys and costs.
        zoom: Whether each run is in the page, with a script that lets people zoom into them. About 6 bytes for each.
        title: The heading of the page. None, or an empty text, for the name of the journal or of the executor.

    Raises:
        ConfigurationError: The extra ``journal`` is not installed, and ``source`` is a journal.
        TypeError: ``source`` is none of these.
        ValueError: ``top`` is negative, ``output`` is a file of the journal, a time has no time zone, or a limit has
            a key or a cost.
        JournalError: The journal cannot be read. ``output`` is as it was.
        OSError: ``output`` cannot be written.
    """
    if top < 0:
        raise ValueError(f"top must be 0 or more, got {top}")
    window, extra = _window(since, until), _starts_of(limits)
    if isinstance(source, Executor) and source.journal is not None:
        source = source.journal
    if isinstance(source, Executor):
        found = executor_report(source, top=top, window=window, limits=extra, keeps_runs=zoom)
    elif isinstance(source, RunRecord):
        found = source._report(top=top, window=window, limits=extra, keeps_runs=zoom)
    else:
        found = _of_journal(source, output, top=top, window=window, limits=extra, keeps_runs=zoom)
    Path(output).write_bytes(encoded(page_of(found, zoom=zoom, title=title)))


def _of_journal(source: str | os.PathLike[str] | Journal, output: str | os.PathLike[str], **options: Any) -> RunReport:
    if not isinstance(source, str | os.PathLike | Journal):
        raise TypeError(f"source must be a journal, an executor or a record of runs, got {source!r}")
    path = (source if isinstance(source, Journal) else Journal(source)).path
    if is_part_of(path, output):
        raise ValueError(f"output must not be a file of the journal, got {os.fspath(output)!r}")
    from lionpride_exec._journal.reader import JournalReader  # noqa: PLC0415  needs the extra
    from lionpride_exec._journal.run_report import read_report  # noqa: PLC0415  likewise

    with JournalReader(path) as reader:
        return read_report(reader, **options)


def _window(since: float | datetime | None, until: datetime | None) -> Window:
    if since is None and until is None:
        return ALL_TIME
    begin = -inf if since is None else _moment("since", since)
    if until is not None and not isinstance(until, datetime):
        raise ValueError(f"until must be a time with a time zone, got {until!r}")
    end = inf if until is None else _moment("until", until)
    if begin >= end:
        raise ValueError(f"since must be before until, got {since!r} and {until!r}")
    return Window(begin, end)


def _moment(name: str, value: float | datetime) -> float:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{name} must have a time zone, got {value!r}: use utc_now() or .astimezone()")
        return value.timestamp()
    return wall_clock.seconds() - check_seconds(name, value)


def _starts_of(limits: Iterable[Rate] | Rate) -> list[LimitStarts]:
    found: list[LimitStarts] = []
    for limit in (limits,) if isinstance(limits, Rate) else limits:
        if not has_window(limit) or limit.key is not None:
            raise ValueError(f"limits must be rates without a key and a cost, got {limit!r}")
        form = limit_form(limit)
        found.append(LimitStarts(form["per"], form["amount"]))
    return found


report.__module__ = public_home(report.__module__)
