"""What traces, metrics and logs say of an event. They share these names, so that a user learns them once."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from lionpride_exec._base.exception_groups import error_in, is_of, leaves, text_of
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._events.call import Call
from lionpride_exec._events.log_fields import kind_of, type_name
from lionpride_exec._status import PENDING, EventStatus
from lionpride_exec.errors import EventCancelled, RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lionpride_exec._events.event import Event

T = TypeVar("T")

# What makes spans and metrics: the name of the library, its version, and the names of attributes that it uses.
LIBRARY: Final = "lionpride_exec"
VERSION: Final = version("lionpride-exec")
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

# The longest message of an error that leaves the process.
MAX_MESSAGE: Final = 200

# Above this number of kinds, all others have one name. A program that makes classes or functions as it goes would
# otherwise make a metric of each.
MAX_KINDS: Final = 100
OTHER: Final = "_other"

# How many classes and functions are remembered with what belongs to their kind. Above that, all of them are forgotten:
# a program that makes functions as it goes would otherwise keep each of them alive.
MAX_REMEMBERED: Final = 1000


class ByKind(Generic[T]):
    """
    What belongs to the kind of an event, remembered by the class of the event, or by the function of a ``Call``.

    Args:
        make: Makes it for a kind.
    """

    __slots__ = ("_made", "_make", "_of")

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._made: dict[str, T] = {}
        self._of: dict[Hashable, T] = {}

    def of(self, event: Event[Any]) -> T:
        """Return what belongs to the kind of an event. Above 100 kinds, that of ``_other``. O(1)."""
        what: Any = event.function if isinstance(event, Call) else type(event)
        try:
            return self._of[what]
        except KeyError:
            found = self._find(event)
            if len(self._of) >= MAX_REMEMBERED:
                self._of.clear()
            self._of[what] = found
            return found
        except TypeError:  # a function that cannot be hashed
            return self._find(event)

    def all(self) -> tuple[T, ...]:
        """Return what there is. For any thread."""
        return tuple(self._made.values())

    def _find(self, event: Event[Any]) -> T:
        kind = kind_of(event)
        if kind not in self._made and len(self._made) >= MAX_KINDS:
            kind = OTHER
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]


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
