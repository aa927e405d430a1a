"""The task of a map that takes items from an async iterable."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
import attrs

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec.errors import ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Hashable

    from lionpride_exec._events.event import Event

    from .map_options import MapOptions

logger = logging.getLogger("lionpride_exec")


@attrs.frozen
class PastEvent:
    """
    An item that goes past a stage of a pipeline: an event of an earlier stage that has ended without a result.

    Attributes:
        event: The event.
    """

    event: Event


class ItemReceiver(Protocol):
    """
    The map for which a task takes items.

    Attributes:
        options: What the caller of map() asked for.
        closed: Whether the map has ended.
        error: What the map raises after the events that were appended. Set by the task.
        shut: Why not all items were taken. Set by the task; None once all were taken.
    """

    options: MapOptions
    closed: bool
    error: BaseException | None
    shut: ExecutorClosedError | None

    @property
    def has_room(self) -> bool:
        """Whether one more event may be appended."""
        ...

    def hold(self, event: Any, *, is_own: bool) -> None:
        """Look after an event that was appended, or that the executor knew under its key."""

    def stop_taking(self) -> None:
        """Learn that no more items will come."""


class SourceTask:
    """
    The task that appends the items of an async iterable, and closes the iterable.

    An async generator may have cancel scopes open while it is suspended. So no scope of this task may end between the
    first item and the close: one scope is around both. Where possible this task is woken, not cancelled, to end. Then
    the generator has all the time it needs to close.
    """

    def __init__(self, run: ItemReceiver, source: AsyncIterator[Any]) -> None:
        self.run = run
        self.source = source
        self.done = anyio.Event()
        self.room: anyio.Event | None = None  # while it waits for room in the look-ahead
        self._appending: anyio.CancelScope | None = None  # while it waits for room in the queue
        self._taking = anyio.CancelScope()  # all the time
        self._is_over = False  # no more items are taken
        self._is_closing = False  # the source is being closed

    @classmethod
    async def start(cls, run: ItemReceiver, items: AsyncIterable[Any]) -> SourceTask:
        """
        Start the task in the executor's task group.

        Raises:
            RuntimeError: The executor has no task group.
        """
        task = cls(run, aiter(items))
        await run.options.executor.start_guest(task, task._take_all, "map")
        return task

    def cancel(self) -> None:
        """Take no more items. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        if self.room is not None:
            self.room.set()
        elif self._appending is not None:
            self._appending.cancel()
        elif not self._is_closing:
            self._taking.cancel()

    async def _take_all(self) -> None:
        run = self.run
        run.shut = ExecutorClosedError("the executor stopped before all items of map() were taken")  # until they are
        try:
            with self._taking:
                await self._take_and_close()
        except anyio.get_cancelled_exc_class():
            if anyio.current_effective_deadline() == -inf:
                raise
            # No scope asked for this cancellation: it concerns this task only, and the executor goes on.
        except BaseException as exc:
            # A generator with a task group around its yield raises GeneratorExit in an exception group.
            if not all(isinstance(leaf, Exception | GeneratorExit) for leaf in leaves(exc)):
                raise
            if run.closed and not all(isinstance(leaf, GeneratorExit) for leaf in leaves(exc)):
                logger.exception("the source of a map() that was left failed while it was closed")
            run.error = exc
        finally:
            run.options.executor.guest_ended(self)
            run.stop_taking()
            self.done.set()

    async def _take_and_close(self) -> None:
        is_generator = isinstance(self.source, AsyncGenerator)
        async with aclosing(cast("AsyncGenerator[Any]", self.source)) if is_generator else nullcontext():
            try:
                while await self._wait_for_room():
                    try:
                        item = await anext(self.source)
                    except StopAsyncIteration:
                        self.run.shut = None
                        break
                    if type(item) is PastEvent:
                        self.run.hold(item.event, is_own=False)
                        continue
                    options = self.run.options
                    await self._append(options.make(item), options.key_of(item), options.priority_for(item))
            finally:
                self._is_closing = True

    async def _wait_for_room(self) -> bool:
        """Wait until one more event may be appended. Return False if no more items are taken."""
        while not self.run.has_room and not self._is_over:
            self.room = anyio.Event()
            try:
                await self.room.wait()
            finally:
                self.room = None
        return not self._is_over

    async def _append(self, event: Event, key: Hashable, priority: float | None) -> None:
        run = self.run
        try:
            with anyio.CancelScope() as self._appending:
                if self._is_over:
                    return
                options = run.options
                if key is None and options.executor.append_nowait(event, priority, options.expires):
                    run.hold(event, is_own=True)
                    return
                taken = await options.executor.append(event, priority, wait=True, key=key, expires=options.expires)
                run.hold(taken, is_own=taken is event)
        except ExecutorClosedError as exc:
            run.shut = exc
            self._is_over = True
        finally:
            self._appending = None
