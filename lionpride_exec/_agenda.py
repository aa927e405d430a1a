"""
What an executor keeps of events that are not with the processor yet, and of the keys it was given.

Before there is a processor, events wait here with their priority and their time; events that come after others wait
here for these. Nothing here moves an event: it says which, the executor moves.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import attrs

from ._background import current_time
from ._clock import LoopClock, wall_skew
from ._config import check_seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Sequence
    from uuid import UUID

    from ._event import Event


@attrs.define
class Ticket:
    """
    How an event is to be taken in.

    Attributes:
        priority: As given; None: the default.
        until: A reading of ``anyio.current_time()`` before which it is not due; None: it is.
        at: The time by the wall clock that this stands for, in seconds since 1970. None if it was given as a delay.
        skew: How far the wall clock was ahead then, by ``wall_skew()``.
        after: The events that have to complete before it is queued.
        key: By which it is known; None: by none.
        is_urgent: Whether it is queued whatever room there is.
        lost: An event that it comes after, too, that is in the journal only and did not complete; None: there is none.
    """

    priority: float | None = None
    until: float | None = None
    after: Sequence[Event] = ()
    key: Any = None
    is_urgent: bool = False
    lost: UUID | None = None
    at: float | None = None
    skew: float = 0.0

    def follow_wall(self) -> None:
        """Correct the time by the wall clock, if that was set since it was given."""
        if self.until is not None and self.at is not None:
            before, self.skew = self.skew, wall_skew()
            self.until -= self.skew - before

    def carry_over(self, seconds: float) -> None:
        """Carry the time over to another event loop, whose clock is so far ahead."""
        if self.at is not None:
            self.until, self.skew = current_time() + self.at - time.time(), wall_skew()
        elif self.until is not None:
            self.until += seconds


PLAIN = Ticket()


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


def ticket_for(priority: float | None, delay: float | None, at: datetime | None, **rest: Any) -> Ticket:
    """
    Return a ticket for an event that is due after a delay, or at a time.

    Raises:
        ValueError: Both are given, or what is given is no time, or a time without a time zone.
        TypeError: ``at`` is no datetime.
    """
    if at is None:
        until = None if delay is None else current_time() + check_seconds("delay", delay)
        return Ticket(priority, until, **rest)
    if delay is not None:
        raise ValueError("delay and at exclude each other")
    if not isinstance(cast("object", at), datetime):
        raise TypeError(f"at must be a datetime, got {at!r}")
    if at.utcoffset() is None:
        raise ValueError(
            f"at must have a time zone, got {at!r}: use datetime.now(UTC) instead of datetime.now() or utcnow(), "
            "or at.astimezone() for a local time"
        )
    return wall_ticket(priority, at.timestamp(), **rest)


def wall_ticket(priority: float | None, at: float, **rest: Any) -> Ticket:
    """Return a ticket for an event that is due at a time of the wall clock, in seconds since 1970; past is now."""
    until = current_time() + max(at - time.time(), 0.0)
    return Ticket(priority, until, at=at, skew=wall_skew(), **rest)
