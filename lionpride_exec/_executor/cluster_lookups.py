"""Finding events: in memory, and in the queue on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import anyio

from lionpride_exec._model.execution import Execution
from lionpride_exec._status import PENDING, TERMINAL, EventStatus
from lionpride_exec.errors import ClusterError, ConfigurationError, NotFoundError

from .cluster_client import MAY_LACK_OUTCOME, error_without_outcome
from .lookups import Lookups
from .named_events import id_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from uuid import UUID

    from lionpride_exec._cluster.engine import Details
    from lionpride_exec._events.event import Event

    from .cluster_link import ClusterLink
    from .facade import Facade


class UnreadableEventError(Exception):
    """An event is in the queue, but this process cannot read it: its class is unknown, or its signature is wrong."""


class CopyHost:
    """
    The host of a copy of an open event that another executor has submitted. The copy does not change.

    It has the attributes of an ``EventHost`` that are used for a copy.

    Args:
        executor: The executor that has read the event.
    """

    is_abandoned = True  # so that no task waits for the copy
    is_strict = is_journal_open = False
    runs_elsewhere = True
    new_signal = anyio.Event

    def __init__(self, executor: Facade) -> None:
        self.executor: Facade = executor

    def reader_away(self) -> None:
        """Return None: no reader has to know that a task waits."""

    def observe_allowance(self, *_: object) -> None:
        """Do nothing: a cluster has no adaptive limits."""

    def settle_cost(self, *_: object) -> None:
        """Do nothing: the worker of the event corrects its costs."""

    def raise_lost(self) -> NoReturn:
        """Raise why the end of the copy cannot be awaited."""
        raise ConfigurationError(
            "the event is a copy, since another executor has submitted it: read it again by get(), or append an event "
            "with the same key to follow it"
        )


class ClusterLookups(Lookups):
    """
    Answers questions about the events of one executor, and about other events in its queue.

    Attributes:
        cluster_link: The link of the executor. Set by ``Parts``.
    """

    __slots__ = ("cluster_link",)

    cluster_link: ClusterLink

    async def find(self, event_id: UUID) -> Event | None:
        """
        Return an event: that of the executor, or a copy of any other event in the queue. None if there is none.

        Raises:
            UnreadableEventError: The event is in the queue, and cannot be read here.
            ClusterError: The server was not reached, or it refused.
        """
        known = self._index.items.get(event_id, None)
        if known is not None:
            return known
        (found,) = await self.cluster_link.open_queries().details([event_id.hex])
        known = self._index.items.get(event_id, None)  # it may have been appended meanwhile
        return self._decode(found) if known is None and found is not None else known

    async def get(self, event: Event | UUID | str) -> Event:
        """
        Return an event by its id: that of the executor, or a copy of any other event in the queue.

        Raises:
            NotFoundError: The queue has no event with this id.
            ClusterError: The server was not reached, or it refused. Or the event cannot be read here.
        """
        event_id = id_of(event)
        try:
            found = await self.find(event_id)
        except UnreadableEventError as exc:
            raise ClusterError(f"event {event_id} cannot be read here: {exc}") from exc
        if found is None:
            raise NotFoundError(f"There is no event {event_id} in the queue of {self._executor!r}")
        return self._as_copy(found)

    def here(self, event_id: UUID) -> Event | None:
        """Return the event of the executor with an id. None if it has none."""
        return self._index.items.get(event_id, None)

    def copy_of(self, found: Details) -> Event:
        """
        Return a copy of an event that the server has.

        Raises:
            UnreadableEventError: The event cannot be read here.
        """
        return self._as_copy(self._decode(found))

    def _as_copy(self, event: Event) -> Event:
        """Return an event. If it is the copy of an open event, nobody can wait for its end."""
        if event._host is None and event.execution.status not in TERMINAL:
            event._set("_host", CopyHost(self._executor))
        return event

    def _decode(self, found: Details) -> Event:
        """Return an event with its record, made from the details that the server has."""
        records = self.cluster_link.records
        try:
            status = EventStatus(found.status)
            event, _ = records.read_envelope(found.event_id, found.envelope, PENDING, found.attempt, found.attempts)
            if status in TERMINAL:
                queued_at = event.execution.queued_at
                event.execution = self._ended(event, status, found)
                event.execution.queued_at = queued_at
            event.execution.status = status
        except Exception as exc:  # anyone who can write to the server can store anything
            raise UnreadableEventError(f"it is {found.status}, and {exc}") from exc
        return event

    def _ended(self, event: Event, status: EventStatus, found: Details) -> Execution:
        """Return the record of an event that has ended."""
        if found.outcome or status not in MAY_LACK_OUTCOME:
            return self.cluster_link.records.read_outcome(event, status, found.outcome, found.attempt)
        record = Execution(status=status, attempt=found.attempt)
        record.error = error_without_outcome(status, found.because)
        return record

    def key_of(self, key: Hashable) -> Hashable:
        """Return the JSON text that stands for a key in the queue."""
        return self.cluster_link.records.codec.key_of(key)

    async def known_keys(self, keys: Iterable[Hashable]) -> set[Hashable]:
        """Return the keys under which an event is known in the queue."""
        wanted = list(dict.fromkeys(keys))
        ids = await self.cluster_link.open_queries().ids_of_keys([str(self.key_of(key)) for key in wanted])
        return {key for key, event_id in zip(wanted, ids, strict=True) if event_id}

    def can_be_taken_back(self, event: Event | UUID | str) -> bool:  # noqa: ARG002  the signature of other executors
        """Raise ConfigurationError: this process hears some milliseconds late that a worker has begun the event."""
        raise ConfigurationError("unless_begun=True is not available with a cluster: a worker may just begin the event")

    async def held(self) -> list[Event]:
        """Raise ConfigurationError: no class with ``on_crash="hold"`` can be submitted."""
        raise ConfigurationError("held events are not available with a cluster: on_crash='hold' is refused")

    async def release(self, event: Event | UUID | str) -> Event:  # noqa: ARG002  the signature of a journal's
        """Raise ConfigurationError, like :meth:`held`."""
        raise ConfigurationError("held events are not available with a cluster: on_crash='hold' is refused")
