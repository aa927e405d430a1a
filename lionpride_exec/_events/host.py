"""What an event sees of what it belongs to: its executor, and the count of failures that it stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime

    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._status import EventStatus


class EventHost(Protocol):
    """
    What an event sees of the executor that it belongs to.

    Attributes:
        executor: The executor itself; for messages, and to tell one executor from another.
        clock: The clock of the event loop in which the executor lives.
        is_journal_open: Whether the executor has a journal that is open.
        is_strict: Whether that journal has to have an end before anybody learns of it.
    """

    executor: Any
    clock: Callable[[], float]
    is_journal_open: bool
    is_strict: bool

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing will run here any more, unless the executor is started again."""
        ...

    @property
    def is_interrupted(self) -> bool:
        """Whether all that runs here is being cancelled from outside, past all scopes."""
        ...

    def moved(self, event: Any, previous: EventStatus, target: EventStatus) -> None:
        """Follow a transition of the event, which calls this inside it. Must not wait."""

    def refile(self, event: Any) -> None:
        """Put the event into the progression of its status, at once."""

    def locks_needed(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Return the locks that a move needs, if a task uses one of them now. None if no lock is in use."""

    def plan_retry(self, event: Any, error: BaseException, *, began: float, interrupted: bool) -> bool:
        """Return whether an event whose run has ended with this error is run again. Its next status is PENDING then."""
        ...

    def settle_cost(self, event: Any, actual: float, limit: Limit | None) -> None:
        """Correct what a running event has taken of its limits."""

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return the context of a task that waits for the executor and so reads no transitions. None if none reads."""

    def is_end_noted(self, event: Any) -> bool:
        """Return whether the journal writes an end of the event of which the event does not know yet."""
        ...

    async def confirm_start(self, event: Any) -> None:
        """Return once it is in the journal that the event runs. The event begins then."""

    async def confirm_end(
        self, event: Any, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> None:
        """Return once the end of the event is in the journal, or cannot be written. The event learns of it then."""


class FailureCount(Protocol):
    """A count of failures that nobody has looked at, as far as an event knows it."""

    def look_at(self, event: Any) -> None:
        """Count the event no more: somebody has looked at it."""

    def let_go(self, event: Any) -> None:
        """Keep the event, which leaves its executor, if it is the first that does."""
