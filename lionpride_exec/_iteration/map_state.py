"""
The state of ``Executor.map()``.

Events call this object back, and the source task appends for it. It does not know the iterator, so that the iterator is
collected as soon as its consumer drops it.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import AsyncIterable, Generator
from contextlib import nullcontext
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, cast

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from lionpride_exec._base.tracebacks import log_info
from lionpride_exec._status import FAILURES, TERMINAL
from lionpride_exec.errors import EventFailed, ExecutorClosedError, QueueFullError

from .completion import E
from .look_ahead import LookAhead
from .source_task import SourceTask

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from lionpride_exec._events.host import EventHost

    from .map_options import MapOptions

logger = logging.getLogger("lionpride_exec")

# Stands for an item where the source has none left.
END: Final = object()

# A consumer that never waits lets other tasks run after this number of events.
EVENTS_BETWEEN_CHECKPOINTS = 100
# The consumer notices a cancellation after this number of events, or when it waits. On asyncio the check takes ten
# calls. A divisor of the number above.
EVENTS_BETWEEN_CHECKS = 10


class MapState(Generic[E]):
    """
    The state of a map, which its events call back and for which its source task appends.

    Events are counted by the numbers of their ids (``UUID.int``), whose hash is computed in C.
    """

    def __init__(self, options: MapOptions) -> None:
        self.options = options
        self.executor = options.executor
        self.host: EventHost = options.executor.host
        self.events_go_on: bool = options.executor.events_go_on
        self.removes_returned: bool = options.executor.removes_returned
        self.look_ahead = LookAhead(options, self)
        self.thread: int | None = None  # the thread of the event loop; None before the first step
        self.source: Iterator[Any] | None = None  # the iterator of a plain iterable
        self.source_task: SourceTask | None = None  # reads an async iterable
        # An event that found no room in the queue, with its key and its priority.
        self.rejected: tuple[E, Hashable, float | None] | None = None
        self.own: set[int] = set()  # the events that this map appended and still holds; it cancels no others
        self.again: Counter[int] = Counter()  # how often beyond the first time an event is held, for known keys
        self.expected: int | None = None  # the number of items; None if unknown
        self.appended = 0  # the number of items that have become events, known events included
        self.held = 0  # events that were appended and not returned
        self.unended: dict[int, E] = {}  # the held events that have not ended; each calls back at its end
        self.queue: deque[E] = deque()  # events to return: those that have ended; all held events if ordered
        self.last: E | None = None  # the event returned last, which is still in the executor
        self.failure: E | None = None  # the first failure, with fail_fast
        self.lost: list[E] = []  # events that will not end because their executor was left; reported last
        self.error: BaseException | None = None  # the error of the source or of an item; raised last
        self.shut: ExecutorClosedError | None = None  # why not all items were taken; raised last
        self.exhausted = False  # whether there are no more items
        self.closed = False
        self.attention: anyio.Event | None = None  # wakes the consumer; None while it does not wait for an end
        self.append_scope: anyio.CancelScope | None = None  # around a consumer that waits for room in the queue
        self.turns = 0
        self.is_asked = False  # whether a task waits for the next event

    @property
    def to_come(self) -> int | None:
        """How many events are still to be appended; None if that is not known."""
        if self.exhausted or self.closed:
            return 0
        return None if self.expected is None or self.expected < self.appended else self.expected - self.appended

    # ---------------------------------------------------------------- for the consumer

    async def next(self, iterator: object) -> E:
        """
        Return the next event. After an error, which may be a cancellation or the end, the map is closed.

        Args:
            iterator: The iterator of the map, which closes the map when it is dropped. It is kept meanwhile.
        """
        if self.is_asked:
            raise anyio.BusyResourceError("iterating over")
        self.is_asked = True  # a ResourceGuard would take two calls for each event
        try:
            self.turns += 1
            if self.turns % EVENTS_BETWEEN_CHECKS == 1:
                await self._breathe()
            if self.last is not None and not self._remove_returned(self.last):
                await self._remove_returned_later(self.last)
            while not self.closed:
                if self.source is not None and self._fill_nowait(self.source):
                    await self._fill(self.source)
                event = self._take()
                if event is not None:
                    return event
                # The source may have closed the map.
                if self.closed or (self.exhausted and not self.held):  # type: ignore[redundant-expr]  # changes in the await
                    break
                # Wait until an event has ended, or the map is closed. A loop over short events waits at every other
                # item, so this is no coroutine of its own.
                self.attention = attention = self.host.new_signal()
                with self.executor.reader_away() or nullcontext():
                    await attention.wait()
            self._raise_last_word()
        except BaseException:
            self.close()
            raise
        finally:
            self.is_asked = False
            del iterator  # the traceback of an error of the source keeps this frame

    def close(self) -> None:
        """Cancel the source task and the events that have not ended; close the source. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._wake()
        if self.source_task is not None:
            self.source_task.cancel()  # first, or it would use the room that the others leave
        unended = list(self.unended.values())
        self.unended.clear()
        self.queue.clear()
        for event in unended:
            self._give_up(event)
        error, self.error = self.error, None
        if error is not None:
            logger.warning("the source or an item of a map() that was left had failed", exc_info=log_info(error))
        source, self.source = self.source, None
        if isinstance(source, Generator):
            cast("Generator[Any]", source).close()

    async def wait_closed(self) -> None:
        """Return when the source task has closed the source."""
        await checkpoint()
        if self.source_task is not None:
            await self.source_task.done.wait()

    async def _begin(self) -> None:
        items = self.options.items
        if self.closed:
            return
        self.expected = self.options.expected()
        if isinstance(items, AsyncIterable):
            self.source_task = await SourceTask.start(cast("MapState[Any]", self), items)
        else:
            self.source = iter(items)
        self.thread = get_ident()
        self.executor.begun(cast("MapState[Any]", self))

    async def _breathe(self) -> None:
        """Begin, if nothing has begun. Raise a cancellation; in longer intervals also let other tasks run."""
        if self.thread is None:
            await self._begin()
        if self.turns % EVENTS_BETWEEN_CHECKPOINTS == 1 < self.turns:
            await checkpoint()
        else:
            await checkpoint_if_cancelled()

    def _remove_returned(self, event: E) -> bool:
        """Remove from the executor the event that was returned last. Return False if a task holds a lock."""
        number = event.id.int
        if self.removes_returned and number in self.own and not self.executor.remove_nowait(event):
            return False
        self.own.discard(number)
        self.last = None
        return True

    async def _remove_returned_later(self, event: E) -> None:
        """Do as :meth:`_remove_returned`, but wait for the locks that other tasks hold."""
        await self.executor.remove(event)
        self.own.discard(event.id.int)
        self.last = None

    def _fill_nowait(self, source: Iterator[Any]) -> bool:
        """
        Append events from a plain iterable while there is room. An error is raised after the events before it.

        Returns:
            Whether the next event, which is ``rejected``, has to be appended by ``append()``.
        """
        options, limit, blocked = self.options, self.look_ahead.limit(), self.look_ahead.blocked
        try:
            while (
                not self.exhausted
                and self.failure is None
                and (self.held < limit or (blocked.number and self._has_room_past_keys()))
            ):
                if self.rejected is None:
                    item = next(source, END)
                    if item is END:
                        self.exhausted = True
                        break
                    key = None if options.key is None else options.key(item)
                    priority: Any = options.priority if options.priority_of is None else options.priority_of(item)
                    self.rejected = options.make(item), key, priority
                event, key, priority = self.rejected
                if key is not None or not self.executor.append_nowait(event, priority, options.expires):
                    return True
                self.rejected = None
                self.hold(event, is_own=True)
        except Exception as exc:  # noqa: BLE001  raised at the end
            self.error, self.exhausted = exc, True
        return False

    async def _fill(self, source: Iterator[Any]) -> None:
        """Do as :meth:`_fill_nowait`, but wait where necessary, until the consumer can get another event."""
        try:
            goes_on = True
            while goes_on and self.rejected is not None and await self._append(*self.rejected):
                self.rejected = None
                goes_on = self._fill_nowait(source)
        except Exception as exc:  # noqa: BLE001  raised at the end
            self.error, self.exhausted = exc, True

    async def _append(self, event: E, key: Hashable, priority: float | None) -> bool:
        """Append an event, or wait for room until the consumer can get another. Return whether it was appended."""
        executor, expires = self.executor, self.options.expires
        taken: E | None = None
        try:
            taken = await executor.append(event, priority, key=key, expires=expires)
        except QueueFullError:
            if not self._has_news():
                with anyio.CancelScope() as self.append_scope:
                    taken = await executor.append(event, priority, wait=True, key=key, expires=expires)
        except ExecutorClosedError as exc:
            self.shut, self.exhausted = exc, True
        finally:
            self.append_scope = None
        if taken is not None:
            self.hold(taken, is_own=taken is event)
        return taken is not None

    def _raise_failure(self, failure: E) -> None:
        """Raise what the first failure raises, at once."""
        error, self.error = self.error, None
        try:
            failure.result()
        except EventFailed as exc:
            if error is not None:
                exc.add_note(f"Before that the source or an item of the map had failed: {type(error).__name__}")
                logger.warning(
                    "the source or an item of a map() had failed before an event did", exc_info=log_info(error)
                )
            raise

    def _take(self) -> E | None:
        """Return the next event for the consumer, or raise the first failure. Keep events that will not end aside."""
        if self.failure is not None:
            self._raise_failure(self.failure)
        while self.queue and self.queue[0].id.int not in self.unended:
            self.held -= 1
            if self.source_task is not None and self.source_task.room is not None:
                self.source_task.room.set()
            event = self.queue.popleft()
            if event.execution.status in TERMINAL:
                if event._unseen is not None:
                    event._unseen.look_at(event)
                self.last = event
                return event
            self.lost.append(event)
            self.exhausted = True
        return None

    def _raise_last_word(self) -> NoReturn:
        """Raise what ends the loop after the last event, or what a closed map raises."""
        if self.closed:
            raise StopAsyncIteration
        error, self.error = self.error, None
        if error is not None:
            raise error
        if self.shut is not None:
            raise self.shut
        for event in self.lost:
            self.executor.check_ended(event)
        raise StopAsyncIteration

    # ---------------------------------------------------------------- for the source task and the events

    @property
    def has_room(self) -> bool:
        """Whether one more event may be appended, as far as the look-ahead goes. O(1)."""
        return self.held < self.look_ahead.limit() or (
            self.look_ahead.blocked.number > 0 and self._has_room_past_keys()
        )

    def _has_room_past_keys(self) -> bool:
        turn = self.queue[0].id if self.options.ordered and self.queue else None
        return self.look_ahead.has_room_past_keys(self.held, len(self.unended), turn)

    def reconsider(self) -> None:
        """Learn that more events wait for their key, so that others may be appended."""
        if not self.closed and not self.exhausted and self.has_room:
            self._wake()
            if self.source_task is not None and self.source_task.room is not None:
                self.source_task.room.set()

    def hold(self, event: E, *, is_own: bool) -> None:
        """Look after an event that was appended, or that the executor knew under its key."""
        self.held += 1
        self.appended += 1
        number = event.id.int
        if is_own:
            self.own.add(number)
        if self.closed:
            self._give_up(event)
            return
        if self.options.ordered:
            self.queue.append(event)
        if number in self.unended:
            self.again[number] += 1
            return
        self.unended[number] = event
        event._call_at_end(self.note)

    def note(self, event: E) -> None:
        """Learn that an event has ended, or never will."""
        number = event.id.int
        self.unended.pop(number, None)
        if not self.options.ordered:
            self.queue.append(event)
            if self.again:
                self.queue.extend([event] * self.again.pop(number, 0))
        if self.options.fail_fast and self.failure is None and event.execution.status in FAILURES:
            self.failure = event
        if self.append_scope is not None:
            self._wake()
        elif self.attention is not None:  # the same as _wake(), which would be a call more
            self.attention.set()
            self.attention = None

    def stop_taking(self) -> None:
        """Learn that no more items will come."""
        self.exhausted = True
        self._wake()

    def _has_news(self) -> bool:
        return self.closed or self.failure is not None or bool(self.queue and self.queue[0].id.int not in self.unended)

    def _wake(self) -> None:
        if self.attention is not None:
            self.attention.set()
            self.attention = None  # set once: nothing has to be done for the events that end until the consumer runs
        if self.append_scope is not None and self._has_news():
            self.append_scope.cancel()

    def _give_up(self, event: E) -> None:
        event._call_no_more(self.note)
        if self.events_go_on or event.id.int not in self.own:
            return  # leaving a loop interrupts it; with a journal or a cluster the event goes on
        if event.execution.status not in TERMINAL and event in self.executor:
            self.executor.cancel(event, "the loop over its map was left")
