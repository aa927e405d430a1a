"""
Schedules: events that are appended at due times.

Each schedule has a task in the executor's group, a guest. The task waits for the next due time, appends an event, and
goes on. It keeps nothing from ending: when the group closes, the task is cancelled, and the next start launches it
again. While the executor is stopped and its group stays open, as in a block, the task waits. What was missed in between
is decided by the schedule's own policy.

Due times of ``every`` are counted by the clock of the event loop, unless a journal has to know them after a restart.
All others are times of the wall clock, which is looked at every 30 s, since it may be set.

With a journal, the last due time that was dealt with is a fact in the file. An event has its schedule and its due time
as its key. So a process that dies between the two writes does not run twice what was due once.
"""

from __future__ import annotations

import logging
import random
from bisect import insort
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Final

import anyio

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._model.triggers import MAX_DUE, Answers, Custom, Every, due_times
from lionpride_exec.errors import ExecutorClosedError

from .schedule_fact import ScheduleFact
from .schedule_policy import Policy, ScheduleState
from .schedule_runs import ScheduleRuns

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.map_options import Guest
    from lionpride_exec._model.cron import Cron

    from .schedule_owner import ScheduleOwner


logger = logging.getLogger("lionpride_exec")

# The wall clock is read again after this many seconds, while a schedule waits for a time of the wall clock.
LOOK_INTERVAL: Final = 30.0

# A trigger that has failed is asked again after this many seconds.
ASK_AGAIN: Final = 60.0

# A clock is read to a microsecond. What is due within that time is due.
RESOLUTION: Final = 1e-6

# A timer wakes later than asked for, by much if the event loop is busy. A run that the task has waited for is not
# missed if the timer was late by no more than this many seconds.
TIMER_SLACK: Final = 1.0


class _Guest:
    """The task of a schedule, as the group of the executor sees it."""

    def __init__(self, schedule: ScheduleTask) -> None:
        self.schedule = schedule

    def cancel(self) -> None:
        """End the task, since the group closes."""
        self.schedule.stop()


