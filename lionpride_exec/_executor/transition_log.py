"""A line in the log for each transition that a program wants to see, with the names that traces use."""

from __future__ import annotations

from logging import DEBUG, INFO, WARNING, getLogger
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._events.log_fields import kind_of
from lionpride_exec._events.observed import waited
from lionpride_exec._events.outcome_words import outcome_of
from lionpride_exec._status import PROCESSING, TERMINAL, EventStatus
from lionpride_exec._tracking.unseen_failures import look_at

from .telemetry_access import TelemetryAccess

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event

    from .executor import Executor

logger = getLogger("lionpride_exec")


def log_transitions(
    executor: Executor,
    *,
    failed: int | None = WARNING,
    aborted: int | None = WARNING,
    cancelled: int | None = INFO,
    retried: int | None = INFO,
    ended: int | None = DEBUG,
    started: int | None = None,
    payload: bool = False,
) -> Callable[[], None]:
    """
    Log what becomes of each event, by the logger ``lionpride_exec``. Return a function that ends this.

    A line is ``KIND ID STATUS``, for instance ``fetch 5f0c... failed``. All else is in ``extra``, under the names that
    spans use: ``lionpride.executor``, ``lionpride.event.id``, ``.kind``, ``.status``, ``.attempt``, ``.key``,
    ``.duration`` (seconds), ``.wait`` (seconds) and ``error.type``. What is not known is left out.

    Failures that are logged count as looked at. A transition that no handler wants costs about half a microsecond.

    Args:
        executor: The executor. With a cluster, the events that this executor has submitted are logged.
        failed: The level for events that end FAILED, such as ``logging.ERROR`` (40). None for no line.
        aborted: The level for events that end ABORTED, or None.
        cancelled: The level for events that end CANCELLED, or None.
        retried: The level for runs after which the event runs again, or None.
        ended: The level for events that end COMPLETED or SKIPPED, or None.
        started: The level for runs that begin, or None.
        payload: Whether a line shows the fields of the event and the message of its error too. Stars replace secret
            fields.
    """
    levels = {
        EventStatus.PROCESSING: started,
        EventStatus.FAILED: failed,
        EventStatus.ABORTED: aborted,
        EventStatus.CANCELLED: cancelled,
        EventStatus.PENDING: retried,
        EventStatus.COMPLETED: ended,
        EventStatus.SKIPPED: ended,
    }
    access = TelemetryAccess(executor)

    def note(event: Event[Any], _: EventStatus, status: EventStatus) -> None:
        """Log a transition, if its level is wanted."""
        level = levels[status]
        if level is None or not logger.isEnabledFor(level):
            return
        outcome = None if status is PROCESSING else outcome_of(event, status)
        word = "started" if outcome is None else outcome.status
        fields = {"lionpride.executor": access.name, **_fields(event, word, access.key_of(event))}
        if outcome is not None and outcome.error_type:
            fields["error.type"] = outcome.error_type
        text = "%s %s %s: %r" if payload else "%s %s %s"
        values: list[object] = [fields["lionpride.event.kind"], event.id, word, *([event] if payload else [])]
        if payload and outcome is not None and error_in(outcome.error) is not None:
            text += ": %s"
            values.append(outcome.message(event))
        logger.log(level, text, *values, extra=fields)
        if status in TERMINAL:
            look_at(event)

    ends = [access.observe(note), *([] if started is None else [access.keep_times()])]

    def end() -> None:
        """Log no more. Another call does nothing."""
        while ends:
            ends.pop()()

    return end


def _fields(event: Event[Any], word: str, key: object) -> dict[str, Any]:
    """Return what is known of an event, under the names that spans use."""
    execution = event.execution
    fields: dict[str, Any] = {
        "lionpride.event.id": str(event.id),
        "lionpride.event.kind": kind_of(event),
        "lionpride.event.status": word,
        "lionpride.event.attempt": execution.attempt,
    }
    if key is not None:  # a key may be of any class, and not every class has a form in JSON
        fields["lionpride.event.key"] = key if isinstance(key, str | int) else str(key)
    if word == "started":
        seconds = waited(event)
        if seconds is not None:
            fields["lionpride.event.wait"] = seconds
    elif isinstance(execution.duration, float):
        fields["lionpride.event.duration"] = execution.duration
    return fields


log_transitions.__module__ = "lionpride_exec.telemetry"  # from where users import it
