"""What an event waits for, as the parts that hold events up say it."""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
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
    """``release()`` or ``cancel()`` must be called: it ran when the process died, and its class says "hold"."""
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


class Words(NamedTuple):
    """
    The words for a reason, after "waits for".

    Attributes:
        of_one: For one event, whose limit and key follow.
        of_several: For several events.
    """

    of_one: str
    of_several: str


WORDS: Final[Mapping[WaitReason, Words]] = {
    WaitReason.START: Words("the executor to be started", "the executor to be started"),
    WaitReason.PAUSED: Words("resume()", "resume"),
    WaitReason.WATCHER: Words("a watcher that has to catch up", "a watcher that has to catch up"),
    WaitReason.LOCK: Words("lock", "a lock"),
    WaitReason.JOURNAL: Words("the journal", "the journal"),
    WaitReason.HELD: Words("release() or cancel(): it ran when the process died", "somebody to decide"),
    WaitReason.CLUSTER: Words("a worker of the cluster", "a worker of the cluster"),
    WaitReason.DEPENDENCY: Words("the end", "other events"),
    WaitReason.DELAY: Words("its time", "their time"),
    WaitReason.RETRY: Words("its next attempt", "their next attempt"),
    WaitReason.GATE: Words("gate", "the gate"),
    WaitReason.REFUSAL: Words("the pace after a refusal", "a key after a refusal"),
    WaitReason.LIMIT: Words("limit", "a limit"),
    WaitReason.CAPACITY: Words("capacity", "the capacity of the window"),
    WaitReason.SLOT: Words("a slot", "a slot"),
    WaitReason.TURN: Words("its turn", "their turn"),
    WaitReason.RUNNING: Words("nothing: it runs", "nothing: they run"),
    WaitReason.FINAL: Words("nothing: it has ended", "nothing: they have ended"),
}


def words_of_several(reason: str) -> str:
    """Return what several events wait for. A reason that this version does not know is returned as it is."""
    try:
        return WORDS[WaitReason(reason)].of_several
    except ValueError:
        return reason


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
