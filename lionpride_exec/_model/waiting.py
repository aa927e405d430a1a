"""What an event waits for, as the parts that hold events up say it."""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from .limits import Limit


class WaitReason(StrEnum):
    """What an event waits for."""

    START = "start"
    """The executor must be started, or started again."""
    PAUSED = "paused"
    """The executor is paused, or its key or limit is, until ``resume()`` or the time of ``pause(until=...)``."""
    WATCHER = "watcher"
    """The reader of a ``watch()`` must catch up."""
    LOCK = "lock"
    """A task holds a lock on the progressions."""
    JOURNAL = "journal"
    """The event is not on disk yet, or the journal is behind or fails to write."""
    HELD = "held"
    """A decision, ``release()`` or ``cancel()``: it ran when the process died, and its class says "hold"."""
    CLUSTER = "cluster"
    """The event is in the queue on the server, and no worker of this process holds it."""
    DEPENDENCY = "dependency"
    """The events that it comes ``after`` have not completed, or those of ``after_any_end`` have not ended."""
    DELAY = "delay"
    """The time of its ``delay`` or ``at`` has not come."""
    RETRY = "retry"
    """The time of its next attempt has not come."""
    GATE = "gate"
    """Its gate must be asked (again)."""
    REFUSAL = "refusal"
    """A run with its key raised ``RateLimited``: the key is closed for a time, or has a pace after that. Or an
    :class:`Adaptive` sets the pace of its key."""
    LIMIT = "limit"
    """A ``Rate``, ``Quota`` or ``Concurrent`` has no room."""
    CAPACITY = "capacity"
    """The capacity of the window is used up."""
    SLOT = "slot"
    """The concurrency limit is reached: a running event must end."""
    TURN = "turn"
    """No condition is unmet: it waits for its turn."""
    RUNNING = "running"
    """Nothing: the event runs."""
    FINAL = "final"
    """Nothing: the event has ended."""


class Waiting(NamedTuple):
    """
    The answer of one part to the question why an event does not start.

    Attributes:
        reason: What the event waits for.
        until: The time of the clock of the event loop before which the event does not start. ``-inf`` if no time is
            known.
        limit: The limit that has no room or is paused. None for other reasons.
        key: The key of that limit or gate. None if it has no keys.
        after: The events that it comes after, and that have not ended.
    """

    reason: WaitReason
    until: float = -inf
    limit: Limit | None = None
    key: Hashable = None
    after: tuple[UUID, ...] = ()
