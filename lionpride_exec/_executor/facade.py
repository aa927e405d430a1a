"""The executor as its parts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event
    from lionpride_exec._processing.processor import Processor


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

    def cancel(self, event: Event, reason: str | None = None) -> bool:
        """End an event CANCELLED."""
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
