"""How an event came into its executor: what is kept of it only while somebody observes entries."""

from __future__ import annotations

from typing import Any


class Intake:
    """
    How an event came in.

    Attributes:
        is_awaited: Whether the caller waits for the end of the event, in ``Executor.invoke()``.
        since: When the event came in or went back to PENDING, by the clock of the event loop. None before it came in.
        origin: What tracing keeps for the runs of the event: the context of the caller.
        run: What tracing keeps during a run: the span.
    """

    __slots__ = ("is_awaited", "origin", "run", "since")

    def __init__(self, *, is_awaited: bool = False) -> None:
        self.is_awaited: bool = is_awaited
        self.since: float | None = None
        self.origin: Any = None
        self.run: Any = None

    def waited(self, now: float) -> float | None:
        """Return the seconds for which the event has been PENDING, 0 or more. None if that is not known."""
        # The executor may have been started in another event loop since, whose clock shows another time.
        return None if self.since is None else max(now - self.since, 0.0)
