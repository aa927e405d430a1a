"""
What an executor and its processor share.

The processor starts the events of the executor, so both wait for the same changes, and both have to know what may not
start now. All of that is one object. The executor makes the object and attaches the processor to it, in the setter of
``executor.processor``: it makes no difference who made the processor, or when. A processor without an executor has a
``Coordination`` of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from .conditions import Waiters

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._status import EventStatus


class Coordination:
    """
    The state that an executor and its processor share.

    Attributes:
        conditions: The tasks that wait for a change, with the condition that each of them waits for.
        holds: The reasons why nothing may start now. Events start while there is none.
        deferred_ends: The event, the status and the error of each end that is decided and waits for a lock, by event
            id. None of these events starts.
        locks_in_use: The number of locks of progressions that a task holds or waits for. While there are none, an event
            can be moved at once.
    """

    __slots__ = ("conditions", "deferred_ends", "holds", "locks_in_use")

    def __init__(self) -> None:
        self.conditions: Final[Waiters] = Waiters()
        self.holds: Final[set[object]] = set()
        self.deferred_ends: Final[dict[UUID, tuple[Any, EventStatus, BaseException]]] = {}
        self.locks_in_use: int = 0


class ReportHost(Protocol):
    """What a processor sees of the executor that it is attached to."""

    async def _update_progression(self, event: Any, force_status: EventStatus | None = None) -> None:
        """File an event under a status, or under its own."""

    def _wants_reports(self) -> bool:
        """Return whether each start and each end has to be reported, since ``_update_progression`` is overridden."""
        ...
