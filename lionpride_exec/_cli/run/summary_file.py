"""``--summary FILE``: how a run has ended, for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from lionpride_exec._status import EventStatus

    from .summary import Tally


def summary_of(tally: Tally, errors: Mapping[str, int], exit_status: int, *, has_read_all: bool) -> dict[str, Any]:
    """
    Return how a run has ended, as JSON data.

    Args:
        tally: What has become of the lines.
        errors: How many events have failed in this run, by the class of the error.
        exit_status: The exit status of the command.
        has_read_all: Whether INPUT was read to its end.
    """
    progress = tally.look(0)
    return {
        "exit_status": exit_status,
        "seconds": round(tally.elapsed, 3),
        "lines": tally.known,
        "read_all": has_read_all,
        "statuses": _counts(tally.ended + tally.before),
        "done_before": _counts(tally.before),
        "pending": tally.unfinished,
        "left": {why: number for why, number in tally.left().items() if number},
        "bad_lines": tally.bad,
        "errors": dict(errors),
        "retries": 0 if progress is None else progress.retries,
        "rate_limited": 0 if progress is None else progress.rate_limited,
    }


def _counts(counter: Counter[EventStatus]) -> dict[str, int]:
    return {status.value: number for status, number in sorted(counter.items()) if number}


def write_summary(path: str, summary: Mapping[str, Any]) -> None:
    """
    Replace a file by a summary. A reader finds the old file or the new one, and never a part.

    Raises:
        OSError: The file cannot be written.
    """
    place = Path(os.path.realpath(path))
    other = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        other.write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
        other.replace(place)
    finally:
        other.unlink(missing_ok=True)
