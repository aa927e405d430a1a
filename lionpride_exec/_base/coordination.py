"""
What an executor and its processor share.

The processor starts the events of the executor. So both wait for the same changes, and both have to know what may not
start now. One object has all of that state. The executor makes the object, and attaches the processor to it in the
setter of ``executor.processor``. So the processor may be made by anybody and at any time. A processor without an
executor has its own ``Coordination``.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol

from .conditions import PredicateCondition

if TYPE_CHECKING:
    from collections.abc import Callable
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


class Expiring(Protocol):
    """The events that end if they have not begun by a time, as an executor and its processor see them."""

    def add(self, event: Any, expiry: Any) -> None:
        """Have an event of the executor end if it has not begun by a time."""

    def expire(self, now: float) -> None:
        """End what has not begun by now, a reading of the clock of the event loop."""

    def seconds_left(self, event: Any) -> float | None:
        """Return the seconds until an event ends for that reason, 0 or more. None if it does not."""

    def follow_clock(self) -> None:
        """Carry the times over to the running event loop."""

    def launch(self) -> None:
        """Start the task that ends events in time, if the executor has a group and an event may expire."""


class Coordination:
    """
    The state that an executor and its processor share.

    Attributes:
        name: The name of the executor, for lines in the log. "" for a processor without an executor.
        conditions: The tasks that wait for a change, with the condition that each of them waits for.
        holds: The reasons why nothing may start now. Events start while there is none.
        deferred_ends: The event, the status and the error of each end that is decided and waits for a lock, by event
            id. None of these events starts.
        locks_in_use: The number of locks of progressions that a task holds or waits for. While there are none, an event
            can be moved at once.
        starter: The processor, which looks again when the last hold is given back. None until there is one.
        expiring: What ends the events that expire. Empty until there is one; then it has one item. A list, which never
            is another one, since the processor asks for it before each start.
        schedules: The schedules. None until there is one.
        launchers: Called when the executor's group opens: each starts a task in it.
        thread: The thread of the event loop in which the executor's group is open. None while there is no group.
    """

    __slots__ = (
        "conditions",
        "deferred_ends",
        "expiring",
        "holds",
        "launchers",
        "locks_in_use",
        "name",
        "schedules",
        "starter",
        "thread",
    )

    def __init__(self, name: str = "") -> None:
        self.name: str = name
        self.conditions: Final[PredicateCondition] = PredicateCondition()
        self.holds: Final[set[object]] = set()
        self.deferred_ends: Final[dict[UUID, tuple[Any, EventStatus, BaseException]]] = {}
        self.locks_in_use: int = 0
        self.starter: Starter | None = None
        self.expiring: Final[list[Expiring]] = []
        self.schedules: Any = None
        self.launchers: Final[list[Callable[[], None]]] = []
        self.thread: int | None = None

    def check_thread(self) -> None:
        """
        Check that this is the thread of the event loop, if the executor has a group.

        Raises:
            RuntimeError: It is another thread.
        """
        if self.thread is not None and get_ident() != self.thread:
            raise RuntimeError(
                "this is not the thread of the executor's event loop, and nothing has changed: call "
                "anyio.from_thread.run_sync(executor.cancel, event), or likewise"
            )

    def hold(self, token: object) -> bool:
        """
        Start no event, and ask no gate, until this hold and all others have ended. Return whether the hold is new.

        Idempotent. Does not wait. Running events go on. ``Processor.process()`` starts no event either. The hold
        outlasts ``stop()`` and ``start()``.

        Args:
            token: Any hashable object.
        """
        is_new = token not in self.holds
        self.holds.add(token)
        return is_new

    def release_hold(self, token: object) -> bool:
        """End the hold of a token, if there is one, and return whether there was. After the last hold, events start."""
        was_held = token in self.holds
        self.holds.discard(token)
        if self.starter is not None:
            self.starter.look_again()
        return was_held

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
