"""The task of a map that takes items from an async iterable."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from math import inf
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio import CancelScope, current_effective_deadline, get_cancelled_exc_class

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec.errors import ExecutorClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Hashable

    from lionpride_exec._events.event import Event

    from .map_state import MapState

logger = logging.getLogger("lionpride_exec")


class SourceTask:
    """
    The task that appends the items of an async iterable, and closes it.

    An async generator may have cancel scopes open while it is suspended, so no scope of ours may end between its first
    item and its close: one is around all of it. To end, this task is rather woken than cancelled, where it can be: then
    the generator has all the time it needs to close.
    """

    def __init__(self, run: MapState[Any], source: AsyncIterator[Any]) -> None:
        self.run = run
        self.source = source
        self.done = anyio.Event()
        self.room: anyio.Event | None = None  # while it waits for room in the look-ahead
        self._appending: CancelScope | None = None  # while it waits for room in the queue
        self._taking = CancelScope()  # all the time
        self._is_over = False  # no more items are to be taken
        self._is_closing = False  # none will be: the source is being closed

    @classmethod
    async def start(cls, run: MapState[Any], items: AsyncIterable[Any]) -> SourceTask:
        """
        Start it in the executor's task group.

        Raises:
            RuntimeError: There is none.
        """
        feeder = cls(run, aiter(items))
        await run.plan.executor.start_guest(feeder, feeder._feed, "map")
        return feeder

    def cancel(self) -> None:
        """Have it take no more items. Idempotent."""
        if self._is_over:
            return
        self._is_over = True
        if self.room is not None:
            self.room.set()
        elif self._appending is not None:
            self._appending.cancel()
        elif not self._is_closing:
            self._taking.cancel()

    async def _feed(self) -> None:
        run = self.run
        run.shut = ExecutorClosedError("the executor stopped before all items of map() were taken")  # until they are
        try:
            with self._taking:
                await self._take_and_close()
        except get_cancelled_exc_class():
            if current_effective_deadline() == -inf:
                raise
            # No scope asked for this cancellation: it concerns this task only. The executor is to live on.
        except BaseException as exc:
            # What tells a generator to end comes back in a group if it has a task group around its yield.
            if not all(isinstance(leaf, Exception | GeneratorExit) for leaf in leaves(exc)):
                raise
            if run.closed and not all(isinstance(leaf, GeneratorExit) for leaf in leaves(exc)):
                logger.exception("the source of a map() that was left failed while it was closed")
            run.error = exc
        finally:
            run.plan.executor.guest_ended(self)
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
                    await self._append(self.run.plan.make(item), self.run.plan.key_of(item))
            finally:
                self._is_closing = True

    async def _wait_for_room(self) -> bool:
        """Return when one more event may be appended; False: none is to be."""
        while not self.run.has_room and not self._is_over:
            self.room = anyio.Event()
            try:
                await self.room.wait()
            finally:
                self.room = None
        return not self._is_over

    async def _append(self, event: Event, key: Hashable) -> None:
        run = self.run
        try:
            with CancelScope() as self._appending:
                if self._is_over:
                    return
                taken = await run.plan.executor.append(event, run.plan.priority, wait=True, key=key)
                run.hold(taken, is_own=taken is event)
        except ExecutorClosedError as exc:
            run.shut = exc
            self._is_over = True
        finally:
            self._appending = None
