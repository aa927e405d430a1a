"""The executor as its maps see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._processing.processor import DEFAULT_CONCURRENCY

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable
    from contextlib import AbstractContextManager

    from lionpride_exec._events.event import Event
    from lionpride_exec._iteration.completion import E
    from lionpride_exec._iteration.map_options import Guest, RunningMap
    from lionpride_exec._scheduling.priority_queue import PriorityQueue
    from lionpride_exec._tracking.status_index import StatusIndex
    from lionpride_exec._tracking.subscriptions import Subscriptions

    from .executor_lifetime import ExecutorLifetime
    from .facade import Facade
    from .progress_report import ProgressReport
    from .submissions import Submissions


class ExecutorOfMap:
    """What a map uses of its executor and of the executor's parts. A ``MapHost``."""

    __slots__ = ("_executor", "_index", "_lifetime", "_progress", "_submissions", "_subscriptions")

    def __init__(
        self,
        executor: Facade,
        lifetime: ExecutorLifetime,
        submissions: Submissions,
        index: StatusIndex,
        subscriptions: Subscriptions,
        progress: ProgressReport,
    ) -> None:
        self._executor = executor
        self._lifetime = lifetime
        self._submissions = submissions
        self._index = index
        self._subscriptions = subscriptions
        self._progress = progress

    @property
    def has_journal(self) -> bool:
        """Whether the executor has a journal."""
        return self._submissions.durable is not None

    @property
    def queue(self) -> PriorityQueue | None:
        """The queue of the processor. None until there is a processor."""
        processor = self._lifetime.processor
        return None if processor is None else processor.queue

    @property
    def concurrency_limit(self) -> int:
        """How many events may run at once. Before there is a processor: what the configuration says."""
        processor = self._lifetime.processor
        if processor is not None:
            return processor.concurrency_limit
        configured = self._executor.processor_config.get("concurrency_limit")
        return configured if isinstance(configured, int) and configured > 0 else DEFAULT_CONCURRENCY

    def __contains__(self, event: Event) -> bool:
        return event in self._executor

    async def append(self, event: E, priority: float | None = None, *, wait: bool = False, key: Hashable = None) -> E:
        """Take an event in through the executor's own method, which a subclass may override."""
        taken: E = await self._executor.append(event, priority, wait=wait, key=key)
        return taken

    def cancel(self, event: Event, reason: str) -> None:
        """Cancel an event through the executor's own method, which a subclass may override."""
        self._executor.cancel(event, reason)

    def begun(self, state: RunningMap) -> None:
        """Note that a map has begun, for ``Executor.progress()``."""
        self._progress.maps.add(state)

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return a context in which a task waits for the executor and reads no transitions. None without watchers."""
        return self._subscriptions.reader_away()

    async def remove(self, event: Event) -> None:
        """Remove an event that has ended and was returned to the consumer. Wait for locks that other tasks hold."""
        status = event.execution.status
        if self._index.is_locked(status):
            async with self._index.all_locks(status):
                self._remove(event)
        else:
            self._remove(event)

    def _remove(self, event: Event) -> None:
        if event in self._executor:
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
