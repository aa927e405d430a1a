"""The schedules of an executor, and what they use of it. ``schedule`` says what a schedule is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec.errors import ConfigurationError, ExecutorClosedError, ExistsError

from .schedule import Schedule, ScheduleTask
from .schedule_fact import ScheduleFact
from .schedule_owner import FACT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal.session import JournalSession
    from lionpride_exec._model.cron import Cron
    from lionpride_exec._model.triggers import Custom, Every

    from .facade import Facade
    from .parts import Parts
    from .schedule_owner import Scheduled
    from .schedule_policy import Policy


class Schedules:
    """
    The schedules of one executor.

    Args:
        executor: The executor.
        parts: Its parts.
    """

    def __init__(self, executor: Facade, parts: Parts) -> None:
        self._executor = executor
        self._parts = parts
        self._of: dict[str, ScheduleTask] = {}
        self._forgotten: set[str] = set()  # names that the journal has to forget, once it is open
        parts.coordination.launchers.append(self.launch)
        parts.coordination.schedules = self

    def __iter__(self) -> Iterator[ScheduleTask]:
        return iter(self._of.values())

    @property
    def has_journal(self) -> bool:
        """Whether the executor has a journal."""
        return self._parts.link is not None

    def add(
        self, name: str, trigger: Every | Cron | Custom, make: Callable[[datetime], Event], policy: Policy
    ) -> Schedule:
        """
        Make a schedule, and start it if the executor runs.

        Raises:
            ConfigurationError: The executor has a cluster.
            ExistsError: There is a schedule of this name.
            ValueError: A value of the policy is out of range.
        """
        if self._parts.cluster is not None:
            raise ConfigurationError(
                "schedule() is not available with a cluster, whose processes would each append the event: let one "
                "process append it, with a key made of the due time"
            )
        policy.check()
        if name in self._of:
            raise ExistsError(f"there is a schedule {name!r} already: give this one another name, by name=")
        schedule = self._of[name] = ScheduleTask(name, trigger, make, policy, self)
        schedule.launch()
        return Schedule(schedule)

    def launch(self) -> None:
        """Start the tasks of all schedules, in the group that the executor has now."""
        if (session := self._session) is not None:
            for name in self._forgotten:
                session.writer.next.record_fact(FACT + name, None)
            self._forgotten.clear()
        for schedule in list(self._of.values()):
            schedule.launch()

    def remove(self, schedule: Scheduled) -> None:
        """Forget a schedule that is over."""
        if self._of.get(schedule.name) is schedule:
            del self._of[schedule.name]
            if (session := self._session) is not None:
                session.writer.next.record_fact(FACT + schedule.name, None)
            elif self.has_journal:
                self._forgotten.add(schedule.name)

    # ---------------------------------------------------------------- what a schedule uses

    def start_guest(self, schedule: Scheduled) -> bool:
        """Run the task of a schedule. Return False if the executor has no group."""
        name = f"schedule {schedule.name}"
        return self._parts.lifetime.group.try_start_guest(schedule.guest, schedule.run, name)

    def guest_ended(self, schedule: Scheduled) -> None:
        """Note that the task of a schedule has ended."""
        self._parts.lifetime.group.guest_ended(schedule.guest)

    def is_stopped(self) -> bool:
        """Return whether the executor is stopped, though it may still have a group."""
        processor = self._parts.lifetime.processor
        return processor is None or processor.is_stopped()

    async def wait_started(self) -> None:
        """Wait until the executor is not stopped."""
        await self._parts.coordination.conditions.wait_for(lambda: not self.is_stopped())

    async def wait_over(self, schedule: Scheduled) -> None:
        """
        Wait until a schedule is over. As all waits, this one outlasts ``stop()``, and warns as they do.

        Raises:
            ExecutorClosedError: The executor was left.
        """
        transitions = self._parts.transitions

        def is_decided() -> bool:
            """Whether the wait is over: the schedule is, or the executor was left."""
            return schedule.is_over or transitions.is_abandoned

        await self._parts.coordination.conditions.wait_for(is_decided, transitions.new_signal)
        if not schedule.is_over:
            raise ExecutorClosedError(f"{schedule!r} is not over: its executor was left, and the next start goes on")

    def tell_over(self) -> None:
        """Wake the tasks that wait for a schedule which is over now."""
        self._parts.coordination.conditions.notify()

    async def append(self, event: Event, priority: float | None, key: str | None) -> Event:
        """Append the event of a due time, or return the one that was appended for it before."""
        if key is None and self._parts.call_defaults is not None:
            key = str(event.id)  # in place of the key that Executor.of(key=) gives: each run is new work
        given: dict[str, Any] = {} if key is None else {"key": key}
        taken: Event = await self._executor.append(event, priority, wait=True, **given)
        return taken

    async def find_run(self, key: str) -> Event | str | None:
        """Return the event with a key, if it is in memory. Else its status in the journal. None if there is none."""
        link, session = self._parts.link, self._session
        if link is None or session is None:
            raise ExecutorClosedError("the journal is closed")
        text = link.key_of(key)
        if (event := self._parts.keys.find(text)) is not None:
            return event
        row = await session.lookup.row_of_key(text)
        return self._parts.keys.find(text) or (None if row is None else row.status)

    def has(self, event: Event) -> bool:
        """Return whether an event is still here."""
        return event in self._executor

    def cancel(self, event: Event, reason: str) -> None:
        """Cancel an event, if it is still here."""
        if self.has(event):
            self._executor.cancel(event, reason)

    async def read_fact(self, schedule: Scheduled) -> ScheduleFact | None:
        """Return what the journal knows of a schedule. None if it knows nothing."""
        session = self._session
        if session is None:
            return None
        await session.writer.wait_committed()  # the journal may have to forget a schedule of this name first
        text = await session.read_fact(FACT + schedule.name)
        return None if text is None else ScheduleFact.decode(text)

    def write_fact(self, schedule: Scheduled, fact: ScheduleFact) -> None:
        """Have the journal know of a schedule."""
        if (session := self._session) is not None:
            session.writer.next.record_fact(FACT + schedule.name, fact.encode())

    @property
    def _session(self) -> JournalSession | None:
        link = self._parts.link
        return None if link is None else link.session
