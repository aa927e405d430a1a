"""What traces, metrics and logs say of how a run has ended. They share these words, so that a user learns them once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lionpride_exec._base.exception_groups import error_in, is_of, leaves, text_of
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._status import PENDING, EventStatus
from lionpride_exec.errors import EventCancelled, RateLimited

from .log_fields import type_name

if TYPE_CHECKING:
    from .event import Event

# The longest message of an error that leaves the process.
MAX_MESSAGE: Final = 200


class Outcome(NamedTuple):
    """
    How a run has ended, or an event that never ran.

    Attributes:
        status: The final status, or "retried" if the event has gone back to PENDING.
        error: What the run has ended with. None if there is none.
        is_failure: Whether this counts as an error. A skipped event and an interrupted run do not.
        reason: Why the event runs again: "error", "rate_limited" or "interrupted". "" if it does not.
    """

    status: str
    error: BaseException | None
    is_failure: bool
    reason: str = ""

    @property
    def error_type(self) -> str:
        """The full name of the type of the error. "interrupted" for a run that was stopped, "" without an error."""
        if self.error is None or self.status == EventStatus.SKIPPED:
            return ""
        if self.reason == "interrupted":
            return self.reason
        return type_name(self.error)

    def message(self, event: Event[Any]) -> str:
        """Return the message of the error in one line, without secrets of the event, cut at 200 characters."""
        text = mask(text_of(self.error), secrets_of(event))
        return text.strip().partition("\n")[0][:MAX_MESSAGE]


def outcome_of(event: Event[Any], status: EventStatus) -> Outcome:
    """Return the outcome of a transition from PROCESSING, or to a final status."""
    execution = event.execution
    if status is not PENDING:
        is_failure = status not in (EventStatus.COMPLETED, EventStatus.SKIPPED)
        return Outcome(status.value, error_in(execution.error), is_failure)
    attempt = execution.attempts[-1]
    error = attempt.error
    reason = "error"
    if attempt.interrupted:
        is_refused = error is not None and any(is_of(leaf, RateLimited) for leaf in leaves(error))
        reason = "rate_limited" if is_refused else "interrupted"
    return Outcome("retried", error or EventCancelled("interrupted"), reason == "error", reason)
