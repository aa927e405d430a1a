"""The host of a worker, which runs the events, and the answer to the question whether an event may begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from .queue_types import Taken


class WorkerHost(Protocol):
    """What runs the events that a worker holds. No method may wait."""

    def room(self) -> int:
        """Return how many more events can be taken now."""
        ...

    def take(self, taken: Taken) -> None:
        """Get an event. The worker holds it until it is finished, given back, postponed or parked."""

    def lose(self, event_id: str) -> None:
        """Stop an event that another worker has taken over. What is reported of the run here is not recorded."""

    def lapse(self, event_id: str) -> None:
        """
        Stop the run of an event, and give the event back.

        The lease of this worker had run out, so another run may have its place under a ``Concurrent``.
        """

    def end(self, event_id: str, status: str, outcome: bytes) -> None:
        """
        End an event that runs here, because a client or a command has asked for its end.

        Args:
            event_id: The id of the event.
            status: The status with which the event ends.
            outcome: A signed outcome, whose error has the reason. It may be empty.
        """

    def reopen(self, bucket: str) -> None:
        """
        Have the events that wait for a bucket ask again, because a run has ended and has given something back.

        No other worker is told. If no event can ask now, the host calls :meth:`QueueWorker.pass_place`.
        """


@attrs.frozen
class Start:
    """
    The answer of the server when an event is about to begin.

    Attributes:
        attempt: How often the event has begun. 0 if it must not run now.
        seconds: After how many seconds to ask again. ``inf`` if a run has to end first.
        limit: The index of the limit that refuses. None if no limit does.
    """

    attempt: int
    seconds: float = 0.0
    limit: int | None = None

    @property
    def may_run(self) -> bool:
        """Whether the event begins now."""
        return self.attempt > 0

    @property
    def is_gone(self) -> bool:
        """Whether another worker has the event, or the event has ended."""
        return not self.attempt and self.limit is None
