"""Two parts that the submissions use: the store of a journal, and the lookups. Protocols, as both use submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from lionpride_exec._events.event import Event

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterable
    from uuid import UUID

    from lionpride_exec._events.submit_options import SubmitOptions
    from lionpride_exec._status import EventStatus

E = TypeVar("E", bound=Event)


class DurableStore(Protocol):
    """The part that has events written before they are queued, as the submissions see it."""

    async def store(self, event: E, options: SubmitOptions) -> E | None:
        """Store an event, and queue it once it is on disk. None if its key has become known meanwhile."""

    async def find_on_disk(self, options: SubmitOptions) -> Event | None:
        """Return the event that has the key of new options, if the event is only on disk. None if there is none."""

    async def when_arrived(self, known: E) -> E | None:
        """Return a known event once it is on disk. None if it could not be written."""

    def removed(self, event: Event, status: EventStatus, key: Hashable) -> None:
        """Note that an event was removed from the executor, which knew the event under a key."""


class Finder(Protocol):
    """The part that finds events, as the submissions see it."""

    def predecessors(self, event: Event, others: Iterable[Event | UUID]) -> list[Event]:
        """Return the events that an event comes after, or raise."""
        ...

    def key_of(self, key: Hashable) -> Hashable:
        """Return the form of a key by which events are found."""
        ...

    async def get(self, event: Event | UUID | str) -> Event:
        """Return an event by its id, from memory or from where the events are kept."""
        ...

    async def find_after(
        self, event: Event, others: Iterable[Event | UUID], any_end: Container[UUID]
    ) -> tuple[list[Event | UUID], UUID | None]:
        """Return the events that are in memory, and one of the others that did not complete and had to."""
        ...
