"""An event that runs now, and what its processor knows of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lionpride_exec._events.running_event import RunningEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lionpride_exec._events.event import Event
    from lionpride_exec._offload.offload import Offload
    from lionpride_exec._scheduling.entry import Entry
    from lionpride_exec._scheduling.limit_state import Reservation


class PlaceOwner(Protocol):
    """
    What a run sees of its ``EventRunner``.

    Attributes:
        offload: Where plain functions run.
    """

    offload: Offload


class ProcessorRun(RunningEvent):
    """
    An event that a processor runs. The object exists from the start of the run until everything is given back.

    Attributes:
        entry: Its entry in the queue, with which the event goes back if it runs again.
        uses: What the run has taken of each limit, and gives back at its end.
        began: When the event was started, by the clock of the event loop.
        again_in: The seconds from the end of this run to the next run. None while no other run is planned.
        token: Stands for the start in the capacity window while the journal has not confirmed the start. None if the
            run has begun, or if it takes no capacity.
        clock: A short way to the time of the event loop in which the event runs.
        runner: The ``EventRunner`` that made the run. None once everything is given back.
    """

    __slots__ = ("again_in", "began", "clock", "entry", "runner", "token", "uses")

    event: Event

    def __init__(
        self,
        event: Event,
        entry: Entry,
        uses: Sequence[Reservation],
        began: float,
        token: object,
        clock: Callable[[], float],
        runner: PlaceOwner,
        timeout: float | None,
    ) -> None:
        # The attributes of the base class, without the call of its constructor: this runs for each event.
        self.event = event
        self.is_active = False
        self.scope = None
        self.forced_outcome = None
        self.is_given_up = False
        self.timeout = timeout
        self.time_left = None
        self.entry: Entry = entry
        self.uses: Sequence[Reservation] = uses
        self.began: float = began
        self.again_in: float | None = None
        self.token: object = token
        self.clock: Callable[[], float] = clock
        self.runner: PlaceOwner | None = runner

    @property
    def offload(self) -> Offload:
        """Where plain functions of the event run: in the places of its processor."""
        return super().offload if self.runner is None else self.runner.offload
