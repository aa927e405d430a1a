"""
The moving parts of ``Executor.map()``.

They are what events call back and what the feeder works for, so they must not know the iterator: that one is to be gone
as soon as its consumer drops it.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import AsyncIterable, Generator, Iterable
from contextlib import nullcontext
from operator import length_hint
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, cast

import anyio
import attrs
from anyio import CancelScope
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from lionpride_exec._base.tracebacks import log_info
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_count
from lionpride_exec.errors import EventFailed, ExecutorClosedError, QueueFullError

from .completion import E
from .source_task import SourceTask

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator
    from contextlib import AbstractContextManager
    from uuid import UUID

    from lionpride_exec._events.event import Event
    from lionpride_exec._scheduling.priority_queue import PriorityQueue

logger = logging.getLogger("lionpride_exec")

# What a source gives that has nothing more.
END: Final = object()

# Events appended and not yet given, at most, where many of them wait for their key; and for each slot.
MAX_LOOKAHEAD = 1000
SLOTS_AHEAD = 10

# A consumer that never waits lets other tasks run after so many events.
EVENTS_BETWEEN_CHECKPOINTS = 100

# What fail_fast is about. SKIPPED is not: an event that skips itself had nothing to do.
FAILURES = frozenset({EventStatus.FAILED, EventStatus.CANCELLED, EventStatus.ABORTED})


class MapHost(Protocol):
    """What a map uses of its executor."""

    @property
    def has_journal(self) -> bool:
        """Whether the executor has a journal."""
        ...

    @property
    def queue(self) -> PriorityQueue | None:
        """The queue of the processor. None until there is a processor."""

    @property
    def concurrency_limit(self) -> int:
        """How many events may run at the same time, as far as is known."""
        ...

    def __contains__(self, event: Event) -> bool: ...

    async def append(self, event: E, priority: float | None = None, *, wait: bool = False, key: Hashable = None) -> E:
        """Take an event in; see ``Executor.append()``."""
        ...

    def cancel(self, event: Event, reason: str) -> None:
        """Cancel an event; see ``Executor.cancel()``."""

    def begun(self, state: MapState[Any]) -> None:
        """Learn of a map that begins, for ``Executor.progress()``."""

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return the context of a task that waits for the executor and so reads no transitions. None if none reads."""

    async def remove(self, event: Event) -> None:
        """Remove an event that has ended and was given to the consumer, under the locks that somebody holds."""

    async def start_guest(self, guest: Guest, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """
        Run a task that runs no events in the task group of the executor, and cancel it when that group closes.

        Raises:
            RuntimeError: The executor has no task group.
        """

    def guest_ended(self, guest: Guest) -> None:
        """Learn that such a task has ended."""


class Guest(Protocol):
    """A task in the group of an executor that runs no events."""

    def cancel(self) -> None:
        """Have it end."""


@attrs.define(eq=False, kw_only=True)
class MapOptions:
    """
    What a map was asked for.

    Attributes:
        executor: Where the events go.
        make: Makes an event of an item.
        items: A plain or an async iterable.
        ordered: Whether the events come in the order of the items.
        fail_fast: Whether the first failure ends it.
        lookahead: Events appended and not yet given, without those that wait for their key. Default: twice the
            concurrency limit.
        max_lookahead: The same with those. Default: 1,000, or more if the lookahead or the concurrency limit is large.
        priority: Of each event.
        key: Gives the key of an item's event; None: it has none.
        total: How many items there are. None if ``items`` is asked.
    """

    executor: MapHost
    make: Callable[[Any], Event]
    items: Iterable[Any] | AsyncIterable[Any]
    ordered: bool
    fail_fast: bool
    lookahead: int | None
    priority: float | None
    key: Callable[[Any], Hashable] | None
    total: int | None = None
    max_lookahead: int | None = None

    def __attrs_post_init__(self) -> None:
        items = cast("object", self.items)
        if not isinstance(items, AsyncIterable | Iterable):
            raise TypeError(f"items must be an iterable or an async iterable, got {type(items).__name__}")
        for name, least in (("lookahead", 1), ("max_lookahead", 1), ("total", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least)
        if self.key is not None and not callable(cast("object", self.key)):
            raise TypeError(f"key must be a function of an item, got {self.key!r}")

    def expected(self) -> int | None:
        """Return how many items there are, as far as anybody says; None if nobody does."""
        if self.total is not None:
            return self.total
        try:
            number = length_hint(self.items, -1)
        except Exception:  # noqa: BLE001  the items' own code: it is asked for a guess only
            return None
        return number if number >= 0 else None

    def key_of(self, item: Any) -> Hashable:
        """Give the key of an item's event; None: it has none."""
        return None if self.key is None else self.key(item)

    @property
    def limit(self) -> int:
        """How many events that could start may be appended and not yet given, now."""
        return 2 * self._concurrency if self.lookahead is None else self.lookahead

    @property
    def most(self) -> int:
        """How many events may be appended and not yet given, now, whatever they wait for."""
        if self.max_lookahead is not None:
            return self.max_lookahead
        return max(MAX_LOOKAHEAD, SLOTS_AHEAD * self._concurrency, self.limit)

    @property
    def _concurrency(self) -> int:
        return self.executor.concurrency_limit


class MapState(Generic[E]):
    """The moving parts of a map: what events call back, and what the feeder works for."""

    def __init__(self, plan: MapOptions) -> None:
        self.plan = plan
        self.thread: int | None = None  # None: nothing has begun
        self.source: Iterator[Any] | None = None  # of a plain iterable
        self.feeder: SourceTask | None = None  # of an async one
        self.rejected: tuple[E, Hashable] | None = None  # made, with its key; there was no room in the queue yet
        self.own: set[UUID] = set()  # events that we have appended and not let go: others are not ours to end
        self.again: Counter[UUID] = Counter()  # how many more times than once an event is held, by its key
        self.expected: int | None = None  # how many items there are, as far as anybody says
        self.appended = 0  # events of items, known ones included
        self.held = 0  # events appended and not yet given
        self.unended: dict[UUID, E] = {}  # those among them that have not ended; each will tell
        self.queue: deque[E] = deque()  # to be given; ordered: all that are held, else those that have ended
        self.last: E | None = None  # was given, and stands in the executor still
        self.failure: E | None = None  # the first, if asked to fail fast
        self.lost: list[E] = []  # will not end: their executor was left; told after what has ended
        self.error: BaseException | None = None  # of the source or of an item; raised after what has ended
        self.shut: ExecutorClosedError | None = None  # why not all items were taken; told after what has ended
        self.exhausted = False  # no more items
        self.closed = False
        self.attention: anyio.Event | None = None  # of the consumer, while it waits for an end
        self.append_scope: CancelScope | None = None  # around the consumer, while it waits for room
        self.turns = 0

    @property
    def to_come(self) -> int | None:
        """How many events are still to be appended; None if that is not known."""
        if self.exhausted or self.closed:
            return 0
        return None if self.expected is None or self.expected < self.appended else self.expected - self.appended

    # ---------------------------------------------------------------- for the consumer

    async def next(self) -> E:
        """Give the next event."""
        if self.thread is None:
            await self._begin()
        await self._breathe()
        await self._release_last()
        while not self.closed:
            await self._fill()
            if self.failure is not None:
                self._raise_failure(self.failure)
            event = self._take()
            if event is not None:
                if event._unseen is not None:
                    event._unseen.look_at(event)
                self.last = event
                return event
            if self.exhausted and not self.held:
                break
            if not self.closed:
                self.attention = anyio.Event()
                with self.plan.executor.reader_away() or nullcontext():
                    await self.attention.wait()
        raise StopAsyncIteration if self.closed else self._last_word()

    def close(self) -> None:
        """Cancel what has not ended, and the feeder; close the source. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._wake()
        if self.feeder is not None:
            self.feeder.cancel()  # first, or it would use the room that the others leave
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
        """Return when the feeder has closed its source."""
        await checkpoint()
        if self.feeder is not None:
            await self.feeder.done.wait()

    async def _begin(self) -> None:
        items = self.plan.items
        if self.closed:
            return
        self.expected = self.plan.expected()
        if isinstance(items, AsyncIterable):
            self.feeder = await SourceTask.start(cast("MapState[Any]", self), items)
        else:
            self.source = iter(items)
        self.thread = get_ident()
        self.plan.executor.begun(cast("MapState[Any]", self))

    async def _breathe(self) -> None:
        self.turns += 1
        if self.turns % EVENTS_BETWEEN_CHECKPOINTS:
            await checkpoint_if_cancelled()
        else:
            await checkpoint()

    async def _release_last(self) -> None:
        """Have the event that was given last leave the executor."""
        executor, event = self.plan.executor, self.last
        if event is not None:
            # With a journal an event leaves when its end is on disk.
            if not executor.has_journal and event.id in self.own:
                await executor.remove(event)
            self.own.discard(event.id)
            self.last = None

    async def _fill(self) -> None:
        """Append as many events as may be, from a plain iterable; what goes wrong is raised after what was started."""
        while self.source is not None and not self.exhausted and self.failure is None and self.has_room:
            try:
                if self.rejected is None:
                    item = next(self.source, END)
                    if item is END:
                        self.exhausted = True
                        return
                    self.rejected = cast("E", self.plan.make(item)), self.plan.key_of(item)
                if not await self._append(*self.rejected):
                    return
                self.rejected = None
            except Exception as exc:  # noqa: BLE001  raised at the end
                self.error, self.exhausted = exc, True

    async def _append(self, event: E, key: Hashable) -> bool:
        """Append an event, or wait for room until there is something to give; whether it is there."""
        executor, priority = self.plan.executor, self.plan.priority
        taken: E | None = None
        try:
            taken = await executor.append(event, priority, key=key)
        except QueueFullError:
            if not self._has_news():
                with CancelScope() as self.append_scope:
                    taken = await executor.append(event, priority, wait=True, key=key)
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
        """Return the next event that is to be given; those that will not end are put aside."""
        while self.queue and self.queue[0].id not in self.unended:
            self.held -= 1
            if self.feeder is not None and self.feeder.room is not None:
                self.feeder.room.set()
            event = self.queue.popleft()
            if event.execution.status in TERMINAL:
                return event
            self.lost.append(event)
            self.exhausted = True
        return None

    def _last_word(self) -> BaseException:
        """Return what ends the loop when all that has ended was given."""
        error, self.error = self.error, None
        if error is not None:
            return error
        if self.shut is not None:
            return self.shut
        for event in self.lost:
            event._check_ended()
        return StopAsyncIteration()

    # ---------------------------------------------------------------- for the feeder and the events

    @property
    def has_room(self) -> bool:
        """Whether one more event may be appended, as far as the look-ahead goes. O(1)."""
        plan = self.plan
        queue = plan.executor.queue
        if self.held < plan.limit or queue is None:
            return self.held < min(plan.limit, plan.most)
        if self.held >= plan.most:
            return False
        queue.lanes.blocked.add_listener(self)
        blocked = min(queue.blocked, len(self.unended))
        if plan.ordered and self.queue and queue.is_blocked(self.queue[0].id):
            return len(self.unended) - blocked < plan.limit  # those that have ended wait for this one
        return self.held - blocked < plan.limit

    def reconsider(self) -> None:
        """Learn that more events wait for their key; others may take their place."""
        if not self.closed and not self.exhausted and self.has_room:
            self._wake()
            if self.feeder is not None and self.feeder.room is not None:
                self.feeder.room.set()

    def hold(self, event: E, *, is_own: bool) -> None:
        """Look after an event that was appended just now, or is known under its key."""
        self.held += 1
        self.appended += 1
        if is_own:
            self.own.add(event.id)
        if self.closed:
            self._give_up(event)
            return
        if self.plan.ordered:
            self.queue.append(event)
        if event.id in self.unended:
            self.again[event.id] += 1
            return
        self.unended[event.id] = event
        event._call_at_end(self.note)

    def note(self, event: E) -> None:
        """Learn that an event has ended, or never will."""
        self.unended.pop(event.id, None)
        if not self.plan.ordered:
            self.queue.extend([event] * (1 + self.again.pop(event.id, 0)))
        if self.plan.fail_fast and self.failure is None and event.execution.status in FAILURES:
            self.failure = event
        self._wake()

    def stop_taking(self) -> None:
        """Learn that no more items will come."""
        self.exhausted = True
        self._wake()

    def _has_news(self) -> bool:
        return self.closed or self.failure is not None or bool(self.queue and self.queue[0].id not in self.unended)

    def _wake(self) -> None:
        if self.attention is not None:
            self.attention.set()
        if self.append_scope is not None and self._has_news():
            self.append_scope.cancel()

    def _give_up(self, event: E) -> None:
        event._call_no_more(self.note)
        if self.plan.executor.has_journal or event.id not in self.own:
            return  # leaving a loop is an interruption: it goes on, now or at the next start
        if event.execution.status not in TERMINAL and event in self.plan.executor:
            self.plan.executor.cancel(event, "the loop over its map was left")
