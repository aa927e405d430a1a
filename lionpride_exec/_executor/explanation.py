"""What ``explain()`` and ``statistics()`` return."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from lionpride_exec._base.wording import MAX_SECONDS, counted, shown_seconds

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.pauses import Pause, StartPace
    from lionpride_exec._status import EventStatus


class WaitReason(StrEnum):
    """What an event waits for."""

    START = "start"
    """For the executor to be started (again)."""
    PAUSED = "paused"
    """For ``resume()``."""
    WATCHER = "watcher"
    """For the reader of a ``watch()`` that has to catch up."""
    LOCK = "lock"
    """For a lock on the progressions that somebody holds."""
    JOURNAL = "journal"
    """For the journal: the event is not on disk yet, or the disk is behind or in trouble."""
    DEPENDENCY = "dependency"
    """For the events that it comes after."""
    DELAY = "delay"
    """For its time."""
    RETRY = "retry"
    """For its next attempt."""
    ROOM = "room"
    """For room in the queue."""
    GATE = "gate"
    """For its gate to be asked (again), for the end of a ``RateLimited``, or for the pace of its key after that."""
    LIMIT = "limit"
    """For a ``Rate`` or ``Concurrent``."""
    CAPACITY = "capacity"
    """For the capacity of the window."""
    SLOT = "slot"
    """For one of those that run to end: the concurrency limit is reached."""
    TURN = "turn"
    """For nothing else than its turn."""
    RUNNING = "running"
    """For nothing: it runs."""
    FINAL = "final"
    """For nothing: it has ended."""


@attrs.frozen
class Explanation:
    """
    What an event waits for at the moment.

    Attributes:
        event: Which event.
        status: Its status.
        waits_for: The first unmet condition, of the event or of those that go before it.
        seconds: How many seconds the event waits at least, unless somebody changes something (``cancel()``,
            ``resize()``, ``settle()``, ``forward()``, …). 0 if it waits for nothing, None if no time is known.
        limit: The limit that has no room, if it waits for one.
        key: The key of that limit or gate, if it has keys.
        after: The events that have not completed yet, if it waits for others.
        holder: Who holds things up, in words: which watcher, or which task holds which lock. None for other reasons.
    """

    event: Event
    status: EventStatus
    waits_for: WaitReason
    seconds: float | None = None
    limit: Limit | None = None
    key: Hashable = None
    after: tuple[UUID, ...] = ()
    holder: str | None = None

    @property
    def event_id(self) -> UUID:
        """The id of the event."""
        return self.event.id

    def __str__(self) -> str:
        parts = [f"{self.event!r} is {self.status}"]
        if self.waits_for not in WAITS_FOR_NOTHING:
            parts.append(f"waits for {_WORDS.get(self.waits_for, self.waits_for)}")
            if self.limit is not None:
                parts.append(f"{self.limit!r}")
            if self.key is not None:
                parts.append(f"of key {self.key!r}")
            if self.after:
                parts.append(f"of {counted(len(self.after), 'event')}")
            if self.holder is not None:
                parts.append(self.holder)
            if self.seconds is not None:
                parts.append("for ever" if self.seconds > MAX_SECONDS else f"at least {shown_seconds(self.seconds)}")
        return ", ".join(parts)


_WORDS: Final = {
    WaitReason.START: "the executor to be started",
    WaitReason.PAUSED: "resume()",
    WaitReason.WATCHER: "a watcher that has to catch up",
    WaitReason.JOURNAL: "the journal",
    WaitReason.DEPENDENCY: "the end",
    WaitReason.DELAY: "its time",
    WaitReason.RETRY: "its next attempt",
    WaitReason.ROOM: "room in the queue",
    WaitReason.SLOT: "a slot",
    WaitReason.TURN: "its turn",
}
WAITS_FOR_NOTHING: Final = frozenset({WaitReason.RUNNING, WaitReason.FINAL})


@attrs.frozen
class LimitUse:
    """
    How much of a limit is used at the moment.

    Attributes:
        limit: Which one.
        key: Of which key; None: it has none.
        used: Of its amount.
    """

    limit: Limit
    key: Hashable
    used: float


@attrs.frozen
class Statistics:
    """
    An executor at one moment.

    Attributes:
        status_counts: Events by status, all seven.
        waits: Pending events by what they wait for; only what there is. Events with the same keys are counted with
            the first of them.
        running: Events that run, of ``concurrency_limit``.
        concurrency_limit: Of the executor; 0: it was not started yet.
        queued: Events in the queue, of ``max_queue_size``.
        max_queue_size: Of the executor; 0: it was not started yet.
        available_capacity: Starts that the window allows now, of ``queue_capacity``.
        queue_capacity: Of the executor; 0: it was not started yet.
        limits: What is used of each limit and key; only what is.
        is_running: Whether events are started.
        is_paused: Whether ``pause()`` holds.
        pauses: The keys that are closed by ``RateLimited``, the one that opens last first.
        paces: The keys that are open again since, and how fast their runs may start.
        rate_limited: Runs that ended with ``RateLimited`` so far.
        retries: Runs that failed so far and were followed by another run. Those that ended with ``RateLimited`` and
            those that were interrupted are not among them.
    """

    status_counts: Mapping[str, int]
    waits: Mapping[WaitReason, int]
    running: int = 0
    concurrency_limit: int = 0
    queued: int = 0
    max_queue_size: int = 0
    available_capacity: int = 0
    queue_capacity: int = 0
    limits: tuple[LimitUse, ...] = ()
    is_running: bool = False
    is_paused: bool = False
    pauses: tuple[Pause, ...] = ()
    paces: tuple[StartPace, ...] = ()
    rate_limited: int = 0
    retries: int = 0
