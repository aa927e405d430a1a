"""How a schedule and the schedules of its executor see each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.map_options import Guest

    from .schedule_fact import ScheduleFact

# The name of the fact of a schedule in a journal is this, and its name.
FACT: Final = "schedule:"


class Scheduled(Protocol):
    """A schedule, as those of an executor see it."""

    @property
    def name(self) -> str:
        """The name of the schedule."""
        ...

    @property
    def guest(self) -> Guest:
        """What the group of the executor ends."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether the schedule appends no more events."""
        ...

    async def run(self) -> None:
        """Append an event at each due time, until the schedule or the group is over."""


class ScheduleOwner(Protocol):
    """The schedules of an executor, as one of them sees them."""

    @property
    def has_journal(self) -> bool:
        """Whether the executor has a journal."""
        ...

    def remove(self, schedule: Scheduled) -> None:
        """Forget a schedule that is over."""

    def start_guest(self, schedule: Scheduled) -> bool:
        """Run the task of a schedule. Return False if the executor has no group."""
        ...

    def guest_ended(self, schedule: Scheduled) -> None:
        """Note that the task of a schedule has ended."""

    def is_stopped(self) -> bool:
        """Return whether the executor is stopped, though it may still have a group."""
        ...

    async def wait_started(self) -> None:
        """Wait until the executor is not stopped."""

    async def wait_over(self, schedule: Scheduled) -> None:
        """Wait until a schedule is over, or raise ``ExecutorClosedError`` once the executor is left."""

    def tell_over(self) -> None:
        """Wake the tasks that wait for a schedule which is over now."""

    async def append(self, event: Event, priority: float | None, key: str | None) -> Event:
        """Append the event of a due time, or return the one that was appended for it before."""
        ...

    async def find_run(self, key: str) -> Event | str | None:
        """Return the event with a key, if it is in memory. Else its status in the journal. None if there is none."""
        ...

    def has(self, event: Event) -> bool:
        """Return whether an event is still here."""
        ...

    def cancel(self, event: Event, reason: str) -> None:
        """Cancel an event, if it is still here."""

    async def read_fact(self, schedule: Scheduled) -> ScheduleFact | None:
        """Return what the journal knows of a schedule. None if it knows nothing."""
        ...

    def write_fact(self, schedule: Scheduled, fact: ScheduleFact) -> None:
        """Have the journal know of a schedule."""