class ScheduleTask:
    """
    The task of one schedule.

    Args:
        name: The name of the schedule.
        trigger: When its runs are due.
        make: Makes the event of a due time.
        policy: What happens if it cannot keep its times.
        owner: The schedules of the executor.
    """

    def __init__(
        self,
        name: str,
        trigger: Every | Cron | Custom,
        make: Callable[[datetime], Event],
        policy: Policy,
        owner: ScheduleOwner,
    ) -> None:
        self.name: str = name
        self._trigger = trigger
        self._answers = Answers(trigger, name)
        self._make = make
        self._policy = policy
        self._owner = owner
        self.guest: Guest = _Guest(self)
        self._by_wall = owner.has_journal or not isinstance(trigger, Every)
        self._dealt: float | None = None  # the last due time that was dealt with. None before the first launch
        self._token: object = None  # the event loop in which it was read, if it is one of the loop's clock
        self._runs = ScheduleRuns(name, policy.overlap, owner)
        self._waiting: list[tuple[float, float]] = []  # when a run begins by its jitter, and its due time; in order
        self._slack = 0.0  # how late the timer may have been for what is due now. 0 if the task did not wait for it
        self._scope: anyio.CancelScope | None = None  # of the task. None while there is none
        self.is_over: bool = False
        self._next: float | None = None
        self._noted: float | None = None  # the next time that the journal knows
        self._last_at: datetime | None = None
        self._counts = {"runs": 0, "missed": 0, "skipped": 0, "failed": 0}

    def __repr__(self) -> str:
        return f"Schedule({self.name!r}, {self._trigger})"

    @property
    def state(self) -> ScheduleState:
        """What the schedule has done, and when it is due next."""
        next_at = None
        if self._scope is not None and not self._owner.is_stopped():
            due = self._first() if self._dealt is None else self._next
            ahead = 0.0 if self._by_wall else wall_clock.seconds() - current_time()
            next_at = None if due is None else datetime.fromtimestamp(due + ahead, UTC)
        return ScheduleState(self.name, str(self._trigger), next_at, self._last_at, **self._counts)

    def _first(self) -> float | None:
        """Return the first due time of a schedule that has just been made. A function of the user is not asked yet."""
        now = self._now()
        if isinstance(self._trigger, Every):
            return now + self._trigger.seconds
        return None if isinstance(self._trigger, Custom) else self._trigger.after(now)

    def cancel(self) -> None:
        """Append no more events; see ``Schedule.cancel()``."""
        if self.is_over:
            return
        self._owner.remove(self)
        self._end()
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self) -> None:
        """Wait until the schedule is over; see ``Schedule.wait()``."""
        await self._owner.wait_over(self)

    def _end(self) -> None:
        self.is_over, self._next = True, None
        self._owner.tell_over()

    # ---------------------------------------------------------------- the task

    def launch(self) -> None:
        """Start the task, if the executor has a group."""
        if self._scope is None and not self.is_over and self._owner.start_guest(self):
            self._scope = anyio.CancelScope()

    def stop(self) -> None:
        """End the task, since the group closes."""
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Append an event at each due time, until the schedule or the group is over."""
        scope, is_cut_off = self._scope, False
        assert scope is not None
        try:
            with scope:
                await self._begin()
                while await self._wait_due():
                    if self._waiting and self._waiting[0][0] == self._next:
                        await self._append_waiting()
                    else:
                        await self._deal_with_due()
                self._owner.remove(self)
                self._end()
        except ExecutorClosedError:
            pass  # the executor takes nothing more in: the next start goes on
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -inf:
                raise
            is_cut_off = True  # no scope asked for this cancellation: another task goes on
        finally:
            self._scope = None
            self._owner.guest_ended(self)
            if is_cut_off:
                self.launch()

    def _now(self) -> float:
        return wall_clock.seconds() if self._by_wall else current_time()

    async def _begin(self) -> None:
        """Find out what was dealt with last, or begin now."""
        token = anyio.lowlevel.current_token()
        if self._dealt is not None and (self._by_wall or self._token == token):
            return
        now = self._now()
        fact = await self._owner.read_fact(self)
        has_event = set[float]() if fact is None else await self._runs.recall(fact)
        self._token, self._dealt, anchor = token, now, now
        self._waiting.clear()
        if fact is not None and fact.trigger == str(self._trigger):
            self._dealt, anchor = max({fact.dealt} | has_event), now if fact.anchor is None else fact.anchor
            self._last_at = None if fact.last is None else datetime.fromtimestamp(fact.last, UTC)
            for due in fact.waiting:
                if due not in has_event:
                    self._delay(due)
        if isinstance(self._trigger, Every):
            self._trigger.anchor = anchor
        self._note()

    async def _wait_due(self) -> bool:
        """Wait until something is due. Return False if no due time is left. A trigger that fails is asked again."""
        assert self._dealt is not None
        self._answers.forget_before(self._dealt)
        slept_until: float | None = None
        while True:
            if self._answers.has_failed:
                self._answers.has_failed, self._next = False, None
                await anyio.sleep(ASK_AGAIN)
            self._follow_clock()
            due = self._answers.after(self._dealt)
            starts = self._waiting[0][0] if self._waiting else None
            self._next = due if starts is None or (due is not None and due < starts) else starts
            if self._next is None:
                if self._answers.has_failed:
                    continue
                return False
            if self._next != self._noted:
                self._note()
            left = self._next - self._now()
            if left > RESOLUTION:
                follows = not self._by_wall or wall_clock.is_replaced  # a clock that nobody sets
                await anyio.sleep(left if follows else min(left, LOOK_INTERVAL))
                slept_until = self._next
            elif self._owner.is_stopped():
                await self._owner.wait_started()
                slept_until = None
            else:
                self._slack = TIMER_SLACK if slept_until == self._next else 0.0
                return True

    def _follow_clock(self) -> None:
        """Begin anew from now if the clock was set back, and more than one due time is passed over by that."""
        now, dealt = self._now(), self._dealt
        assert dealt is not None
        if dealt <= now + RESOLUTION:
            return
        due, first = self._answers.after(dealt), self._answers.after(now)
        second = None if first is None else self._answers.after(first)
        if due is None or second is None or due <= second + RESOLUTION:
            return
        logger.warning(
            "the clock was set back: %r was to go on at %s only, and begins anew",
            self,
            datetime.fromtimestamp(due, UTC),
        )
        self._counts["missed"] += len(self._waiting)
        self._waiting.clear()
        self._runs.resets += 1  # events of these due times may be there already
        self._dealt = now
        self._note()

    async def _deal_with_due(self) -> None:
        """Append the events that are due by now, as the policy says."""
        assert self._dealt is not None
        now, slack = self._now() + RESOLUTION, self._slack
        due = await due_times(self._trigger if isinstance(self._trigger, Every) else self._answers, self._dealt, now)
        on_time = [each for each in due.last if not self._is_late(each, now, slack)]
        chosen = on_time[-1:] if self._policy.coalesce else on_time[-MAX_DUE:]
        if missed := due.count - len(chosen):
            self._counts["missed"] += missed
            # Before anything is waited for: another task may have to go on from here.
            self._dealt = due.last[max(len(due.last) - len(chosen) - 1, 0)]
            self._note()
        for each in chosen:
            if self._policy.jitter:
                self._delay(each)
            else:
                await self._append(each, each, slack)
            self._dealt = each
            self._note()

    def _is_late(self, start: float, now: float, slack: float) -> bool:
        """Return whether a run is missed, since it would be too late."""
        misfire = self._policy.misfire
        return misfire is not None and now - start > misfire + slack + 2 * RESOLUTION

    def _is_outdated(self, due: float) -> bool:
        """Return whether the next run is due too, and takes the place of this one before it has begun."""
        if not self._policy.coalesce or self._policy.jitter:
            return False
        following = self._answers.after(due)
        return following is not None and following <= self._now()

    def _delay(self, due: float) -> None:
        """Let a run begin by its own jitter, whatever becomes of the runs before it."""
        insort(self._waiting, (due + random.uniform(0, self._policy.jitter), due))  # noqa: S311  no secret

    async def _append_waiting(self) -> None:
        """Append the event that has waited for its jitter."""
        start, due = self._waiting[0]
        await self._append(due, start, self._slack)
        del self._waiting[0]
        self._note()

    def _note(self, *runs: tuple[float, str]) -> None:
        """Have the journal know what was dealt with, and the runs that are about to be appended."""
        if self.is_over or self._dealt is None:
            return
        anchor = self._trigger.anchor if isinstance(self._trigger, Every) else None
        waiting = tuple(due for _, due in self._waiting)
        last = None if self._last_at is None else self._last_at.timestamp()
        self._noted = self._next
        known = (*self._runs.known, *runs)
        fact = ScheduleFact(
            trigger=str(self._trigger), dealt=self._dealt, anchor=anchor, resets=self._runs.resets, runs=known,
            waiting=waiting, next=self._next, last=last,
        )  # fmt: skip
        self._owner.write_fact(self, fact)

    async def _append(self, due: float, start: float, slack: float) -> None:
        way = await self._runs.make_way()
        if way == "blocked":
            self._counts["skipped"] += 1
            return
        if self._owner.is_stopped():
            await self._owner.wait_started()
        is_late = self._is_late(start, self._now(), slack)  # it has waited for the last run, or for the start
        if is_late or (way == "replaced" and self._is_outdated(due)):
            self._counts["missed"] += 1
            return
        ahead = 0.0 if self._by_wall else wall_clock.seconds() - current_time()
        moment, key = datetime.fromtimestamp(due + ahead, UTC), self._runs.key_of(due)
        try:
            event = self._make(moment)
            if key is not None:
                self._note((due, key))  # no await from here to the insert: the event is on disk no earlier
            event = await self._owner.append(event, self._policy.priority, key)
        except ExecutorClosedError:
            raise
        except Exception:
            logger.exception("%r could not append its event of %s", self, moment)
            self._counts["failed"] += 1
            return
        self._runs.began(due, event)
        self._counts["runs"] += 1
        self._last_at = moment


class Schedule:
    """
    Events that an executor appends at due times. ``Executor.schedule()`` makes it.

    Args:
        task: What appends the events.
    """

    def __init__(self, task: ScheduleTask) -> None:
        self._task = task

    def __repr__(self) -> str:
        return repr(self._task)

    @property
    def name(self) -> str:
        """The name of the schedule, by which a journal knows it."""
        return self._task.name

    @property
    def state(self) -> ScheduleState:
        """What the schedule has done, and when it is due next."""
        return self._task.state

    def cancel(self) -> None:
        """
        Append no more events. An event that was appended goes on. Idempotent.

        A journal forgets the schedule; if it is not open, at the next start of the executor.
        """
        self._task.cancel()

    async def wait(self) -> None:
        """
        Wait until the schedule is over: by :meth:`cancel`, or since its trigger has no more times.

        An executor does not wait for its schedules. A block stays open for one with this call, also after
        :meth:`Executor.stop`: :meth:`Executor.start` may follow. To end the block, cancel the scope of this call.

        Raises:
            ExecutorClosedError: The executor was left. The schedule goes on at the next start.

        Cancellation: the schedule goes on.
        """
        await self._task.wait()


publish_classes(Schedule, ScheduleState)
