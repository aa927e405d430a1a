"""How an event came into its executor: what is kept of it only while somebody observes entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Intake:
    """
    How an event came in.

    Attributes:
        is_awaited: Whether the caller waits for the end of the event, in ``Executor.invoke()``.
        since: When the event came in or went back to PENDING, by the clock of the event loop. None before it came in.
        origin: What tracing keeps for the runs of the event: the context of the caller.
        run: What tracing keeps during a run: the span.
        at_removal: Called with the event at the end of its run, if the event has left its executor before. None if
            nothing is called.
    """

    __slots__ = ("at_removal", "is_awaited", "origin", "run", "since")

    def __init__(self, *, is_awaited: bool = False) -> None:
        self.is_awaited: bool = is_awaited
        self.since: float | None = None
        self.origin: Any = None
        self.run: Any = None
        self.at_removal: Callable[[Any], None] | None = None
