"""The executor as its maps see it."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._events.submit_options import PLAIN, options_for
from lionpride_exec._processing.processor import DEFAULT_CONCURRENCY
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable
    from datetime import datetime, timedelta

    from lionpride_exec._events.event import Event
    from lionpride_exec._events.host import EventHost
    from lionpride_exec._iteration.completion import E
    from lionpride_exec._iteration.map_options import Guest, RunningMap
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .cluster_submissions import ClusterSubmissions
    from .facade import Facade
    from .parts import Parts
    from .submitted import Submitted


class ExecutorOfMap:
    """
    What a map uses of its executor and of the executor's parts. A ``MapHost``.

    Args:
        executor: The executor.
        parts: The parts of the executor.
        plain_append: ``Executor.append()``, as the package has it.

    Attributes:
        host: The executor as its events see it.
        reader_away: Returns a context in which a task waits for the executor and reads no transitions. None without
            watchers. The method of the subscriptions itself, since a loop over short events waits often.
    """

    __slots__ = (
        "_bulk",
        "_call_defaults",
        "_cluster",
        "_coordination",
        "_executor",
        "_index",
        "_lifetime",
        "_maps",
        "_plain_append",
        "_submissions",
        "_submitted",
        "host",
        "reader_away",
    )

    def __init__(self, executor: Facade, parts: Parts, plain_append: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._executor = executor
        self._plain_append = plain_append
        self._lifetime = parts.lifetime
        self._submissions = parts.submissions
        self._bulk = parts.bulk
        self._call_defaults = parts.call_defaults
        self._cluster = None if parts.cluster is None else cast("ClusterSubmissions", parts.submissions)
        self._submitted: dict[int, Submitted] = {}  # by the number of the event: those that the map has sent, and holds
        self._index = parts.index
        self._coordination = parts.coordination
        self.reader_away = parts.subscriptions.reader_away
        self._maps = parts.maps
        # Pyright takes attributes that hold functions, such as the clock, for methods, and then misses their ``self``.
        self.host = cast("EventHost", parts.transitions)

    @property
    def events_go_on(self) -> bool:
        """Whether events go on when their map is left: a journal or a cluster has them."""
        return self._bulk is not None

    @property
    def removes_returned(self) -> bool:
        """Whether the map removes the events that it has returned. With a journal they leave when they are on disk."""
        return self._submissions.durable is None

    def concurrency(self) -> tuple[int, PriorityQueue | None]:
        """
        Return how many events may run at once, and the queue of the processor.

        Before there is a processor, return what the configuration says, and None.
        """
        processor = self._lifetime.processor
        if processor is not None:
            return processor.concurrency_limit, processor.queue
        configured = self._executor.processor_config.get("concurrency_limit")
        return configured if isinstance(configured, int) and configured > 0 else DEFAULT_CONCURRENCY, None

    def __contains__(self, event: Event) -> bool:
        return event in self._executor

    def append_nowait(
        self, event: Event, priority: float | None, expires: float | timedelta | datetime | None = None
    ) -> bool:
        """Append an event if nothing has to be waited for. Return False if ``append()`` has to be awaited instead."""
        executor = self._executor
        # A subclass may override append(), an instance may have one of its own, and a fault plan replaces the method
        # of the class. Then each event has to go through that method. It also gives events their default keys.
        if type(executor).append is not self._plain_append or "append" in executor.__dict__ or self._call_defaults:
            return False
        options = PLAIN
        if priority is not None or expires is not None:
            checked = None if priority is None else check_priority(priority)
            options = options_for(checked, None, None, expires=expires)
        try:
            if self._cluster is None:
                return self._submissions.append_nowait(event, options)
            submitted = self._cluster.send_nowait(event, options)
        except ExecutorClosedError:
            return False  # append() raises it again
        if submitted is not None:
            self._submitted[event.id.int] = submitted
        return submitted is not None

    def check_ended(self, event: Event) -> None:
        """
        Check that an event of the map has ended.

        Raises:
            ExecutorClosedError: The executor was left, or has removed the event.
            ClusterError: The server has not taken the event in, or the cluster has failed for good.
        """
        submitted = self._submitted.pop(event.id.int, None)
        if submitted is not None and submitted.error is not None:
            raise copy(submitted.error) from submitted.error.__cause__
        event._check_ended()

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        wait: bool = False,
        key: Hashable = None,
        expires: float | timedelta | datetime | None = None,
    ) -> E:
        """Take an event in through the executor's own method, which a subclass may override."""
        later: dict[str, Any] = {} if expires is None else {"expires": expires}  # an override may not know it
        taken: E = await self._executor.append(event, priority, wait=wait, key=key, **later)
        return taken

    def cancel(self, event: Event, reason: str) -> None:
        """Cancel an event through the executor's own method, which a subclass may override."""
        self._executor.cancel(event, reason)

    def begun(self, state: RunningMap) -> None:
        """Note that a map has begun, for ``Executor.progress()``."""
        self._maps.add(state)

    def remove_nowait(self, event: Event) -> bool:
        """
        Remove an event that has ended and was returned to the consumer.

        Returns:
            False if a task holds a lock. Then ``remove()`` has to be awaited, and nothing has changed.
        """
        index = self._index
        if self._submitted:
            self._submitted.pop(event.id.int, None)
        if (index.items.guard.users or self._coordination.locks_in_use) and index.is_locked(event.execution.status):
            return False
        if event.id.int in index.items._items:  # as ``event.id in index.items``, without the call
            self._submissions.remove(event)
        return True

    async def remove(self, event: Event) -> None:
        """Do as ``remove_nowait()``, but wait for the locks that other tasks hold."""
        async with self._index.all_locks(event.execution.status):
            if event.id in self._index.items:
                self._submissions.remove(event)

    async def start_guest(self, guest: Guest, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """
        Run a guest in the task group of the executor: a task that runs no events.

        The guest is cancelled when the group closes.

        Raises:
            RuntimeError: The executor has no task group.
        """
        await self._lifetime.start_guest(guest, run, name)

    def guest_ended(self, guest: Guest) -> None:
        """Note that a guest has ended."""
        self._lifetime.group.guest_ended(guest)
