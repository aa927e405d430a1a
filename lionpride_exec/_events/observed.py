"""What observers ask of an event, and what is told to those that cannot observe it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .intake import Intake

if TYPE_CHECKING:
    from .lifecycle import EventLifecycle


def intake_of(event: EventLifecycle) -> Intake:
    """Return how an event came in. An event that came back from a journal or from a server gets a new record."""
    intake = event._intake
    if intake is None:
        intake = Intake()
        event._set("_intake", intake)
    return intake


def known_intake(event: EventLifecycle) -> Intake | None:
    """Return how an event came in. None if nobody observed that."""
    return event._intake


def waited(event: EventLifecycle) -> float | None:
    """Return the seconds for which an event has been PENDING, 0 or more. None if that is not known."""
    intake, host = event._intake, event._host
    if intake is None or host is None or intake.since is None:
        return None
    # The executor may have been started in another event loop since, whose clock shows another time.
    return max(host.clock() - intake.since, 0.0)


def has_task(event: EventLifecycle) -> bool:
    """Return whether a task runs the event now: this task, at the transition to PROCESSING."""
    return event._current_run.is_active


def leave(event: EventLifecycle) -> None:
    """Note that an event leaves its executor, so that no observer is told of the end of its run."""
    intake = event._intake
    if intake is not None and intake.at_removal is not None and event._current_run.is_active:
        event._call_at_end(intake.at_removal)
