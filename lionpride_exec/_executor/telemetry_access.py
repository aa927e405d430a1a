"""
What telemetry needs of an executor, beyond its public methods.

This module is the only place where ``lionpride_exec.telemetry`` depends on how an executor is put together.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._status import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.waiting import WaitReason
    from lionpride_exec._status import EventStatus
    from lionpride_exec._tracking.observers import EntryObserver, Observer

    from .executor import Executor
    from .survey import Survey


class JournalState(NamedTuple):
    """
    How a journal is doing.

    Attributes:
        unwritten: How many new events and changes are not on disk yet.
        size: The size of its files in bytes.
        has_trouble: Whether it cannot be written.
    """

    unwritten: int
    size: int
    has_trouble: bool


class Slots(NamedTuple):
    """
    How far a processor is used.

    Attributes:
        limit: How many events may run.
        used: How many events run.
        queued: How many events are queued.
    """

    limit: int
    used: int
    queued: int


class TelemetryAccess:
    """
    Access to an executor for traces, metrics and logs.

    Args:
        executor: The executor.

    Attributes:
        executor: The executor.
        name: Its name.
        keeps_metadata: Whether the metadata of an event go to a journal or to other processes.
    """

    def __init__(self, executor: Executor) -> None:
        parts = executor._parts
        self.executor: Executor = executor
        self.name: str = executor.name
        self.keeps_metadata: bool = parts.link is not None or parts.cluster is not None
        self._parts = parts
        self._moments = executor._moments

    # ---------------------------------------------------------------- observers

    def observe(self, observer: Observer) -> Callable[[], None]:
        """
        Call an observer at the transitions of the events that this executor has taken in. Return what ends this.

        Failures of which only the observer is told count as not looked at.
        """
        return self._parts.observers.add(observer, is_blind=True)

    def observe_runs(self, observer: Observer) -> Callable[[], None]:
        """Like :meth:`observe`, but with a cluster at the transitions of the events that this process works on."""
        cluster = self._parts.cluster
        observers = self._parts.observers if cluster is None else cluster.work.observers
        return observers.add(observer, is_blind=True)

    def observe_entries(self, observer: EntryObserver) -> Callable[[], None]:
        """Call an observer for each new event, in the context of its caller. Return what ends this, to call once."""
        return self._parts.observers.add_to_entries(observer)

    def keep_times(self) -> Callable[[], None]:
        """Keep when new events come in, for ``waited()``. Return what ends this, to call once."""
        return self._parts.observers.keep_times()

    def observe_commits(self, observer: Callable[[float], None]) -> Callable[[], None]:
        """Call an observer with the seconds of each commit of the journal. Return what ends this. Idempotent."""
        link = self._parts.link
        if link is None:
            return _nothing
        observers = link.reports.commit_observers
        observers.append(observer)

        def end() -> None:
            """Remove the observer."""
            with suppress(ValueError):
                observers.remove(observer)

        return end

    # ---------------------------------------------------------------- looking, from any thread

    def key_of(self, event: Event) -> Hashable:
        """Return the key of an event. None if it has none."""
        return self._parts.keys.of(event.id)

    def counts(self) -> tuple[dict[EventStatus, int], Mapping[EventStatus, int]]:
        """Return the number of events in memory by status, and of those that have left it after their end."""
        return self._parts.index.counts(), self._parts.retention.removed

    def oldest_pending(self) -> float:
        """Return for how many seconds the event that came first has been pending, by the wall clock. 0 if none is."""
        index = self._parts.index
        try:
            first = index.items.get(index.progression(PENDING)[0], None)
        except IndexError:
            return 0.0
        queued_at = None if first is None else first.execution.queued_at
        return 0.0 if queued_at is None else max((wall_clock.now() - queued_at).total_seconds(), 0.0)

    def missed(self) -> int:
        """Return how many transitions watchers with ``on_full="drop"`` have dropped."""
        return self._parts.subscriptions.missed

    def journal(self) -> JournalState | None:
        """Return how the journal is doing. None without a journal."""
        link = self._parts.link
        if link is None:
            return None
        writer = None if link.session is None else link.session.writer
        size = 0
        for path in (link.journal.path, link.journal.path.with_name(link.journal.path.name + "-wal")):
            with suppress(OSError):
                size += path.stat().st_size
        if writer is None:
            return JournalState(0, size, has_trouble=False)
        return JournalState(writer.unwritten, size, has_trouble=writer.trouble is not None)

    def slots(self) -> Slots | None:
        """Return how many events may run, do run, and are queued. None while there is no processor."""
        processor = self._parts.lifetime.processor
        if processor is None:
            return None
        return Slots(processor.concurrency_limit, len(processor._running), processor.queue.qsize())

    def survey(self) -> Survey | None:
        """
        Return what events wait for and how far the limits are used, as of a second ago at most, or of the last call.

        None if there is no survey yet. Some 2 ms in the event loop, 0.1 s in other threads at most.
        """
        return self._moments.surveyor.latest()

    def waits(self) -> Mapping[WaitReason, int] | None:
        """
        Return the pending events by what they wait for. In the event loop their sum is that of this moment.

        In another thread it is that of :meth:`survey`. None if there is no survey yet.
        """
        survey = self._moments.surveyor.latest()
        return None if survey is None else self._moments.waits(survey)


def _nothing() -> None:
    """Do nothing."""
