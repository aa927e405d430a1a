"""
Events that come after others: which of them each event still waits for.

Nothing here moves an event. This says what is ready, ``submissions`` queues it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.loop_time import LoopClock

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from lionpride_exec._events.submit_options import SubmitOptions


class Dependencies:
    """
    The graph of the events that wait for others. Everything is O(1), or O(number of dependencies).

    Attributes:
        waiting: How each waiting event is queued once it is ready, and the ids of those that it still waits for.
        followers: Who waits for an event, by its id; in the order in which they came. The ids in ``waiting`` and these
            say the same: ``other in waiting[event][1]`` just if ``event in followers[other]``.
    """

    __slots__ = ("_clock", "followers", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[UUID, tuple[SubmitOptions, set[UUID]]] = {}
        self.followers: dict[UUID, dict[UUID, None]] = {}
        self._clock = LoopClock()

    def awaited_by(self, event_id: UUID) -> Collection[UUID]:
        """Return the events that have to complete before this one is queued."""
        return self.waiting[event_id][1] if event_id in self.waiting else ()

    def due(self, event_id: UUID) -> float | None:
        """Return the time before which a waiting event does not start. None if it has none."""
        return self.waiting[event_id][0].until

    def follow_clock(self) -> None:
        """Carry the times over to the running event loop, if they were read in another."""
        seconds = self._clock.shift()
        if seconds:
            for event_id, (options, needed) in self.waiting.items():
                self.waiting[event_id] = options.carry_over(seconds), needed

    def add(self, event_id: UUID, options: SubmitOptions) -> None:
        """Have an event wait until all that it comes after have completed."""
        needed = {event.id for event in options.after}
        self.waiting[event_id] = options, needed
        for other in needed:
            self.followers.setdefault(other, {})[event_id] = None

    def take_followers(self, event_id: UUID) -> list[UUID]:
        """Return the events that wait for one that will not be waited for any longer."""
        return list(self.followers.pop(event_id, ()))

    def complete(self, follower: UUID, event_id: UUID) -> SubmitOptions | None:
        """Note that one of the events that it waits for has completed. Return its options if that was the last."""
        options, needed = self.waiting[follower]
        needed.discard(event_id)
        if needed:
            return None
        del self.waiting[follower]
        return options

    def remove(self, event_id: UUID) -> None:
        """Have an event wait no longer: it has begun, or was decided by somebody else, or leaves."""
        _, needed = self.waiting.pop(event_id, (None, ()))
        for other in needed:
            followers = self.followers.get(other)
            if followers is not None:
                followers.pop(event_id, None)
                if not followers:
                    del self.followers[other]
