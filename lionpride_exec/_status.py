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


# The members as names of this module, for code that each event goes through. An event needs 16 of them on its way. An
# attribute of an enum takes 48 ns, since its metaclass has a ``__getattr__()``; a name of a module takes 4 ns (2 cores,
# CPython 3.11.7, 2026-11-29).
PENDING: Final = EventStatus.PENDING
PROCESSING: Final = EventStatus.PROCESSING
COMPLETED: Final = EventStatus.COMPLETED
FAILED: Final = EventStatus.FAILED
CANCELLED: Final = EventStatus.CANCELLED
SKIPPED: Final = EventStatus.SKIPPED
ABORTED: Final = EventStatus.ABORTED

TRANSITIONS: Final[Mapping[EventStatus, frozenset[EventStatus]]] = MappingProxyType(
    {
        PENDING: frozenset({PROCESSING, CANCELLED, SKIPPED, ABORTED}),
        # Back to PENDING: a retry, or an interruption before the end.
        PROCESSING: frozenset({COMPLETED, FAILED, CANCELLED, SKIPPED, PENDING}),
        COMPLETED: frozenset(),
        FAILED: frozenset(),
        CANCELLED: frozenset(),
        SKIPPED: frozenset(),
        ABORTED: frozenset(),
    }
)

TERMINAL: Final = frozenset(status for status, following in TRANSITIONS.items() if not following)

# The final statuses that are failures. SKIPPED is none: an event that skips itself had nothing to do.
FAILURES: Final = frozenset({FAILED, CANCELLED, ABORTED})

# The final statuses of events that did not complete, in the order of definition.
BAD: Final[tuple[EventStatus, ...]] = tuple(
    status for status in EventStatus if status in TERMINAL and status is not COMPLETED
)

# The status that only a journal knows: the event ran when the process died, and its class wants a decision before it
# runs again. In memory the event is PENDING.
HELD: Final = "held"

# The statuses as journals and pages have them: as plain texts.
FINAL: Final = tuple(status.value for status in EventStatus if status in TERMINAL)
OPEN: Final = (PENDING.value, PROCESSING.value, HELD)
