"""Finding events in the queue of a cluster, as far as its server can answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

import attrs

from lionpride_exec._base.json_text import read_json
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import ConfigurationError

from .cluster_lookups import ClusterLookups, UnreadableEventError
from .finding import Finding, as_items
from .found import FoundEvent, found_in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._cluster.engine import Details, QueueQueries

    from .finding import Before, Walk
    from .found import Wanted


class ClusterFinding(Finding):
    """
    Answers questions about the events in the queue.

    Args:
        parts: The parts of the executor.
    """

    async def find(self, wanted: Wanted, before: Before, limit: int) -> list[FoundEvent]:
        """Return the event with the key that is asked for, if the event fits."""
        if wanted.key is None:
            raise ConfigurationError(
                "the server of a cluster has no list of its events in order: find() needs a key= with a cluster; "
                "journal_events() goes through all events, in no order"
            )
        if as_items(before):
            return []
        return await super().find(wanted, None, limit)

    async def count(self, wanted: Wanted) -> int:
        """Return the number of events that are asked for, as the server counts them."""
        if wanted.key is None and not wanted.is_plain:
            raise ConfigurationError(
                "the server of a cluster counts its events by status only: count() takes status= or key= with a cluster"
            )
        return await super().count(wanted)

    async def begin(self, wanted: Wanted, before: Before, limit: int | None, *, reads: bool = True) -> Walk:  # noqa: ARG002  as in memory
        """Return a walk through the queue."""
        lookups = cast("ClusterLookups", self._parts.lookups)
        queries = lookups.cluster_link.open_queries()
        if wanted.key is None:
            return ClusterWalk(lookups, queries, wanted, None)
        return ClusterWalk(lookups, queries, wanted, await queries.ids_of_keys([str(lookups.key_of(wanted.key))]))

    async def _counts(self) -> dict[str, int]:
        return await cast("ClusterLookups", self._parts.lookups).cluster_link.open_queries().counts()


class ClusterWalk:
    """
    Goes through the queue, in no order.

    Args:
        lookups: Reads the events.
        queries: Asks the server.
        wanted: What is asked for.
        ids: The ids that come into question. None if the server looks for them.
    """

    def __init__(
        self, lookups: ClusterLookups, queries: QueueQueries, wanted: Wanted, ids: Sequence[str] | None
    ) -> None:
        self._lookups = lookups
        self._queries = queries
        self._wanted = wanted
        self._statuses = [] if ids is not None else [*(wanted.statuses or EventStatus)]
        self._cursor = "0"
        self._ids = [one for one in ids or () if one]
        self._taken: list[FoundEvent] = []  # by a call that was cancelled
        self._seen: set[str] = set()  # the server may name an id twice

    async def next(self, limit: int) -> list[FoundEvent]:
        """Return the next events that are asked for."""
        taken = self._taken
        while len(taken) < limit and (self._ids or self._statuses):
            if not self._ids:
                await self._look_on()
                continue
            ids = self._ids[: limit - len(taken)]
            details = await self._queries.details(ids)
            self._ids = self._ids[len(ids) :]
            events = [self._found(one) for one in details if one is not None]
            taken += [one for one in events if self._wanted.fits(one)]
        self._taken = []
        return taken

    async def _look_on(self) -> None:
        """Have the server look at some more of its keys."""
        cursor, ids = await self._queries.ids(self._statuses[0].value, self._cursor)
        self._cursor = cursor
        if cursor == "0":
            del self._statuses[0]
        self._ids = [one for one in dict.fromkeys(ids) if one not in self._seen]
        self._seen.update(self._ids)

    def _found(self, details: Details) -> FoundEvent:
        """Return what the server says of an event."""
        status = EventStatus(details.status)
        key = read_json(details.key) if details.key else None
        try:
            copy = self._lookups.copy_of(details)
        except UnreadableEventError:
            return FoundEvent(UUID(details.event_id), status, key, attempt=details.attempt)
        found = found_in_memory(copy, key, self._lookups.cluster_link.records.codec.tag_for(copy))
        return attrs.evolve(found, event=self._lookups.here(copy.id) or copy)
