"""
What the faces see of an executor beyond its public methods.

A dashboard lists failed events for nobody in particular. So no failure counts as looked at because it was listed here,
or because an observer was told of it. It counts once a person opens the event: :meth:`LiveView.look_at`.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.json_text import read_json
from lionpride_exec._events.call import Call, lasting_name_of
from lionpride_exec._events.event import Event, tag_of
from lionpride_exec._status import PENDING, EventStatus
from lionpride_exec.errors import NotFoundError

from .found import found_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from .executor import Executor
    from .found import FoundEvent
    from .moments import Moments

# The id of an event in its short form, such as "Job(id=...)".
_LONG_ID: Final = re.compile(r"\(id=([0-9a-f]{8})-[0-9a-f-]{27}\)")

# Kinds that are remembered.
MOST_KINDS: Final = 1000


class LiveView:
    """
    Looks at the events that an executor has in memory. Each look is one step of the event loop.

    Args:
        executor: The executor, which may have to be started yet.

    Attributes:
        executor: The same.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor: Executor = executor
        self._parts = executor._parts
        self._names: dict[object, str] = {}  # by class or function

    @property
    def journal_path(self) -> Path | None:
        """The file of the executor's journal. None if it has none."""
        return None if self._parts.link is None else self._parts.link.journal.path

    @property
    def trouble(self) -> str | None:
        """Why the journal cannot be written at the moment. None if it can, or if there is none."""
        link = self._parts.link
        error = None if link is None or link.session is None else link.session.writer.trouble
        return None if error is None else str(error)

    @property
    def oldest_pending(self) -> datetime | None:
        """When the pending event came in that has been pending longest. None if there is none."""
        try:
            first = self._parts.index.items.get(self._parts.index.progression(PENDING)[0], None)
        except IndexError:
            return None
        return None if first is None else first.execution.queued_at

    @property
    def moments(self) -> Moments:
        """Looks at the executor at one moment."""
        return self.executor._moments

    # ---------------------------------------------------------------- events

    def count(self, status: EventStatus) -> int:
        """Return how many events with a status are in memory. O(1)."""
        return len(self._parts.index.progression(status))

    def newest(self, status: EventStatus, before: UUID | None, limit: int) -> list[FoundEvent]:
        """
        Return the events that came to a status last, the newest first. O(limit), some 5 us for each.

        Args:
            status: The status.
            before: Only events that came to it before this one. None for all.
            limit: How many events at most, 1 or more.

        Raises:
            NotFoundError: The event ``before`` does not have the status now.
        """
        return self._found(self.ids(status, before, limit))

    def oldest(self, status: EventStatus, limit: int) -> list[FoundEvent]:
        """Return the events that came to a status first, the oldest first. O(limit)."""
        return self._found(islice(self._parts.index.progression(status), limit))

    def _found(self, ids: Iterable[UUID]) -> list[FoundEvent]:
        """Return what is known of events, without those that a user has taken out of the flow."""
        return [self.found(event) for one in ids if (event := self.with_id(one)) is not None]

    def ids(self, status: EventStatus, before: UUID | None, limit: int) -> list[UUID]:
        """Return the ids of these events, some 0.05 us for each. Raise as :meth:`newest`."""
        index = self._parts.index
        if before is not None and before not in index.progression(status):
            raise NotFoundError(f"event {before} is not {status} any more")
        return index.newest_ids(status, before, limit)

    def found(self, event: Event[Any]) -> FoundEvent:
        """Return what is known of an event."""
        return found_in_memory(event, self._key_of(event.id), self.kind_of(event))

    def with_id(self, event_id: UUID) -> Event[Any] | None:
        """Return the event with an id. None if it is not in memory."""
        return self._parts.index.items.get(event_id, None)

    def with_key(self, key: Any) -> Event[Any] | None:
        """Return the event with a key. None if there is none in memory."""
        try:
            return self._parts.keys.find(self._parts.lookups.key_of(key))
        except TypeError:  # it is not hashable, or no key for a journal
            return None

    def kind_of(self, event: Event[Any]) -> str:
        """Return the tag of the class or function of an event."""
        return self.name_of(event.function if isinstance(event, Call) else type(event))

    def name_of(self, kind: Any) -> str:
        """Return the tag of a class of events, or of the calls of a function; without a tag, the full name."""
        try:
            name = self._names.get(kind)
        except TypeError:  # a callable object without a hash
            return self._new_name(kind)
        if name is None:
            if len(self._names) >= MOST_KINDS:
                self._names.clear()
            name = self._names[kind] = self._new_name(kind)
        return name

    def _new_name(self, kind: Any) -> str:
        codec = self._parts.codec
        if isinstance(kind, type) and issubclass(kind, Event):
            tag = tag_of(kind) if codec is None else codec.tag_of(kind)
            return tag or f"{kind.__module__}.{kind.__qualname__}"
        return lasting_name_of(kind) if codec is None else codec.tag_of_function(kind) or lasting_name_of(kind)

    @staticmethod
    def after(event: Event[Any]) -> list[UUID]:
        """Return the ids of the events that an event comes after. After it has completed they are not known."""
        ids = [getattr(other, "id", other) for other in event._after]
        return list(dict.fromkeys([*ids, *event._any_end]))

    def others(self, ids: Iterable[UUID], count: int) -> list[FoundEvent]:
        """Return the events with some ids that are in memory, at most so many. O(count)."""
        return self._found(islice(ids, count))

    def followers(self, event: Event[Any], count: int) -> tuple[list[FoundEvent], int]:
        """Return the first events that wait for an event, and how many do. Nobody waits for one that has ended."""
        ids, number = self._parts.dependencies.followers_of(event.id, count)
        return self._found(ids), number

    def waits(self, event: Event[Any] | None) -> str | None:
        """Return in words what a pending event waits for, with short ids. None for any other event. 30 us."""
        if event is None or event.execution.status is not PENDING:
            return None
        return _LONG_ID.sub(r" \1", self.executor.explain(event).what)

    @staticmethod
    def look_at(event: Event[Any]) -> None:
        """Note that a person looks at an event: its failure counts as looked at."""
        if event._unseen is not None:
            event._unseen.look_at(event)

    def look_at_row(self, status: str, number: int) -> None:
        """Note that a person looks at an event that has left memory, by the number of its row."""
        if status in EventStatus.allowed():
            self._parts.index.failures.look_at_row(EventStatus(status), number)

    def _key_of(self, event_id: UUID) -> Any:
        key: Any = self._parts.keys.key_of.get(event_id)
        is_json = isinstance(key, str) and (self._parts.link is not None or self._parts.cluster is not None)
        return read_json(key) if is_json else key

    # ---------------------------------------------------------------- transitions

    def observe(self, observer: Callable[[Event[Any], EventStatus, EventStatus], None]) -> Callable[[], None]:
        """Call a function at each transition, which looks at no failure. Return a function that ends this."""
        return self._parts.observers.add(observer, is_blind=True)
