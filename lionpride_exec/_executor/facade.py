"""The executor as its parts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime
    from typing import Unpack
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._tracking.progress import Progress

    from .explanation import Explanation, Statistics
    from .found import Filters, FoundEvent


class Facade(Protocol):
    """
    What the parts of an executor use of the executor: what a subclass may override, and what a user may set.

    Attributes:
        processor_config: Keywords of the processor.
        processor_type: The class of the processor.
    """

    processor_type: ClassVar[type[Processor]]
    processor_config: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the executor, in metrics and logs."""
        ...

    @property
    def event_type(self) -> type[Event]:
        """The class of the events."""
        ...

    @property
    def strict_event_type(self) -> bool:
        """Whether the executor refuses subclasses of the event type."""
        ...

    @property
    def processor(self) -> Processor | None:
        """The processor. None until there is one."""
        ...

    async def start(self) -> None:
        """Start, or continue after a stop."""

    async def stop(self) -> None:
        """Start no more events, and return when the running events have ended."""

    async def join(self) -> None:
        """Wait until no event is pending or processing."""

    async def append(
        self,
        event: Any,
        priority: float | None = None,
        *,
        wait: bool = False,
        after: Any = (),
        after_any_end: Any = (),
        key: Any = None,
        expires: Any = None,
    ) -> Any:
        """Take an event in."""

    def cancel(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """End an event CANCELLED."""
        ...

    def skip(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """End an event SKIPPED."""
        ...

    async def held_events(self) -> list[Event]:
        """Return the held events."""
        ...

    async def release(self, event: Event | UUID | str) -> Event:
        """Queue a held event."""
        ...

    @overload
    async def retry(self, event: FoundEvent | Event[Any] | UUID | str) -> Event[Any]: ...

    @overload
    async def retry(self, *, limit: int | None = None, **filters: Unpack[Filters]) -> list[Event[Any]]: ...

    async def retry(self, event: Any = None, *, limit: int | None = None, **filters: Any) -> Any:
        """Run events again that have ended."""
        ...

    async def find(
        self, *, status: Any = None, tag: Any = None, error: Any = None, since: Any = None, limit: int = 100
    ) -> list[FoundEvent]:
        """Return the events that fit, the newest first."""
        ...

    def pause(
        self,
        *,
        key: Hashable = None,
        limit: Limit | str | None = None,
        until: datetime | None = None,
        seconds: float | None = None,
        reason: str | None = None,
    ) -> None:
        """Start no more events, or none of a key."""

    def resume(self, *, key: Hashable = None, limit: Limit | str | None = None) -> None:
        """End a pause."""

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """Change how many events may run, and how many may start in a window."""

    def explain(self, event: Event | UUID | str) -> Explanation:
        """Return what an event waits for."""
        ...

    def statistics(self) -> Statistics:
        """Return the state of the executor."""
        ...

    def progress(self) -> Progress:
        """Return how far it is."""
        ...

    async def _moment(self) -> tuple[Statistics, Progress]:
        """Return the statistics and the progress of one moment, without a long stop of the event loop."""
        ...

    def __contains__(self, event: Event) -> bool: ...

    async def _update_progression(self, event: Any, force_status: Any = None) -> None:
        """File an event under ``force_status``, or under its own status if that is None."""

    def _wants_reports(self) -> bool:
        """Return whether ``_update_progression()`` is overridden."""
        ...

    def _appends_one_by_one(self) -> bool:
        """Return whether each event must come in through ``append()``, because it or ``enqueue()`` is overridden."""
        ...

    async def _create_processor(self) -> None:
        """Make the processor and assign it."""
