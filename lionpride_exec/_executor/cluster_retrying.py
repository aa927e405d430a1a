"""Running ended events of a cluster again: the server puts them back, as ``lionpride-exec cluster retry`` has it do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast
from uuid import UUID

from lionpride_exec.errors import ConfigurationError, EventNotFinished, NotFoundError

from .named_events import id_of
from .retrying import Retrying, all_found, has_ended

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lionpride_exec._events.event import Event

    from .cluster_submissions import ClusterSubmissions
    from .finding import Finding
    from .found import FoundEvent, Wanted


class ClusterRetrying(Retrying):
    """
    Runs events again that are in the queue.

    Args:
        parts: The parts of the executor.
    """

    async def forget(self, key: Hashable) -> bool:  # noqa: ARG002  as in memory
        """Raise ConfigurationError: the server keeps the key as long as the event."""
        raise ConfigurationError("forget() is not available with a cluster: its server keeps the key of an event")

    async def one(self, target: FoundEvent | Event[Any] | UUID | str) -> Event[Any]:
        """Have the server put an event back, and follow it."""
        event_id = id_of(target)
        (word,) = await self._submissions.cluster_link.open_queries().retry([event_id.hex])
        if word != "queued":
            _refuse(event_id, word)
        return await self._follow(event_id)

    async def all(self, finding: Finding, asked: Wanted, limit: int | None) -> list[Event[Any]]:
        """Have the server put events back, each after those that it comes after, and follow them."""
        queries = self._submissions.cluster_link.open_queries()
        left = [found.id.hex for found in await all_found(finding, asked, limit)]
        taken: list[Event[Any]] = []
        while left:
            words = await queries.retry(left)
            queued = [one for one, word in zip(left, words, strict=True) if word == "queued"]
            taken += [await self._follow(UUID(one)) for one in queued]
            if not queued:
                break
            left = [one for one, word in zip(left, words, strict=True) if word == "after"]
        return taken

    @property
    def _submissions(self) -> ClusterSubmissions:
        return cast("ClusterSubmissions", self._parts.submissions)

    async def _follow(self, event_id: UUID) -> Event[Any]:
        """Return the event that runs again. If it has not ended by now, it is one of the executor's events."""
        here = self._parts.index.items.get(event_id, None)
        key = self._parts.keys.of(event_id)
        if here is not None and has_ended(here):
            self.drop(here)
        return await self._submissions.bring(event_id, "" if key is None else str(key))


def _refuse(event_id: UUID, word: str) -> NoReturn:
    if word == "open":
        raise EventNotFinished(f"event {event_id} has not ended: only an event that has ended can run again")
    if word == "completed":
        raise ConfigurationError(f"event {event_id} has completed: in a cluster, completed events do not run again")
    if word == "after":
        raise ConfigurationError(f"event {event_id} comes after an event that has not completed: retry that one first")
    raise NotFoundError(f"There is no event {event_id} in the queue")
