"""What happens to the events that come after another event, when that event ends or leaves."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._events.event import reason_of
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import Skip

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec._tracking.status_index import StatusIndex

    from .dependencies import Dependencies
    from .keys import Keys
    from .queueing import Queueing
    from .transitions import Transitions


class Followers:
    """
    Queues or skips the events that come after others.

    Attributes:
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
    )

    def __init__(
        self,
        index: StatusIndex,
        transitions: Transitions,
        dependencies: Dependencies,
        keys: Keys,
        queueing: Queueing,
    ) -> None:
        self.ended: deque[Event] = deque()
        self._index = index
        self._transitions = transitions
        self._dependencies = dependencies
        self._keys = keys
        self._queueing = queueing
        self._is_following_up = False

    def keep_after(self, event: Event, options: SubmitOptions) -> None:
        """Keep an event until the events of ``after`` have ended as they must. It may be queued or SKIPPED at once."""
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

    def may_follow(self, event: Event, other: UUID, status: str | None) -> bool:
        """
        Return whether an event that comes after another one goes on, now that the other one has ended or left.

        Args:
            event: The event.
            other: The id of the other one.
            status: The status of the other one. None if it is not known.
        """
        return status == EventStatus.COMPLETED or not self._dependencies.needs_completed(event.id, other)

    def _follow(self, event: Event, ended: Event) -> None:
        if not self.may_follow(event, ended.id, ended.status):
            self._transitions.end(event, EventStatus.SKIPPED, skip_after(ended, self._keys.named(ended)))
            return
        self.come_nearer(event, ended.id)

    def come_nearer(self, event: Event, other: UUID) -> None:
        """Note that an event waits for another one no longer. Queue the event if that was the last one."""
        dependencies = self._dependencies
        if event.id not in dependencies.waiting:
            return
        if dependencies.due(event.id) is not None:
            with suppress(RuntimeError):  # no event loop runs: a user set a status
                self._queueing.follow_clock()
                if self._queueing.processor is not None:
                    self._queueing.processor._follow_clock()
        options = dependencies.release(event.id, other)
        if options is not None:
            processor = self._queueing.processor
            if processor is None:
                self._queueing.keep_early(event.id, options)
            else:
                self._queueing.queue_anyway([(event, options)], processor)


def skip_after(ended: Event, name: str) -> Skip:
    """
    Return the error of an event that comes after one which did not complete.

    Its message says which event did not complete, and why. If that event was skipped for the same reason, the message
    also names the first event of the line. ``__cause__`` is the error of that first event.

    Args:
        ended: The event that has ended or left.
        name: Its name in the message.
    """
    if not ended.status.is_terminal:
        return Skip(f"It comes after {name}, which has left the executor")
    error = error_in(ended.execution.error)
    if isinstance(error, Skip) and error._first is not None:
        first, cause = error._first, error.__cause__
        skip = Skip(f"It comes after {name}, which is skipped, since {first}")
    else:
        reason = reason_of(ended)
        first, cause = f"{name} is {ended.status}{reason and f': {reason}'}", error
        skip = Skip(f"It comes after {name}, which is {ended.status}{reason and f': {reason}'}")
    skip._first, skip.__cause__ = first, cause
    return skip
