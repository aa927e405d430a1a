"""The history of an event: its transitions and its earlier attempts as one list of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from lionpride_exec._faces.snapshot import EventView


@attrs.frozen
class Step:
    """
    Something that happened to an event.

    Attributes:
        at: When. None if that is not known.
        status: The status that it came to, or how an attempt ended.
        attempt: The number of the attempt. 0 before the first one.
        after: Seconds since the step before. None for the first one, and where it is not known.
        error: What went wrong. None if nothing did.
    """

    at: float | None
    status: str
    attempt: int
    after: float | None
    error: str | None


def steps_of(view: EventView) -> list[Step]:
    """
    Return what happened to an event, oldest first.

    A journal has the transitions only with ``audit=True``. Otherwise the times of the event and of its attempts say
    most of the same.
    """
    found = [(one.at, one.status, one.attempt, one.error) for one in view.transitions] or _told_by_times(view)
    steps: list[Step] = []
    before: float | None = None
    for at, status, attempt, error in found:
        steps.append(Step(at, status, attempt, None if at is None or before is None else max(at - before, 0.0), error))
        before = at if at is not None else before
    return steps


def _told_by_times(view: EventView) -> list[tuple[float | None, str, int, str | None]]:
    line = view.line
    found: list[tuple[float | None, str, int, str | None]] = []
    if line.queued is not None:
        found.append((line.queued, "pending", 0, None))
    for attempt in view.attempts:
        found.append((attempt.started, "processing", attempt.number, None))
        found.append((attempt.finished, attempt.outcome, attempt.number, attempt.error))
    if line.started is not None:
        found.append((line.started, "processing", line.attempt, None))
    if line.finished is not None:
        found.append((line.finished, line.status, line.attempt, line.error))
    return found
