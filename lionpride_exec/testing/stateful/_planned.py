"""A schedule that a machine has made."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import floor
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.wall_clock import utc_now

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.schedule import Schedule
    from lionpride_exec._executor.schedule_policy import Overlap

# Due times are read to a microsecond.
RESOLUTION = timedelta(microseconds=2)


@attrs.define(eq=False)
class Planned:
    """
    A schedule of an example, with a few due times.

    Attributes:
        first: An event, of which each run gets a fresh copy.
        made_at: When the schedule was made.
        seconds: The time from one run to the next.
        times: How many due times there are.
        overlap: What happens at a due time if the last event has not ended.
        ids: Where the ids of the events go.
        events: The events that were made so far.
        made: The due time of each of them.
        wrong: What was wrong with due times.
    """

    first: Event
    made_at: datetime
    seconds: float
    times: int
    overlap: Overlap
    ids: set[UUID]
    events: list[Event] = attrs.field(factory=list[Any])
    made: list[datetime] = attrs.field(factory=list[Any])
    wrong: list[str] = attrs.field(factory=list[str])
    schedule: Schedule | None = None

    def after(self, moment: datetime) -> datetime | None:
        """Return the first due time after a moment. None if there is none: the trigger of the schedule."""
        number = max(floor((moment - self.made_at).total_seconds() / self.seconds), 0) + 1
        due = self.due(number)
        if due <= moment:
            number, due = number + 1, self.due(number + 1)
        return due if number <= self.times else None

    def due(self, number: int) -> datetime:
        """Return the due time with a number, counted from 1."""
        return self.made_at + timedelta(seconds=number * self.seconds)

    def make(self, due: datetime) -> Event:
        """Return the event of a due time, and note what is wrong with the time."""
        if due > utc_now() + RESOLUTION:
            self.wrong.append(f"the run of {due} is made before its time")
        # An event that was not taken in, because the executor was being left, is made again.
        taken = [at for event, at in zip(self.events, self.made, strict=True) if event.execution.queued_at is not None]
        if taken and due <= taken[-1]:
            self.wrong.append(f"the run of {due} is made after that of {taken[-1]}")
        if min(abs(due - self.due(number)) for number in range(1, self.times + 1)) > RESOLUTION:
            self.wrong.append(f"a run is made of {due}, which is no due time")
        event = self.first.as_fresh_event()
        self.events.append(event)
        self.made.append(due)
        self.ids.add(event.id)
        return event

    def cancel(self) -> None:
        """Cancel the schedule."""
        assert self.schedule is not None
        self.schedule.cancel()
