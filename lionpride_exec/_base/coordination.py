"""
What an executor and its processor share.

The processor starts the events of the executor, so both wait for the same changes, and both have to know what may not
start now. All of that is one object. The executor makes the object and attaches the processor to it, in the setter of
``executor.processor``: it makes no difference who made the processor, or when. A processor without an executor has a
``Coordination`` of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from .conditions import PredicateCondition

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._status import EventStatus


PAUSED: Final = "paused"
"""The token of a hold by ``Executor.pause()``."""


class Starter(Protocol):
    """What starts events, as those see it who hold the start of events and let it go."""

    def look_again(self) -> None:
        """See whether an event can start now. Works in callbacks, too."""

    def look_again_soon(self) -> None:
        """Do the same in a moment. Works from any thread and within anything."""


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
        starter: The processor, which looks again when the last hold is given back. None until there is one.
    """

    __slots__ = ("conditions", "deferred_ends", "holds", "locks_in_use", "starter")

    def __init__(self) -> None:
        self.conditions: Final[PredicateCondition] = PredicateCondition()
        self.holds: Final[set[object]] = set()
        self.deferred_ends: Final[dict[UUID, tuple[Any, EventStatus, BaseException]]] = {}
        self.locks_in_use: int = 0
        self.starter: Starter | None = None

    def hold(self, token: object) -> None:
        """
        Start nothing, and ask no gate, until this token and all others are given back. Idempotent; does not wait.

        What runs goes on; ``Processor.process()`` starts nothing either. The hold outlasts ``stop()`` and ``start()``.

        Args:
            token: Hashable.
        """
        self.holds.add(token)

    def let_go(self, token: object) -> None:
        """Give a token back. After the last one, events start at once. Idempotent."""
        self.holds.discard(token)
        if self.starter is not None:
            self.starter.look_again()

    def let_go_soon(self, token: object) -> None:
        """Give a token back, from any thread and inside any call. Events start in a moment. Idempotent."""
        self.holds.discard(token)
        if self.starter is not None:
            self.starter.look_again_soon()


class ReportHost(Protocol):
    """What a processor sees of the executor that it is attached to."""

    async def _update_progression(self, event: Any, force_status: EventStatus | None = None) -> None:
        """File an event under a status, or under its own."""

    def _wants_reports(self) -> bool:
        """Return whether each start and each end has to be reported, since ``_update_progression`` is overridden."""
        ...
