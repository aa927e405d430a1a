"""
The state of an executor as JSON-safe data, for a process that looks at its journal.

Such a process reads events in the file. What events wait for, the slots, the limits and the pauses are known only here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.key_texts import key_text
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import MAX_SECONDS

from .pause_names import one_for_each, pause_name

if TYPE_CHECKING:
    from lionpride_exec._processing.pause_records import Pause

    from .facade import Facade

# How many pauses are told. The ones that end last come first.
MOST_PAUSES: Final = 100


async def told_state(executor: Facade, limits: int) -> dict[str, Any]:
    """
    Return the state of an executor, all of one moment. Looks in pieces, see ``moments``.

    Args:
        executor: The executor.
        limits: How many uses of limits are told, those of the fullest ones.
    """
    statistics, progress = await executor._moment()
    uses = statistics.limits[:limits]
    return {
        "at": wall_clock.seconds(),
        "counts": dict(statistics.status_counts),
        "is_running": statistics.is_running,
        "is_paused": statistics.is_paused,
        "progress": str(progress),
        "rate": progress.rate,
        "seconds_left": progress.seconds_left,
        "is_growing": progress.is_growing,
        "slots": statistics.concurrency_limit,
        "slots_used": statistics.running,
        "waits": {str(reason): number for reason, number in statistics.waits.items()},
        "pauses": [pause_fields(pause) for pause in one_for_each(statistics.pauses)[:MOST_PAUSES]],
        "limits": [[repr(use.limit), key_text(use.key), use.used, use.amount, use.per] for use in uses],
        "limit_names": [use.limit.name for use in uses],
    }


def pause_fields(pause: Pause) -> tuple[str | None, float | None, str]:
    """Return the name of a pause, the seconds until it ends, and its reason. The seconds are None without an end."""
    return pause_name(pause), None if pause.seconds > MAX_SECONDS else pause.seconds, pause.reason
