"""What traces, metrics and logs say of an event. They share these names, so that a user learns them once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lionpride_exec._base.exception_groups import error_in, is_of, leaves, text_of
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._events.call import Call, lasting_name_of
from lionpride_exec._status import PENDING, EventStatus
from lionpride_exec.errors import EventCancelled, RateLimited

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

# The longest message of an error that leaves the process.
MAX_MESSAGE: Final = 200

# Above this number of kinds, all others have one name. A program that makes classes or functions as it goes would
# otherwise make a metric of each.
MAX_KINDS: Final = 100
OTHER: Final = "_other"


def kind_of(event: Event[Any]) -> str:
    """Return the tag of the class of an event, else the name of the class. For a ``Call``, that of the function."""
    if isinstance(event, Call):
        try:
            return _name_of_function(event.function)
        except TypeError:  # it cannot be hashed
            return lasting_name_of(event.function)
    cls = type(event)
    return cls._kind.tag or cls.__qualname__


# The name takes a microsecond, and most programs call a few functions only.
_name_of_function = lru_cache(maxsize=64)(lasting_name_of)


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
        kind = type(self.error)
        return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

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
