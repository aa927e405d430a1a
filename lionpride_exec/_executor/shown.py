"""An executor as a text, and in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.wording import counted
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from .parts import Parts

# The statuses as words of a line, in their order. Zeros are left out.
_WORDS: Final = {"pending": "pending", "processing": "running"}


def executor_text(executor: Any, parts: Parts) -> str:
    """Return the name, the slots, whether the executor runs, and the events by status, without zeros. O(1)."""
    slots = "" if executor.processor is None else f"{counted(executor.processor.concurrency_limit, 'slot')}, "
    counts = _counts(executor, parts).items()
    told = ", ".join(f"{number} {_WORDS.get(status, status)}" for status, number in counts if number)
    return f"Executor({executor.name!r}, {slots}{state_of(executor)}: {told or 'no events'})"


def executor_bundle(executor: Any, parts: Parts) -> dict[str, str]:
    """Return an executor as text, and as HTML for a notebook. O(number of events that wait for a limit)."""
    from lionpride_exec._display.notebook import bundle, facts, frame  # noqa: PLC0415  for notebooks only

    from .explanation import counts_bar, statistics_rows  # noqa: PLC0415  likewise

    try:
        rows = statistics_rows(executor.statistics())
    except RuntimeError:  # no event loop runs here
        rows = []
    bar = counts_bar(_counts(executor, parts))
    return bundle(repr(executor), frame(f"Executor {executor.name}", state_of(executor), bar, facts(rows)))


def _counts(executor: Any, parts: Parts) -> dict[str, int]:
    """Return the events by status. Events that have ended and left memory, such as those of a map, count too."""
    counts: dict[str, int] = executor.status_counts()
    if parts.link is not None:
        return counts  # of all events in the journal
    return {status: number + parts.retention.removed.get(EventStatus(status), 0) for status, number in counts.items()}


def state_of(executor: Any) -> str:
    """Return whether an executor runs, in one or two words."""
    processor = executor.processor
    if processor is None:
        return "not started"
    if executor.is_abandoned or processor.is_stopped():
        return "stopped"
    return "paused" if executor.is_paused else "running"
