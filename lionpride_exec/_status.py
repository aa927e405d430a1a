"""
The life of an event, as data.

:data:`TRANSITIONS` is the only place that says which status may follow which. The table is total: a final status has an
empty row, so a test or a diagram that iterates over the table sees every status.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class EventStatus(StrEnum):
    """
    Where an event stands. A member equals its lower-case string and hashes like it.

    The first two are passed through, the other five are final.
    """

    PENDING = "pending"
    """Not started: queued, or waiting for a slot, for capacity, for its gate."""
    PROCESSING = "processing"
    """Running now."""
    COMPLETED = "completed"
    """Returned a value."""
    FAILED = "failed"
    """Raised an exception."""
    CANCELLED = "cancelled"
    """Stopped by its own timeout or by a cancellation."""
    SKIPPED = "skipped"
    """Not run, or not run to its end, because a condition was not met."""
    ABORTED = "aborted"
    """Refused before it started."""

    # Enum hashes the name and looks it up in Python. A member equals its string, so it has to hash like it;
    # being written in C is a welcome side effect, since every transition looks statuses up.
    __hash__ = str.__hash__

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow this status."""
        return self in TERMINAL

    @classmethod
    def allowed(cls) -> tuple[str, ...]:
        """All values, in the order of definition."""
        return tuple(member.value for member in cls)


_S = EventStatus

TRANSITIONS: Final[Mapping[EventStatus, frozenset[EventStatus]]] = MappingProxyType(
    {
        _S.PENDING: frozenset({_S.PROCESSING, _S.CANCELLED, _S.SKIPPED, _S.ABORTED}),
        # Back to PENDING: a retry, or an interruption before the end.
        _S.PROCESSING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.SKIPPED, _S.PENDING}),
        _S.COMPLETED: frozenset(),
        _S.FAILED: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.SKIPPED: frozenset(),
        _S.ABORTED: frozenset(),
    }
)

TERMINAL: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)

# The final statuses that are failures. SKIPPED is none: an event that skips itself had nothing to do.
FAILURES: Final = frozenset({_S.FAILED, _S.CANCELLED, _S.ABORTED})
