"""An event that runs now, as its processor knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._events.event import Event
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.limit_state import Reservation


class RunningEvent:
    """
    What a processor knows of an event that it runs. The object exists from the start until the end of the run.

    Attributes:
        event: The event.
        entry: Its entry in the queue, with which the event goes back if it runs again.
        uses: What the run has taken of each limit, and gives back at its end.
        began: When the event was started, by the clock of the event loop.
        again_in: The seconds from the end of this run to the next run. None while no other run is planned.
        token: Stands for the start in the capacity window while the journal has not confirmed the start. None if the
            run has begun, or if it takes no capacity.
    """

    __slots__ = ("again_in", "began", "entry", "event", "token", "uses")

    def __init__(self, event: Event, entry: Entry, uses: Sequence[Reservation], began: float, token: object) -> None:
        self.event: Event = event
        self.entry: Entry = entry
        self.uses: Sequence[Reservation] = uses
        self.began: float = began
        self.again_in: float | None = None
        self.token: object = token
