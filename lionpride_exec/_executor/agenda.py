"""
What an executor keeps of events that are not with the processor yet, and of the keys it was given.

Before there is a processor, events wait here with their priority and their time; events that come after others wait
here for these. Nothing here moves an event: it says which, the executor moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.loop_time import LoopClock
from lionpride_exec._events.submit_options import PLAIN

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable
    from uuid import UUID

    from lionpride_exec._events.submit_options import Ticket


class Agenda:
    """Everything is O(1), or O(number of dependencies) where those are concerned."""

    def __init__(self) -> None:
        self._early: dict[UUID, Ticket] = {}
        self._clock = LoopClock()
        # Of each event that waits for others: its ticket, and which of them have not completed.
        self._waiting: dict[UUID, tuple[Ticket, set[UUID]]] = {}
        self._followers: dict[UUID, dict[UUID, None]] = {}  # by what they wait for; in the order they came
        self._keys: dict[Hashable, UUID] = {}
        self._key_of: dict[UUID, Hashable] = {}

    # ---------------------------------------------------------------- before there is a processor

    def keep_early(self, event_id: UUID, ticket: Ticket) -> None:
        """Keep how an event is to be queued once there is a processor."""
        if ticket is not PLAIN:
            self._early[event_id] = ticket

    def take_early(self, event_id: UUID) -> Ticket:
        """Give what was kept of an event."""
        return self._early.pop(event_id, PLAIN) if self._early else PLAIN

    def early_until(self, event_id: UUID) -> float | None:
        """Return the time before which an event that is kept early is not due; None if it has none."""
        return self._early[event_id].until if event_id in self._early else None

    def follow_clock(self) -> None:
        """Carry the times over to the running event loop, if they were read in another."""
        seconds = self._clock.shift()
        if seconds:
            for ticket in [*self._early.values(), *(ticket for ticket, _ in self._waiting.values())]:
                ticket.carry_over(seconds)

    # ---------------------------------------------------------------- after others

    @property
    def waiting(self) -> int:
        """How many events wait for others."""
        return len(self._waiting)

    def waits_for(self, event_id: UUID) -> Collection[UUID]:
        """Give the events that have to complete before this one is queued."""
        return self._waiting[event_id][1] if event_id in self._waiting else ()

    def is_waiting(self, event_id: UUID) -> bool:
        """Whether an event waits for others."""
        return event_id in self._waiting

    def until(self, event_id: UUID) -> float | None:
        """Give the time before which an event that waits for others does not start; None: it has none."""
        return self._waiting[event_id][0].until

    def keep_after(self, event_id: UUID, ticket: Ticket) -> None:
        """Keep an event until all that it comes after have completed."""
        needed = {event.id for event in ticket.after}
        self._waiting[event_id] = ticket, needed
        for other in needed:
            self._followers.setdefault(other, {})[event_id] = None

    def take_followers(self, event_id: UUID) -> list[UUID]:
        """Give the events that wait for one that will not be waited for any longer."""
        return list(self._followers.pop(event_id, ()))

    def complete(self, follower: UUID, event_id: UUID) -> Ticket | None:
        """Note that one of the events that it waits for has completed; give its ticket if that was the last."""
        ticket, needed = self._waiting[follower]
        needed.discard(event_id)
        if needed:
            return None
        del self._waiting[follower]
        return ticket

    # ---------------------------------------------------------------- keys

    def known_under(self, key: Hashable) -> UUID | None:
        """Give the event that was given this key."""
        return self._keys.get(key)

    def give_key(self, event_id: UUID, key: Hashable) -> None:
        """Have an event known under a key."""
        self._keys[key] = event_id
        self._key_of[event_id] = key

    # ---------------------------------------------------------------- leaving

    def settle(self, event_id: UUID) -> None:
        """Drop how an event was to be queued: it has begun, or ended."""
        self._early.pop(event_id, None)
        _, needed = self._waiting.pop(event_id, (None, ()))
        for other in needed:
            followers = self._followers.get(other)
            if followers is not None:
                followers.pop(event_id, None)
                if not followers:
                    del self._followers[other]

    def forget(self, event_id: UUID) -> None:
        """Drop all that is kept of an event, but for those that wait for it."""
        self.settle(event_id)
        if self._key_of:
            key = self._key_of.pop(event_id, None)
            if key is not None:
                del self._keys[key]
