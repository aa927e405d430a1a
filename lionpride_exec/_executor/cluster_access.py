"""
What a command needs of an executor with a cluster, beyond its public methods.

This module is the only place where commands depend on how an executor uses its cluster.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast
from uuid import UUID

from lionpride_exec._cluster.engine import batches
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import ClusterError

from .cluster_lookups import UnreadableEventError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lionpride_exec._cluster import Cluster
    from lionpride_exec._cluster.engine import Details, QueueQueries
    from lionpride_exec._events.event import Event
    from lionpride_exec._tracking.observers import Observer

    from .cluster_lookups import ClusterLookups
    from .executor import Executor


class ClusterAccess:
    """
    Access to the link between an executor and its cluster.

    Args:
        executor: The executor. It has a cluster.
    """

    def __init__(self, executor: Executor) -> None:
        link = executor._parts.cluster
        assert link is not None
        self.settings: Cluster = link.settings
        self._link = link
        self._executor = executor
        self._lookups = cast("ClusterLookups", executor._parts.lookups)

    @property
    def worker_name(self) -> str:
        """The name of this worker in the queue. "" before the executor is started."""
        return self._link.worker_name

    @property
    def passed_on(self) -> Mapping[str, int]:
        """How many events this worker could not run or report, so that others have to run them, by reason."""
        return self._link.work.tally.passed_on

    @property
    def unrecorded(self) -> Mapping[EventStatus, int]:
        """How many ends of this worker the server has not recorded, by status. ``passed_on`` has them too."""
        return self._link.work.tally.unrecorded

    def expect_no_look(self) -> None:
        """Do not warn of failed events that nobody has looked at: this process only works, and counts them itself."""
        self._executor._parts.index.failures.are_counted = False

    def observe_work(self, observer: Observer) -> None:
        """Call a function at each transition of an event that this process works on, from whichever executor it is."""
        self._link.work.observers.add(observer)

    # ---------------------------------------------------------------- the events that this process submits

    def check_class(self) -> None:
        """
        Check that events of the executor's type can be submitted.

        Raises:
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        self._link.records.codec.check_class(self._executor.event_type)

    @property
    def queries(self) -> QueueQueries:
        """
        Answers questions about the queue.

        Raises:
            ClusterError: The executor is not connected.
        """
        if self._link.queries is None:
            raise ClusterError(f"{self._executor!r} is not connected to its cluster")
        return self._link.queries

    def key_of(self, event: Event) -> str | None:
        """Return the key of an event in the form that it has in the queue. None if the event has no key."""
        key = self._executor._parts.keys.of(event.id)
        return key if isinstance(key, str) else None

    async def ends(self, keys: Sequence[str]) -> list[tuple[str, bytes | None]]:
        """
        Return the status of the event that has each key, and its outcome if it has ended. The keys are JSON.

        The status is "" if the queue has no event with the key. The outcome is None if there is none, or if its
        signature is wrong.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        ids = await self.queries.ids_of_keys(keys)
        assert self._link.queue is not None
        found: dict[str, tuple[str, bytes | None]] = {"": ("", None)}
        for some in batches([event_id for event_id in ids if event_id]):
            _, states = await self._link.queue.states(some)
            for state in states:
                outcome = self._link.records.outcome_of(state.event_id, state.outcome)
                found[state.event_id] = state.status, outcome
        return [found[event_id] for event_id in ids]

    async def find_ended(self, keys: Sequence[str]) -> list[Event | None]:
        """
        Return a copy of the event that has each key, if it has ended and can be read here. The keys are JSON.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        ids = await self.queries.ids_of_keys(keys)
        found: dict[str, Event] = {}
        for details in await self.queries.details([event_id for event_id in ids if event_id]):
            if details is not None and details.status in TERMINAL:
                with suppress(UnreadableEventError):
                    found[details.event_id] = self._lookups._decode(details)
        return [found.get(event_id) for event_id in ids]

    async def find_foreign(self, count: int) -> str | None:
        """
        Return the tag and the id of an event of another target that waits in the queue. None if there is none.

        Only the first ``count`` events of each level are looked at. An event with the tag of the executor's class is
        not foreign, though this process may be unable to read it.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        ids = await self.queries.waiting(count)
        for details in await self.queries.details(list(dict.fromkeys(ids))):
            tag = None if details is None else self._link.records.stored_tag(details.envelope)
            if details is not None and tag is not None and tag != self._own_tag and not self._can_run(details):
                return _shown(tag, details.event_id)
        return None

    async def shown_of(self, key: str) -> str:
        """Return the tag and the id of the event with a key (JSON text). Raises like :meth:`find_foreign`."""
        ids = await self.queries.ids_of_keys([key])
        (details,) = await self.queries.details(ids)
        return "unknown" if details is None else _shown(self._link.records.stored_tag(details.envelope), *ids)

    @property
    def _own_tag(self) -> str:
        return self._link.records.codec.tag_of(self._executor.event_type)

    def _can_run(self, details: Details) -> bool:
        try:
            return self._link.work.accepts(self._lookups.copy_of(details))
        except UnreadableEventError:
            return False

    async def catch_up(self) -> None:
        """
        Update the status of all events that this process has submitted.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        await self._link.client.catch_up()

    @staticmethod
    def stored_outcome(event: Event) -> bytes | None:
        """Return the outcome of an event as the server has it. None if there is none, or if it could not be read."""
        return getattr(event, "_stored_outcome", None)


def _shown(tag: str | None, event_id: str) -> str:
    """Return the tag and the id of an event, for messages."""
    return f"tag {tag!r}, event {UUID(event_id)}"
