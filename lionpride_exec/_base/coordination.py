"""
What an executor and its processor share.

The processor starts the events of the executor. So both wait for the same changes, and both have to know what may not
start now. One object has all of that state. The executor makes the object, and attaches the processor to it in the
setter of ``executor.processor``. So the processor may be made by anybody and at any time. A processor without an
executor has its own ``Coordination``.
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
    """The interface of the processor for code that stops and resumes the start of events."""

    def look_again(self) -> None:
        """Check whether an event can start now. Works in callbacks, too."""

    def look_again_soon(self) -> None:
        """Make the event loop call :meth:`look_again` soon. Works in any thread and at any time."""


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
        Start no event, and ask no gate, until this hold and all others have ended. Idempotent. Does not wait.

        Running events go on. ``Processor.process()`` starts no event either. The hold outlasts ``stop()`` and
        ``start()``.

        Args:
            token: Any hashable object.
        """
        self.holds.add(token)

    def release_hold(self, token: object) -> None:
        """End the hold of a token. After the last hold, events start at once. Idempotent."""
        self.holds.discard(token)
        if self.starter is not None:
            self.starter.look_again()

    def release_hold_soon(self, token: object) -> None:
        """End the hold of a token, from any thread at any time. Events start soon after the last hold. Idempotent."""
        self.holds.discard(token)
        if self.starter is not None:
            self.starter.look_again_soon()


class ReportHost(Protocol):
    """The interface through which a processor sees its executor."""

    async def _update_progression(self, event: Any, force_status: EventStatus | None = None) -> None:
        """Move an event to the progression of a status, by default the status of the event."""

    def _wants_reports(self) -> bool:
        """Return whether each start and each end has to be reported, since ``_update_progression`` is overridden."""
        ...
