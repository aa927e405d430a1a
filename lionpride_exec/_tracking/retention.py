"""Which ended events an executor keeps in memory."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from lionpride_exec._base.wall_clock import wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.retain import Retain
    from lionpride_exec._status import EventStatus

    from .status_index import StatusIndex


class StoredEnds(Protocol):
    """The journal of an executor, as the retention sees it."""

    def is_end_written(self, event: Event) -> bool:
        """Return whether the end of an event is on disk."""
        ...

    def remember(self, event: Event, status: EventStatus) -> None:
        """Count an event that is only on disk, and remember that the event has ended."""


class Retention:
    """
    Lets events leave memory after their end, by the rules.

    Args:
        index: Where the events are.
        rules: The rule of each final status that has a rule.
        forget_key: Called with the id of each event that leaves.
        stored: The journal. An event leaves only once its end is in the journal. None if there is no journal.

    Attributes:
        removed: How many events have left the executor after their end, by status. They still count as done.
        ended_before: How many events had ended before they came, by status. They count as done, but not for the rate.
        run_again: How many events that had ended were replaced to run again, by the status of that end.
    """

    __slots__ = ("_forget_key", "_index", "_stored", "ended_before", "removed", "rules", "run_again")

    def __init__(
        self,
        index: StatusIndex,
        rules: Mapping[EventStatus, Retain],
        forget_key: Callable[[UUID], None],
        stored: StoredEnds | None,
    ) -> None:
        self.rules: Mapping[EventStatus, Retain] = rules
        self.removed: Counter[EventStatus] = Counter()
        self.ended_before: Counter[EventStatus] = Counter()
        self.run_again: Counter[EventStatus] = Counter()
        self._index = index
        self._forget_key = forget_key
        self._stored = stored

    def ended_here(self, done: Mapping[EventStatus, int]) -> dict[EventStatus, int]:
        """
        Return how many events have ended in this executor, by status. An event that ran again has ended twice.

        Args:
            done: How many events are ended, with those that were removed and those that had ended before they came.
        """
        before, again = self.ended_before, self.run_again
        return {status: max(number - before[status] + again[status], 0) for status, number in done.items()}

    def apply(self, status: EventStatus) -> None:
        """Let the oldest events with a status leave, as far as the rule asks and they can."""
        rule = self.rules.get(status)
        if rule is not None:
            self._apply_rule(status, rule)

    def apply_all(self) -> None:
        """Apply the rule of every status, now that a lock is free that may have kept events from leaving."""
        for status, rule in self.rules.items():
            self._apply_rule(status, rule)

    def _apply_rule(self, status: EventStatus, rule: Retain) -> None:
        progression, items = self._index.by_status[status], self._index.items
        excess = 0 if rule.count is None else len(progression) - rule.count
        oldest = None if rule.age is None else wall_clock.now() - timedelta(seconds=rule.age)
        while progression:
            first = items.get(progression._order.first.ids[0], None)  # as progression[0], which takes six calls
            if first is None:  # a user took the event out of the flow
                progression.popleft()
            elif (excess > 0 or (oldest is not None and _ended_before(first, oldest))) and self._may_leave(first):
                self._let_leave(first, status)
            else:
                return
            excess -= 1

    def _may_leave(self, event: Event) -> bool:
        """Return whether an ended event can leave now: its end is on disk, and no lock is in use."""
        if self._stored is not None and not self._stored.is_end_written(event):
            return False
        return not self._index.is_locked(event.execution.status)

    def _let_leave(self, event: Event, status: EventStatus) -> None:
        """Remove an ended event from memory. Neither the processor nor other events know it any more."""
        if event._unseen is not None:
            event._unseen.leave(event)
        self._index.items.remove(event.id)
        self._index.by_status[status].exclude(event.id)
        self._forget_key(event.id)
        event._set("_host", None)
        self.removed[status] += 1
        if self._stored is not None:
            self._stored.remember(event, status)


def _ended_before(event: Event, moment: datetime) -> bool:
    finished = event.execution.finished_at
    return finished is not None and finished < moment
