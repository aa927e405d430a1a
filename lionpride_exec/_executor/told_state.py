"""
The state of an executor as JSON-safe data, for a process that looks at its journal.

Such a process reads events in the file. What events wait for, the slots, the limits and the pauses are known only here.
"""

from __future__ import annotations

from heapq import nlargest
from math import inf
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.key_texts import key_text
from lionpride_exec._base.wording import MAX_SECONDS

if TYPE_CHECKING:
    from lionpride_exec._processing.pause_records import Pause

    from .explanation import LimitUse, Statistics
    from .facade import Facade

# Pauses that are told, those that end last.
MOST_PAUSES = 100


def told_state(executor: Facade, limits: int) -> dict[str, Any]:
    """
    Return the state of an executor.

    Args:
        executor: The executor.
        limits: How many uses of limits are told, those of the fullest ones.
    """
    statistics, progress = executor.statistics(), executor.progress()
    return {
        "is_running": statistics.is_running,
        "is_paused": statistics.is_paused,
        "progress": str(progress),
        "rate": progress.rate,
        "seconds_left": progress.seconds_left,
        "slots": statistics.concurrency_limit,
        "slots_used": statistics.running,
        "waits": {str(reason): number for reason, number in statistics.waits.items()},
        "pauses": [
            [pause_name(pause), None if pause.seconds > MAX_SECONDS else pause.seconds, pause.reason]
            for pause in statistics.pauses[:MOST_PAUSES]
        ],
        "limits": [
            [repr(use.limit), key_text(use.key), use.used, use.amount, use.per] for use in fullest(statistics, limits)
        ],
    }


def fullest(statistics: Statistics, count: int) -> list[LimitUse]:
    """Return the uses of the fullest limits, the fullest first."""
    return nlargest(count, statistics.limits, key=_fullness)


def _fullness(use: LimitUse) -> float:
    return use.used / use.amount if use.amount else inf


def pause_name(pause: Pause) -> str | None:
    """Return the name of what a pause is about: the key, or else the limit. None for everything."""
    if pause.key is not None or pause.limit is None:
        return key_text(pause.key)
    return pause.limit.name or repr(pause.limit)
