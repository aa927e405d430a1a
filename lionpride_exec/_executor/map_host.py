"""The executor as its maps see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._events.submit_options import PLAIN, options_for
from lionpride_exec._processing.processor import DEFAULT_CONCURRENCY
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.completion import E
    from lionpride_exec._iteration.map_options import Guest, RunningMap
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

    from .facade import Facade
    from .parts import Parts


class ExecutorOfMap:
    """
    What a map uses of its executor and of the executor's parts. A ``MapHost``.

    Args:
        executor: The executor.
        parts: The parts of the executor.
        plain_append: ``Executor.append()``, as the package has it.

    Attributes:
        reader_away: Returns a context in which a task waits for the executor and reads no transitions. None without
            watchers. The method of the subscriptions itself, since a loop over short events waits often.
    """

    __slots__ = (
        "_coordination",
        "_executor",
        "_index",
        "_lifetime",
        "_maps",
        "_plain_append",
        "_submissions",
        "reader_away",
    )

    def __init__(self, executor: Facade, parts: Parts, plain_append: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._executor = executor
        self._plain_append = plain_append
        self._lifetime = parts.lifetime
        self._submissions = parts.submissions
        self._index = parts.index
        self._coordination = parts.coordination
        self.reader_away = parts.subscriptions.reader_away
        self._maps = parts.maps

    @property
    def has_journal(self) -> bool:
        """Whether the executor has a journal."""
        return self._submissions.durable is not None

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

    def append_nowait(self, event: Event, priority: float | None) -> bool:
        """Append an event if nothing has to be waited for. Return False if ``append()`` has to be awaited instead."""
        executor = self._executor
        # A subclass may override append(), an instance may have one of its own, and a fault plan replaces the method
        # of the class. Then each event has to go through that method.
        if type(executor).append is not self._plain_append or "append" in executor.__dict__:
            return False
        options = PLAIN if priority is None else options_for(check_priority(priority), None, None)
        try:
            return self._submissions.append_nowait(event, options)
        except ExecutorClosedError:
            return False  # append() raises it again

    async def append(self, event: E, priority: float | None = None, *, wait: bool = False, key: Hashable = None) -> E:
        """Take an event in through the executor's own method, which a subclass may override."""
        taken: E = await self._executor.append(event, priority, wait=wait, key=key)
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
