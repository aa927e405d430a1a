"""The promises that only a machine can check, because the machine knows what it has done."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lionpride_exec.testing._invariants.invariant import InvariantBroken, broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec._events.event import Event

PROMISES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "calls_return": "Every call returns, however long that takes.",
        "refused_leaves_no_trace": "A refused or withdrawn event is as before, and not in the executor.",
        "known_once": "An event is taken in once, and the work of a key is one event.",
        "nothing_is_lost": "An event that was taken in is in the executor until it has ended or is cleaned up.",
        "final_stays": "A final status never changes. Without a retry(), an event that has ended does not run again.",
        "attempts_are_bounded": "An event makes no more attempts than its Retry allows; without one, it makes one.",
        "runs_are_recorded": "Each run of an event is among its attempts.",
        "cancel_tells": "cancel(), skip() and set_priority() return what they do, and what waits ends at once.",
        "runs_again": "retry() puts a new object in the place of an event that has ended, and of no other.",
        "abandoned_ends": "The event of a cancelled invoke(cancel_on_abandon=True) waits no more, and never begins.",
        "stop_waits": "When stop() returns nothing runs.",
        "join_waits": "When join() returns nothing runs; nothing is pending either, unless it is stopped.",
        "block_waits": "A block that is left normally leaves nothing pending.",
        "schedules_keep_times": "Each due time is dealt with once, none early, and runs overlap as the schedule says.",
        "maps_return_each": "A map returns one event for each item, after its end; nothing waits when it is left.",
        "nobody_waits_for_ever": "Every task that waits for an event of a running executor is woken.",
        "explained": "explain() and statistics() agree with the statuses.",
        "acknowledged_survives": "Each acknowledged event is in the journal after a crash.",
        "ended_stays_ended": "An event that has ended in the journal (strict: for anybody) does not run after a crash.",
        "everything_ends": "Resumed, started, and with open gates, the executor brings everything to an end.",
    }
)


def require(holds: object, promise: str, found: str, *events: Event) -> None:
    """
    Raise if a promise does not hold.

    Raises:
        InvariantBroken: The promise does not hold. The error has the name of the promise, what was found, and the
            events concerned.
    """
    if not holds:
        raise promise_broken(promise, found, *events)


def promise_broken(promise: str, found: str, *events: Event) -> InvariantBroken:
    """Return the error for a broken promise."""
    return broken(promise, PROMISES[promise], found, events)
