"""How many ended events are kept, in memory and in a journal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_count, check_seconds

from .execution import to_status

if TYPE_CHECKING:
    from uuid import UUID

# How many events that have left memory an executor with a journal still knows the end of. About 250 bytes each.
REMEMBERED = 10_000


def _valid_count(_instance: object, _attribute: object, value: Any) -> None:
    if value is not None:
        check_count("count", value, 0)


def _valid_age(_instance: object, _attribute: object, value: Any) -> None:
    if value is not None:
        check_seconds("age", value)


@attrs.frozen
class Retain:
    """
    How many ended events are kept, and for how long. The oldest events are dropped first.

    Args:
        count: How many events of each final status are kept, 0 or more. None for any number.
        age: For how many seconds after its end an event is kept, 0 or more. None for ever. The age is checked only when
            another event ends.

    Raises:
        ValueError: The count is not an int of 0 or more, or the age is not a finite number of 0 or more.
    """

    count: int | None = attrs.field(default=None, validator=_valid_count)
    age: float | None = attrs.field(default=None, kw_only=True, validator=_valid_age)

    @property
    def is_all(self) -> bool:
        """Whether everything is kept."""
        return self.count is None and self.age is None


RetainRule = Retain | Mapping[Any, Retain] | None


def by_status(retain: RetainRule, default: Retain | None = None) -> dict[EventStatus, Retain]:
    """
    Return the rule of each final status that has one.

    Args:
        retain: What the user has passed.
        default: The rule for the other final statuses. None if all their events are kept.

    Raises:
        TypeError: The value is neither a Retain nor a mapping from statuses to Retain.
        NotFoundError: There is no status of that name.
        ValueError: The status is not final.
    """
    rules = {status: default or Retain() for status in EventStatus if status in TERMINAL}
    if retain is None:
        retain = {}
    elif isinstance(cast("object", retain), Retain):
        retain = dict.fromkeys(rules, cast("Retain", retain))
    if not isinstance(cast("object", retain), Mapping):
        raise TypeError(f"retain must be a Retain, or a mapping from statuses to Retain, got {retain!r}")
    for name, rule in cast("Mapping[Any, Any]", retain).items():
        status = to_status(name)
        if status not in TERMINAL:
            raise ValueError(f"retain is about events that have ended; {status.value} is no final status")
        if not isinstance(rule, Retain):
            raise TypeError(f"retain must be a Retain for {status.value}, got {rule!r}")
        rules[status] = rule
    return {status: rule for status, rule in rules.items() if not rule.is_all}


class Remembered:
    """The final statuses of the last ``REMEMBERED`` events that have left memory, by id. Each method costs O(1)."""

    __slots__ = ("_statuses",)

    def __init__(self) -> None:
        self._statuses: OrderedDict[int, EventStatus] = OrderedDict()

    def note(self, event_id: UUID, status: EventStatus) -> None:
        """Remember the status of an event. Forget the oldest event if there are too many."""
        self._statuses[event_id.int] = status
        if len(self._statuses) > REMEMBERED:
            self._statuses.popitem(last=False)

    def forget(self, event_id: UUID) -> None:
        """Forget the status of an event."""
        self._statuses.pop(event_id.int, None)

    def status_of(self, event_id: UUID) -> EventStatus | None:
        """Return the final status of an event. None if the status is unknown or has been forgotten."""
        return self._statuses.get(event_id.int)
