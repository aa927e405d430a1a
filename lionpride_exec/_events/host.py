"""The interfaces through which an event sees its executor and the count of unseen failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime

    import anyio

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._base.sentinel import UnsetType
    from lionpride_exec._clients.allowance import Allowance
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._status import EventStatus


class EventHost(Protocol):
    """
    The interface through which an event sees its executor.

    Attributes:
        executor: The executor, for messages and for comparisons with other executors.
        coordination: The state that the executor shares with its processor, for a look at the locks in use.
        clock: The clock of the event loop in which the executor runs, in seconds.
        new_signal: Makes an ``anyio.Event`` for a task of that event loop. While the executor does not run, the wait
            for it warns after some seconds.
        is_recording: Whether runs wait for their records: a journal is open, or a worker of a cluster has the events.
        is_strict: Whether each end is recorded before any task can see it.
        runs_elsewhere: Whether the workers of a cluster run the event, and this process only follows it.
        around: Does the work of an event, with the middleware of the executor. None if it has none.
    """

    executor: Any
    coordination: Coordination
    clock: Callable[[], float]
    new_signal: Callable[[], anyio.Event]
    is_recording: bool
    is_strict: bool
    runs_elsewhere: bool
    around: Callable[[Any], Awaitable[Any]] | None

    @property
    def is_abandoned(self) -> bool:
        """Whether the executor was left, so that no event runs until the executor is started again."""
        ...

    @property
    def is_interrupted(self) -> bool:
        """Whether all tasks of the executor are being cancelled from outside, past all cancel scopes."""
        ...

    def moved(self, event: Any, previous: EventStatus, target: EventStatus) -> None:
        """Update the executor after a transition of the event. Called inside the transition, so it must not wait."""

    def refile(self, event: Any) -> None:
        """Move the event to the progression of its status at once."""

    def locks_needed(self, previous: EventStatus, target: EventStatus) -> AbstractAsyncContextManager[None] | None:
        """Return the locks that a move needs. None if no task uses one of these locks now."""

    def plan_retry(
        self, event: Any, error: BaseException, *, began: float, interrupted: bool, is_final: bool = False
    ) -> bool:
        """Return whether the event runs again after this error. If so, the caller sets its status to PENDING."""
        ...

    def raise_lost(self) -> None:
        """Raise ``ClusterError`` if no event ends any more, since the cluster has failed for good."""

    def observe_allowance(self, event: Any, allowance: Allowance) -> None:
        """Let the adaptive limits of a running event know what the other side says is left."""

    def settle_cost(self, event: Any, actual: float, limit: Limit | None) -> None:
        """Correct the cost that a running event has taken from its limits."""

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return a context for a task that waits, and therefore reads no transitions. None if no task reads them."""

    def has_unreported_outcome(self, event: Any) -> bool:
        """
        Return whether a final outcome is recorded that the event has not been told yet.

        Always False unless a journal is strict.
        """
        ...

    def waits_to_begin(self, event: Any) -> bool:
        """Return whether a PENDING event begins only once its start is recorded."""
        ...

    async def confirm_start(self, event: Any) -> None:
        """Wait until it is recorded that the event runs. The event begins after that."""

    def confirm_end(
        self, event: Any, target: EventStatus, response: Any, error: BaseException | UnsetType, at: datetime
    ) -> Coroutine[Any, Any, None]:
        """Return what waits until the end of the event is recorded, or cannot be. The event is told after that."""
        ...


class FailureCount(Protocol):
    """The interface through which an event sees the count of unseen failures."""

    def look_at(self, event: Any) -> None:
        """Remove the event from the count, because its failure has been seen."""

    def leave(self, event: Any) -> None:
        """Learn that the event leaves the executor. Keep it for the report, if no earlier one is kept."""
