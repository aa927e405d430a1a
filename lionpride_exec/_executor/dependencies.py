"""
Events that come after others: for which events each of them still waits.

This module moves no event. It says which events are ready, and the followers queue them.
"""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING
from uuid import UUID

from lionpride_exec._base.loop_time import LoopClock
from lionpride_exec._events.event import Event
from lionpride_exec._model.element import to_uuid

from .named_events import id_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lionpride_exec._events.submit_options import SubmitArguments, SubmitOptions
    from lionpride_exec._model.waiting import Waiting


def named(how: SubmitArguments) -> tuple[tuple[Event | UUID, ...], tuple[Event | UUID, ...]]:
    """
    Return the events that must complete first, and the others that may end in any way.

    Raises:
        ValueError: A text is no id.
        TypeError: One of the two arguments is neither an event nor an id, nor several of them.
    """
    after = each_once(how["after"])
    strict = set(map(to_uuid, after))
    any_end = each_once(how["after_any_end"], "after_any_end")
    return after, tuple([one for one in any_end if to_uuid(one) not in strict])


def each_once(
    after: Event | UUID | str | Iterable[Event | UUID | str], name: str = "after"
) -> tuple[Event | UUID, ...]:
    """
    Return the events that a user has named, each once: the event or its id, in the order in which they were named.

    Args:
        after: One of them, or several.
        name: The name of the argument, for messages.

    Raises:
        ValueError: A text is no id.
        TypeError: It is neither an event nor an id, nor several of them.
    """
    named = [after] if isinstance(after, Event | UUID | str) else after
    ids = ((id_of(one, name), one) for one in named)
    return tuple({one_id: one if isinstance(one, Event) else one_id for one_id, one in ids}.values())


class Dependencies:
    """
    The graph of the events that wait for others. Each step is O(1), or O(number of dependencies).

    Attributes:
        are_used: Whether any event has ever come after another one.
        waiting: For each waiting event, the options for queueing it and the ids for which it still waits.
        followers: For each awaited event, by its id, the events that wait for it, in the order in which they came. Both
            mappings hold the same pairs: ``other in waiting[event][1]`` exactly if ``event in followers[other]``, until
            ``take_followers()`` has taken the followers of an event that has ended.
    """

    __slots__ = ("_clock", "are_used", "followers", "waiting")

    def __init__(self) -> None:
        self.are_used: bool = False
        self.waiting: dict[UUID, tuple[SubmitOptions, set[UUID]]] = {}
        self.followers: dict[UUID, dict[UUID, None]] = {}
        self._clock = LoopClock()

    def awaited_by(self, event_id: UUID) -> Collection[UUID]:
        """Return the ids of the events for which an event still waits."""
        return self.waiting[event_id][1] if event_id in self.waiting else ()

    def due(self, event_id: UUID) -> float | None:
        """Return the time before which a waiting event does not start. None if there is no such time."""
        return self.waiting[event_id][0].until

    def why_waiting(self, event_id: UUID) -> Waiting | None:
        """Return for which events an event waits, and its own delay. None if the event waits for no other event."""
        if event_id not in self.waiting:
            return None
        from lionpride_exec._model.waiting import Waiting, WaitReason  # noqa: PLC0415  slow to import, for explain()

        options, needed = self.waiting[event_id]
        until = -inf if options.until is None else options.until
        in_order = dict.fromkeys(event.id for event in options.after if event.id in needed)
        return Waiting(WaitReason.DEPENDENCY, until, after=tuple(in_order))

    def follow_clock(self) -> None:
        """Carry the times over to the running event loop, if they were read in another loop."""
        seconds = self._clock.shift()
        if seconds:
            for event_id, (options, needed) in self.waiting.items():
                self.waiting[event_id] = options.carry_over(seconds), needed

    def add(self, event_id: UUID, options: SubmitOptions) -> None:
        """Make an event wait until all events that it comes after have ended."""
        needed = {event.id for event in options.after}
        self.waiting[event_id] = options, needed
        for other in needed:
            self.followers.setdefault(other, {})[event_id] = None

    def followers_of(self, event_id: UUID, count: int) -> tuple[list[UUID], int]:
        """Return the first events that wait for an event, in the order in which they came, and how many do."""
        found = self.followers.get(event_id, {})
        return list(islice(found, count)), len(found)

    def take_followers(self, event_id: UUID) -> list[UUID]:
        """Return the events that wait for this one, and forget that they do: this event has ended or left."""
        return list(self.followers.pop(event_id, ()))

    def needs_completed(self, follower: UUID, event_id: UUID) -> bool:
        """Return whether an event still waits for another one, which has to complete."""
        if follower not in self.waiting:
            return False
        options, needed = self.waiting[follower]
        return event_id in needed and event_id not in options.any_end

    def release(self, follower: UUID, event_id: UUID) -> SubmitOptions | None:
        """Note that an event is awaited no longer. Return the options of the follower if no other event is awaited."""
        options, needed = self.waiting[follower]
        needed.discard(event_id)
        if needed:
            return None
        del self.waiting[follower]
        return options

    def remove(self, event_id: UUID) -> None:
        """Stop waiting for an event's dependencies: the event has begun, has ended, or leaves."""
        _, needed = self.waiting.pop(event_id, (None, ()))
        for other in needed:
            followers = self.followers.get(other)
            if followers is not None:
                followers.pop(event_id, None)
                if not followers:
                    del self.followers[other]
