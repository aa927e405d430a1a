"""Rules that make schedules and end them, and what has to hold of the events of a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from lionpride_exec._base.wall_clock import utc_now
from lionpride_exec._status import TERMINAL

from ._base import MachineBase, own
from ._planned import RESOLUTION, Planned
from ._promises import require

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.schedule_policy import Overlap


class ScheduleRules(MachineBase):
    """Rules that call ``schedule()``."""

    @precondition(lambda self: self.executor.cluster is None)
    @rule(
        event=own("events"),
        seconds=own("seconds"),
        times=st.integers(1, 3),
        overlap=st.sampled_from(["skip", "queue", "replace"]),
        coalesce=st.booleans(),
    )
    def schedule(self, event: Event, seconds: float, times: int, overlap: Overlap, coalesce: bool) -> None:
        """
        Call ``executor.schedule()`` for fresh copies of an event.

        Args:
            event: The event.
            seconds: The time from one run to the next, above 0.
            times: How many runs are due.
            overlap: As for ``schedule()``.
            coalesce: As for ``schedule()``.
        """
        planned = Planned(event, self.call(utc_now), seconds, times, overlap, self._scheduled)
        number = self._number_of_schedules = self._number_of_schedules + 1
        planned.schedule = self.call(
            self.executor.schedule,
            planned.make,
            trigger=planned.after,
            name=f"schedule {number}",
            overlap=overlap,
            coalesce=coalesce,
        )
        self._planned.append(planned)

    @precondition(lambda self: self._planned)
    @rule(number=st.integers(0, 3))
    def cancel_schedule(self, number: int) -> None:
        """Call ``Schedule.cancel()``. No event is made after that."""
        planned = self._planned.pop(number % len(self._planned))
        self.call(planned.cancel)
        self._check_planned(planned)

    @invariant()
    def schedules_keep_their_times(self) -> None:
        """Check the events of all schedules."""
        for planned in self._planned:
            self._check_planned(planned)

    def _check_planned(self, planned: Planned) -> None:
        require(not planned.wrong, "schedules_keep_times", "; ".join(planned.wrong), *planned.events)
        is_own = [event for event in planned.events if self.taken.get(event.id, event) is event]  # else it was retried
        here = [event for event in is_own if event in self.executor]
        self._remember(here)
        going_on = [event for event in here if event.execution.status not in TERMINAL]
        require(len(going_on) <= 1, "schedules_keep_times", "these go on at the same time", *going_on)
        assert planned.schedule is not None
        state = planned.schedule.state
        known = state.runs + state.missed + state.skipped + state.failed
        due = sum(planned.due(number) <= utc_now() + RESOLUTION for number in range(1, planned.times + 1))
        require(known <= due, "schedules_keep_times", f"{state} counts {known} due times, of {due}")
