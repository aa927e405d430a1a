"""What happens to the events that come after another event, when that event ends or leaves."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from lionpride_exec._status import EventStatus
from lionpride_exec.errors import Skip

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .keys import Keys
    from .queueing import Queueing
    from .transitions import Transitions


class DependencyRecords(Protocol):
    """The journal of an executor, as the followers see it."""

    def record_waiting(self, event: Event, awaited: Collection[UUID]) -> None:
        """Have the ids written for which an event still waits."""


class Followers:
    """
    Queues or skips the events that come after others.

    Attributes:
        records: The journal. None if the executor has none.
        ended: The events that have ended or left, and whose followers have not been told yet.
    """

    __slots__ = (
        "_dependencies",
        "_index",
        "_is_following_up",
        "_keys",
        "_queueing",
        "_transitions",
        "ended",
        "records",
    )

    def __init__(
        self,
        index: StatusIndex,
        transitions: Transitions,
        dependencies: Dependencies,
        keys: Keys,
        queueing: Queueing,
    ) -> None:
        self.records: DependencyRecords | None = None
        self.ended: deque[Event] = deque()
        self._index = index
        self._transitions = transitions
        self._dependencies = dependencies
        self._keys = keys
        self._queueing = queueing
        self._is_following_up = False

    def keep_after(self, event: Event, options: SubmitOptions) -> None:
        """Keep an event until the events of ``after`` have completed. It may be queued or SKIPPED at once."""
        self._queueing.check_costs(event)
        self._queueing.follow_clock()
        self._dependencies.add(event.id, options)
        for other in options.after:
            if other.status.is_terminal or other.id not in self._index.items:
                self.follow_up(other)

    def keep_unresolved(self, event: Event, options: SubmitOptions) -> None:
        """Keep an event until the outcome of the events that it comes after has been looked up."""
        self._dependencies.add(event.id, options)

    def follow_up(self, event: Event) -> None:
        """Queue or skip the events that wait for an event that has ended or left, then their followers, and so on."""
        self.ended.append(event)
        if self._is_following_up:
            return
        self._is_following_up = True
        try:
            while self.ended:
                ended = self.ended.popleft()
                for follower in self._dependencies.take_followers(ended.id):
                    event_or_none = self._index.items.get(follower, None)
                    if event_or_none is None:  # a user took the event out of the flow
                        self._queueing.early.pop(follower, None)
                        self._dependencies.remove(follower)
                        self._keys.forget(follower)
                    else:
                        self._follow(event_or_none, ended)
        finally:
            self._is_following_up = False

    def _follow(self, event: Event, ended: Event) -> None:
        if ended.status is not EventStatus.COMPLETED:
            became = f"is {ended.status}" if ended.status.is_terminal else "has left the executor"
            self._transitions.end(event, EventStatus.SKIPPED, Skip(f"It comes after {ended!r}, which {became}"))
            return
        self.come_nearer(event, ended.id)

    def come_nearer(self, event: Event, completed: UUID) -> None:
        """Note that an event's dependency has completed. Queue the event if that was the last dependency."""
        dependencies = self._dependencies
        if event.id not in dependencies.waiting:
            return
        if dependencies.due(event.id) is not None:
            with suppress(RuntimeError):  # no event loop runs: a user set a status
                self._queueing.follow_clock()
                if self._queueing.processor is not None:
                    self._queueing.processor._follow_clock()
        options = dependencies.complete(event.id, completed)
        if self.records is not None:
            self.records.record_waiting(event, dependencies.awaited_by(event.id))
        if options is not None:
            processor = self._queueing.processor
            if processor is None:
                self._queueing.keep_early(event.id, options)
            else:
                self._queueing.queue_anyway([(event, options)], processor)
