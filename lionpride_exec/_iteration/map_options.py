"""What a map was asked for, and what it uses of its executor."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from operator import length_hint
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from lionpride_exec._events.submit_options import check_expires
from lionpride_exec._validation import check_count, check_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.host import EventHost
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .completion import E


class RunningMap(Protocol):
    """A map that has begun, as ``Executor.progress()`` sees it."""

    @property
    def to_come(self) -> int | None:
        """How many events the map will still append. None if that is not known."""


class Guest(Protocol):
    """A task in the group of an executor that runs no events."""

    def cancel(self) -> None:
        """Ask the task to end."""


class MapHost(Protocol):
    """
    What a map uses of its executor.

    Attributes:
        host: The executor as its events see it.
    """

    host: EventHost

    @property
    def events_go_on(self) -> bool:
        """Whether events go on when their map is left: a journal or a cluster has them."""
        ...

    @property
    def removes_returned(self) -> bool:
        """Whether the map removes the events that it has returned. With a journal they leave when they are on disk."""
        ...

    def concurrency(self) -> tuple[int, PriorityQueue | None]:
        """Return how many events may run at the same time, as far as is known, and the queue once there is one."""
        ...

    def __contains__(self, event: Event) -> bool: ...

    def append_nowait(
        self, event: Event, priority: float | None, expires: float | timedelta | datetime | None = None
    ) -> bool:
        """
        Append an event if nothing has to be waited for. Return False if ``append()`` has to be awaited instead.

        The server of a cluster may refuse the event later. Then :meth:`check_ended` says so.
        """
        ...

    def check_ended(self, event: Event) -> None:
        """Raise what has prevented the end of an event, if it has not ended."""

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        wait: bool = False,
        key: Hashable = None,
        expires: float | timedelta | datetime | None = None,
    ) -> E:
        """Take an event in; see ``Executor.append()``."""
        ...

    def cancel(self, event: Event, reason: str) -> None:
        """Cancel an event; see ``Executor.cancel()``."""

    def begun(self, state: RunningMap) -> None:
        """Learn of a map that begins, for ``Executor.progress()``."""

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return the context of a task that waits for the executor and so reads no transitions. None if none reads."""

    def remove_nowait(self, event: Event) -> bool:
        """Remove an event that has ended and was returned to the consumer. Return False if a task holds a lock."""
        ...

    async def remove(self, event: Event) -> None:
        """Remove an event that has ended and was returned to the consumer. Wait for locks that other tasks hold."""

    async def start_guest(self, guest: Guest, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """
        Run a task that runs no events in the task group of the executor, and cancel it when that group closes.

        Raises:
            RuntimeError: The executor has no task group.
        """

    def guest_ended(self, guest: Guest) -> None:
        """Learn that such a task has ended."""


@attrs.define(eq=False, kw_only=True)
class MapOptions:
    """
    What a map was asked for.

    Attributes:
        executor: Where the events go.
        make: Makes an event of an item.
        items: A plain or an async iterable.
        ordered: Whether the events come in the order of the items.
        fail_fast: Whether the first failure ends the map.
        lookahead: Events appended and not yet given, except those that wait for their key. Default: twice the
            concurrency limit.
        max_lookahead: The same, with those. Default: 1,000, or more if the lookahead or the concurrency limit is large.
        priority: Of each event, or a function that returns the priority of an item's event.
        key: Returns the key of an item's event. None if events have no keys.
        expires: When each event ends if it has not begun, as for ``append()``. None if it waits.
        total: How many items there are. None if ``items`` is asked.
        priority_of: The function in ``priority``. None if there is none.
    """

    executor: MapHost
    make: Callable[[Any], Any]
    items: Iterable[Any] | AsyncIterable[Any]
    ordered: bool = False
    fail_fast: bool = False
    lookahead: int | None = None
    priority: float | Callable[[Any], float | None] | None = None
    key: Callable[[Any], Hashable] | None = None
    total: int | None = None
    max_lookahead: int | None = None
    expires: float | timedelta | datetime | None = None
    priority_of: Callable[[Any], float | None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        items = cast("object", self.items)
        if not isinstance(items, AsyncIterable | Iterable):
            raise TypeError(f"items must be an iterable or an async iterable, got {type(items).__name__}")
        for name, least in (("lookahead", 1), ("max_lookahead", 1), ("total", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least)
        if self.key is not None and not callable(cast("object", self.key)):
            raise TypeError(f"key must be a function of an item, got {self.key!r}")
        check_expires(self.expires)
        if callable(self.priority):
            self.priority_of = self.priority
        elif self.priority is not None:
            check_priority(self.priority)

    def expected(self) -> int | None:
        """Return how many items there are, by ``total`` or by the length of the items. None if neither is known."""
        if self.total is not None:
            return self.total
        try:
            number = length_hint(self.items, -1)
        except Exception:  # noqa: BLE001  the items' own code: it is asked for a guess only
            return None
        return number if number >= 0 else None

    def priority_for(self, item: Any) -> float | None:
        """Return the priority of an item's event. None for the default."""
        return cast("float | None", self.priority) if self.priority_of is None else self.priority_of(item)

    def key_of(self, item: Any) -> Hashable:
        """Return the key of an item's event. None if events have no keys."""
        return None if self.key is None else self.key(item)
