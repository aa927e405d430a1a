"""
What clients, workers and a queue on a server pass to each other.

Times are microseconds since 1970 by the clock of the server, unless said. Where a negative time is allowed, it is a
delay: microseconds from now on. Ids of events are 32 hexadecimal digits.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds that a read of new entries blocks.
READ_SECONDS = 0.5


class Look(IntEnum):
    """
    What a look at a queue has come to.

    Attributes:
        COMPLETE: The worker has what there was, or what it had room for.
        PAUSED: The queue is paused.
        CUT_SHORT: Dead workers hold more events than there was room for.
    """

    COMPLETE = 0
    PAUSED = 1
    CUT_SHORT = 2


@attrs.frozen
class Submission:
    """
    An event to be submitted.

    Attributes:
        event_id: Its id.
        level: The stream that it goes into, from 1 on. Lower numbers go first.
        due: When it may start at the earliest. 0: at once. Negative: a delay.
        key: Its key, as JSON. "" if it has none.
        retain: Milliseconds for which the queue keeps it after its end. 0: for ever.
        envelope: The signed record of the event, for workers.
        after: The ids of the events that have to be completed first.
    """

    event_id: str
    level: int
    due: float
    key: str
    retain: int
    envelope: bytes
    after: Sequence[str] = ()


@attrs.frozen
class BucketLimit:
    """
    The limit of one bucket, and what a run takes from the bucket.

    Attributes:
        bucket: The name of the limit and its key.
        amount: How much may be in use at a time.
        per: Microseconds after which a cost comes back.
        cost: How much the run takes.
        hold: Whether these microseconds begin at the end of the run, and not at its start.
    """

    bucket: str
    amount: float
    per: float
    cost: float
    hold: bool


@attrs.frozen
class StreamEntry:
    """
    An entry of a stream.

    Attributes:
        stream: The number of the stream.
        entry_id: The id of the entry in the stream.
        event_id: The id of its event. "" if another program has written the entry: :meth:`ServerQueue.take` removes it.
    """

    stream: int
    entry_id: str
    event_id: str


@attrs.frozen
class Taken:
    """
    An event that a worker holds.

    Attributes:
        entry: The entry of the event, which the worker has to renew.
        status: PENDING. PROCESSING if the event was taken over from a worker that had begun it.
        attempt: How often it has begun.
        envelope: The record that was submitted.
        attempts: The signed record of its earlier attempts. Empty if there is none.
    """

    entry: StreamEntry
    status: str
    attempt: int
    envelope: bytes
    attempts: bytes


@attrs.frozen
class Message:
    """
    A message to workers.

    Attributes:
        event_id: The event that its worker has to end. "" if the message is about none.
        status: The status with which the event has to end.
        bucket: The bucket in which a run has ended, so that the worker may ask again. "" if the message is about none.
        outcome: A signed outcome, whose error has the reason for the end. Empty if there is none.

    A message without an event and a bucket is for all workers: an event is due earlier than it was.
    """

    event_id: str
    status: str
    bucket: str
    outcome: bytes = b""


@attrs.frozen
class Moved:
    """
    A transition.

    Attributes:
        cursor: The place in the stream of transitions. It begins with the time in milliseconds. "" if the status was
            asked for, and not read from the stream.
        event_id: The id of the event. "" if the entry is no transition: another program wrote it, or see ``refused``.
        status: The new status. "" if the queue does not know the event.
        attempt: How often the event has begun.
        worker: The worker that reported the transition. "" if the server made it by itself.
        outcome: The outcome. Empty if the event has not ended, or if the outcome is too long for the stream.
        because: The id of the event that did not complete, so that this one was skipped. Only if ``cursor`` is "".
        refused: The id of an event that the worker cannot run, and why. None for all other entries.
    """

    cursor: str
    event_id: str
    status: str
    attempt: int
    worker: str
    outcome: bytes
    because: str = ""
    refused: tuple[str, str] | None = None

    @property
    def subject(self) -> str:
        """The id of the event that the entry is about. "" if another program has written it."""
        return self.refused[0] if self.refused is not None else self.event_id
