"""The methods of the facade by which a program steers its events and the executor."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

from lionpride_exec._base.coordination import PAUSED
from lionpride_exec._model.execution import to_status
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import EventCancelled, Skip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable
    from datetime import datetime, timedelta, tzinfo
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.key_amounts import Amount
    from lionpride_exec._model.limits import Limit

    from .executor_lifetime import ExecutorLifetime
    from .found import Filters, FoundEvent
    from .lookups import Lookups
    from .parts import Parts
    from .retrying import Retrying
    from .schedule import Schedule
    from .schedule_policy import Overlap
    from .steering import Steering
    from .submissions import Submissions
    from .transitions import Transitions

DEFAULT_CLEANUP = (EventStatus.COMPLETED, EventStatus.FAILED, EventStatus.ABORTED)


class ExecutorControls:
    """The methods of an executor that end, release and remove events, and that pause and resize the executor."""

    processor_config: dict[str, Any]
    _lifetime: ExecutorLifetime
    _lookups: Lookups
    _parts: Parts
    _submissions: Submissions
    _transitions: Transitions

    @property
    def _steering(self) -> Steering:
        """What changes limits and keys, made at its first use. Outside the thread of the event loop: RuntimeError."""
        self._parts.coordination.check_thread()
        if self._parts.queueing.steering is None:
            from .steering import Steering  # noqa: PLC0415  as above

            self._parts.queueing.steering = Steering(self._parts)
        return cast("Steering", self._parts.queueing.steering)

    @cached_property
    def _retrying(self) -> Retrying:
        """What runs events again. Made at the first use, like :attr:`_steering`."""
        from .again import make_retrying  # noqa: PLC0415  as above

        return make_retrying(self._parts)

    async def release(self, event: Event | UUID | str) -> Event:
        """
        Queue a held event like any other. To give it up, call :meth:`cancel` instead. O(as :meth:`get`).

        Raises:
            NotFoundError: No event with this id is held.
            JournalError: The journal cannot be read or written, or no journal is open.
            ConfigurationError: The executor has a cluster.
            ValueError: The value is not a valid id.

        Cancellation: before the release is written. Once it is written, the event continues.
        """
        return await self._lookups.release(event)

    def cancel(self, event: Event | UUID | str, reason: str | None = None, *, unless_begun: bool = False) -> bool:
        """
        End an event CANCELLED: a waiting event at once, a running event by cancelling its run.

        The event's error is an ``EventCancelled`` with the reason, and the event is not run again. A run that catches
        the cancellation and returns a value ends COMPLETED. If a task holds a lock on the progressions, a waiting event
        ends when the lock is free; with a strict journal, when its end is on disk. The event does not start before
        that. With a cluster, the call asks the server: the event ends some milliseconds later, or may have completed.

        Args:
            event: An event in this executor, or its id. With a journal also an event that is held, or that has ended
                and left memory: the event itself, or the id of one of the last 10,000.
            reason: The reason that is recorded.
            unless_begun: Whether to leave an event alone that has begun: one that runs or is held, or had a run that
                failed or was interrupted. See ``docs/control.md`` for what holds after a crash.

        Returns:
            True if the event ends now or soon. False if it had ended, so a second call does nothing, or was left alone.

        Raises:
            NotFoundError: The event is not in this executor. (Also a KeyError.)
            ClusterError: The executor is not connected to its cluster. The event goes on.
            ConfigurationError: ``unless_begun`` with a cluster, whose workers may just have begun the event.
            RuntimeError: This is not the thread of the event loop. Nothing has changed.
        """
        return self._end(event, EventStatus.CANCELLED, EventCancelled(reason), unless_begun=unless_begun)

    def skip(self, event: Event | UUID | str, reason: str | None = None, *, unless_begun: bool = False) -> bool:
        """
        Like :meth:`cancel`, but the event ends SKIPPED and its error is a :class:`Skip` with the reason.

        Raises:
            NotFoundError: As for :meth:`cancel`, as are all other errors.
        """
        return self._end(event, EventStatus.SKIPPED, Skip(reason), unless_begun=unless_begun)

    def _end(self, event: Event | UUID | str, status: EventStatus, error: Exception, *, unless_begun: bool) -> bool:
        self._parts.coordination.check_thread()
        if unless_begun and not self._lookups.can_be_taken_back(event):
            return False
        return self._transitions.end(self._lookups.to_end(event), status, error)

    @overload
    async def retry(self, event: FoundEvent | Event[Any] | UUID | str) -> Event[Any]: ...

    @overload
    async def retry(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> list[Event[Any]]: ...

    async def retry(
        self, event: FoundEvent | Event[Any] | UUID | str | None = None, *, limit: int | None = None, **filters: Any
    ) -> Event[Any] | list[Event[Any]]:
        """
        Run an event again that has ended, or all events that fit: ``await executor.retry(status="failed")``.

        A new event takes the place of the one that has ended, with its id, key, fields and ``after``. The old object
        leaves the executor and stays as it is. A full queue takes the new event too. With a journal, it is on disk and
        keeps its priority; in memory it gets the default. With a cluster, completed events do not run again.

        Args:
            event: The event, its id, or what :meth:`find` has found. It may have ended in any way.
            limit: How many events at most, the newest first; 1 or more. None for all.
            filters: One or more of :meth:`find`: ``status``, ``tag``, ``key``, ``error``, ``since``. They choose among
                the events that have ended and not completed.

        Returns:
            The new event, or the new events that this process can read. The oldest is the first.

        Raises:
            NotFoundError: There is no such event, or it comes after one that is gone.
            EventNotFinished: The event has not ended. (:meth:`release` lets a held event run.)
            ValueError: No filter is given, or a status of open or completed events.
            TypeError: Both an event and filters are given, or a filter is unknown.
            ExecutorClosedError: The executor's block is being left.
            JournalError: The journal is not open or cannot be read or written, or the event cannot be read.
            ClusterError: The server was not reached, or refuses.
            ConfigurationError: The event has completed, or comes after one that has not (in a cluster).

        Cancellation: while the journal or the server is asked, or a lock is waited for. As after an error, events that
        were retried before run.
        """
        if event is None:
            return await self._retrying.all_of(filters, limit)
        if filters or limit is not None:
            raise TypeError("retry() takes an event or filters, not both")
        return await self._retrying.one(event)

    async def forget(self, key: Hashable) -> bool:
        """
        Free a key, and return whether an event had it. The next event with the key is new work; the old one stays.

        Raises:
            EventNotFinished: The event with this key has not ended. Nothing has changed.
            TypeError: The key is not hashable, or JSON cannot hold it (with a journal).
            JournalError: The journal cannot be read or written, or is not open.
            ConfigurationError: The executor has a cluster, whose server keeps the key as long as the event.

        Cancellation: while the journal is written. The key may be free.
        """
        return await self._retrying.forget(key)

    def set_priority(self, event: Event | UUID | str, priority: float | None) -> bool:
        """
        Give an event that waits another priority. O(log n).

        The event keeps its id, its key, its place among events of equal priority, and the events that come after it. It
        may wait for anything: its turn, a time, a limit, a gate, its next attempt, other events. With a journal the new
        priority is written with the next commit. Release a held event first. After an error nothing has changed.

        Args:
            event: An event in this executor, or its id.
            priority: As for ``append()``: lower runs first; finite. None for the default, the time of creation.

        Returns:
            True if the event waits, with its new priority. False if it runs or has ended, or its end is decided.

        Raises:
            NotFoundError: The event is not in this executor. (Also a KeyError.)
            ValueError: The priority is NaN or infinite.
            ConfigurationError: The executor has a cluster.
            RuntimeError: This is not the thread of the event loop.
        """
        from .priorities import set_priority  # noqa: PLC0415  few programs need it

        return set_priority(self._parts, self._lookups.known_and_not_held(event), priority)

    async def cleanup_events(self, statuses: Iterable[EventStatus | str] | None = None) -> int:
        """
        Remove the events with these statuses, and what the processor knows of them. O(1) per event.

        CANCELLED and SKIPPED events are removed only if you name these statuses. A removed event that still runs
        continues without the executor. Tasks that wait for a removed PENDING event get ``ExecutorClosedError``. With a
        journal, ended events stay in the file with their keys and are still counted. Events that have not ended are
        deleted from the file.

        Args:
            statuses: Default: COMPLETED, FAILED, ABORTED.

        Returns:
            The number of events removed.

        Raises:
            NotFoundError: A status does not exist. Nothing was removed.

        Cancellation: while the call waits for a lock. Nothing was removed then.
        """
        return await self._submissions.clean_up(
            [to_status(status) for status in (DEFAULT_CLEANUP if statuses is None else statuses)]
        )

    # ---------------------------------------------------------------- schedules

    def schedule(
        self,
        target: Event | type[Event] | Callable[[], Awaitable[Any]] | Callable[[datetime], Event],
        *,
        every: float | timedelta | None = None,
        cron: str | None = None,
        trigger: Callable[[datetime], datetime | None] | None = None,
        time_zone: str | tzinfo | None = None,
        name: str | None = None,
        misfire: float | timedelta | None = None,
        coalesce: bool = True,
        overlap: Overlap = "skip",
        jitter: float | timedelta = 0.0,
        priority: float | None = None,
    ) -> Schedule:
        """
        Append an event at each due time: ``executor.schedule(report, cron="0 6 * * 1-5", time_zone="Europe/Berlin")``.

        Before the first start, the schedule waits for it. While the executor is stopped, due times are missed. A
        schedule keeps neither :meth:`join` nor the end of a block waiting; ``Schedule.wait()`` does. With a journal, a
        schedule goes on where the last process was. See ``docs/schedules.md``.

        Args:
            target: An async function without arguments, an event class without required fields, an event, of which
                each run gets a fresh copy, or a function that gets the due time (UTC) and returns an event.
            every: A number of seconds, 0.001 to 1e9, or a ``timedelta``. The first run is due after that time.
            cron: A crontab expression of five fields, or six with the seconds first. Needs the extra ``schedule``.
            trigger: A function that gets a time (UTC), and returns the first due time after it, or None if there is
                none. It is asked once for each due time; after an error, again 60 s later.
            time_zone: The time zone of ``cron``: its name, or a ``tzinfo``, but none of pytz. None for UTC.
            name: The name of the schedule, by which a journal knows it. Default: the name of the target.
            misfire: The seconds or ``timedelta``, 0 or more, by which a run may be late. None for no limit.
            coalesce: Whether due times that passed while nothing ran become one run, that of the last of them.
            overlap: What happens at a due time if the last event has not ended: "skip" leaves the new run out, "queue"
                appends it when the last event has ended, "replace" cancels the last event and waits for its end.
            jitter: Each run is later by a random number of seconds, up to this one or ``timedelta``; 0 or more.
            priority: The priority of the events, finite, as for ``append()``.

        Raises:
            ValueError: Not exactly one of ``every``, ``cron`` and ``trigger`` is given, or a value is not valid.
            TypeError: The target or the trigger is none of these, or the executor does not take such events.
            ExistsError: There is a schedule of this name.
            ConfigurationError: The executor has a cluster, or the time zone is one of pytz.
            ModuleNotFoundError: ``cron`` needs the extra ``schedule``.

        After an error nothing has changed. The log has later errors, of events or the trigger; the schedule goes on.
        """
        from .scheduling import make_schedule  # noqa: PLC0415  few programs need it

        policy = {"misfire": misfire, "coalesce": coalesce, "overlap": overlap, "jitter": jitter, "priority": priority}
        when = {"every": every, "cron": cron, "trigger": trigger, "time_zone": time_zone}
        return make_schedule(self._parts, target, name, when, policy)

    # ---------------------------------------------------------------- control

    async def forward(self) -> None:
        """
        Run one batch now: up to ``queue_capacity`` queued events, without waiting for the capacity window.

        Return when these events and the events that ran before have ended, or at once if there is no processor. The
        call works while the executor is stopped, but not while its journal is closed. A denied event is asked again.
        Calls may overlap.

        Raises:
            ExecutorClosedError: The executor has a journal, and the journal is not open.
            ConfigurationError: The executor has a cluster, whose workers take the events.

        Cancellation: events that this call started are interrupted as by ``stop(grace=0)``. Events that have not begun
        stay PENDING and queued.
        """
        await self._lifetime.forward()

    def pause(
        self,
        *,
        key: Hashable = None,
        limit: Limit | str | None = None,
        until: datetime | None = None,
        seconds: float | None = None,
        reason: str | None = None,
    ) -> None:
        """
        Start no more events until :meth:`resume`, or only none of one key. Running events continue. Idempotent.

        ``pause(key="host")`` holds back the events that have this key, for any limit with keys or as their partition.
        All other events go on. ``statistics().pauses`` has the paused keys, and ``explain()`` says ``PAUSED``. A later
        pause of the same key replaces the earlier one. The pause of a key is not stored in a journal. After an error
        nothing has changed.

        Unlike after ``stop()``, ``join()`` and the end of the executor's block still wait for the pending events.
        ``stop()`` and ``start()`` do not end the pause. With a cluster, the events that wait here go to other workers.

        Args:
            key: A key of limits, or a partition. None for all events, or for all under ``limit``.
            limit: One of the limits, or its name: only this limit is paused, for its ``key``. A limit without keys is
                paused for all events.
            until: When the pause ends by itself, with a time zone. A time in the past ends the pause.
            seconds: The same, in seconds from now, 0 or more. None, as for ``until``: the pause ends by ``resume()``.
            reason: Words for ``statistics()`` and ``progress()``.

        Raises:
            ValueError: ``until``, ``seconds`` or ``reason`` without a key or a limit; both times; a time without a
                time zone; seconds that are negative or NaN; or a limit that is not here, or whose key is missing.
            TypeError: The key is not hashable, or ``until`` is no datetime.
            ConfigurationError: There are neither keys nor partitions; or a key or a limit is given with a cluster.
            RuntimeError: A key or a limit is given, and this is not the thread of the event loop.
        """
        if key is None and limit is None and until is None and seconds is None and reason is None:
            if self._parts.coordination.hold(PAUSED):
                self._parts.log.paused()
        else:
            self._steering.pause(key, limit, until, seconds, reason)

    def resume(self, *, key: Hashable = None, limit: Limit | str | None = None) -> None:
        """
        End a :meth:`pause` at once. Idempotent.

        Args:
            key: As for the pause that is to end. Without key and limit, pauses of keys go on.
            limit: As for the pause that is to end.

        Raises:
            ValueError: As for :meth:`pause`.
            TypeError: As for :meth:`pause`.
            ConfigurationError: As for :meth:`pause`.
            RuntimeError: This is not the thread of the event loop. Nothing has changed.
        """
        self._parts.coordination.check_thread()
        if key is None and limit is None:
            if self._parts.coordination.release_hold(PAUSED):
                self._parts.log.resumed()
        else:
            self._steering.resume(key, limit)

    def set_limit(self, limit: Limit | str, amount: Amount | None = None, *, per: float | None = None) -> None:
        """
        Change a limit, also while the executor runs. Running events continue. O(events that wait, starts that count).

        What was taken stays taken. A higher amount holds at once. Under a lower amount, nothing starts until enough has
        come back. From the call on, no event starts that would bring the starts of the last ``per`` seconds above the
        amount. If ``per`` grows, starts that did not count any more at the call are not among them. The ``Rate`` does
        not change: ``statistics().limits`` has the amount that holds. After an error nothing has changed.

        Args:
            limit: One of the limits of this executor, or its ``name``.
            amount: The new amount, as the :class:`Rate` or :class:`Concurrent` takes it; for each key, too. None if it
                stays as it is.
            per: The new length of the window in seconds, positive. None if it stays as it is.

        Raises:
            ValueError: The executor has no such limit, or a number is out of range. Or an event that waits or runs
                takes more than the new amount, so that it could never start. Or neither number is given, or ``per`` for
                a :class:`Concurrent`.
            ConfigurationError: The executor has a cluster, whose processes share the limits.
            RuntimeError: This is not the thread of the event loop.
        """
        self._steering.set_limit(limit, amount, per)

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """
        Change how many events may run at once, and how many may start in a window. Also works while the executor runs.

        Running events continue, also above the new limit. Starts before the call still count in the window.

        Args:
            concurrency_limit: At least 1. None if it stays as it is.
            queue_capacity: 1 to 10,000. None if it stays as it is.

        Raises:
            ValueError: A number is out of its bounds. Nothing has changed.
            RuntimeError: This is not the thread of the event loop. Nothing has changed.
        """
        self._steering.resize(concurrency_limit, queue_capacity)
