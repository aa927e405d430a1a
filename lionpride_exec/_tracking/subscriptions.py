"""
Watching: a stream of the transitions of an executor's events.

A transition is synchronous and cannot wait for a reader. So each watcher has a buffer, and a policy for a full buffer.
The default policy is that no event starts. The watcher asks for that by a token (see ``Coordination.hold()``), which it
holds while too many transitions are unread.

A watcher consists of two objects. The executor knows the :class:`Subscription`, and the reader has the
:class:`Watcher`. When the reader drops the watcher, the garbage collector calls ``Watcher.__del__``. That could not
happen if the executor held the watcher.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from contextlib import AbstractContextManager, contextmanager
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import anyio
import attrs
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from lionpride_exec._base.backend import TIME_SLICE
from lionpride_exec._base.closing_iterator import ClosingIterator
from lionpride_exec._base.conditions import PredicateCondition
from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import counted
from lionpride_exec._model.execution import to_status
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec._validation import check_count
from lionpride_exec.errors import WatcherTooSlow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._events.event import Event

    from .observers import Observers

logger = logging.getLogger("lionpride_exec")

OnFull = Literal["wait", "drop", "error"]

POLICIES = ("wait", "drop", "error")

# Seconds between two lines in the log about transitions that were dropped.
SECONDS_BETWEEN_WARNINGS = 60.0


@attrs.frozen
class Transition:
    """
    An event went from one status to another.

    Attributes:
        event: The event. By the time you read this, the event may have gone on.
        previous: The status that the event had.
        status: The status that the event came to.
        at: When (UTC). The same time stands in the event's own record.
        attempt: The number of the event's run at that time: 1 for the first run, 0 before it.
        error: The error that the event ended with, or that made its run fail before another run. None if there is none.
    """

    event: Event
    previous: EventStatus
    status: EventStatus
    at: datetime
    attempt: int
    error: BaseException | None = None

    @property
    def event_id(self) -> UUID:
        """The id of the event."""
        return self.event.id

    def __str__(self) -> str:
        attempt = f" (attempt {self.attempt})" if self.attempt else ""
        name = f"{type(self.event).__name__} {self.event.id}"
        return f"{self.at.isoformat(timespec='milliseconds')} {name}: {self.previous} -> {self.status}{attempt}"


class Subscription:
    """The unread transitions of a watcher, and the rules of the watcher."""

    __slots__ = (
        "_arrivals",
        "_buffer",
        "_hub",
        "_is_too_slow",
        "_on_full",
        "_reader_name",
        "_slice_ends",
        "holds",
        "is_over",
        "missed",
        "reader",
        "statuses",
        "unread",
    )

    def __init__(
        self, hub: Subscriptions, buffer: int, on_full: OnFull, statuses: frozenset[EventStatus] | None
    ) -> None:
        self.unread: deque[Transition] = deque()
        self.statuses: frozenset[EventStatus] | None = statuses
        self.missed: int = 0
        self.is_over: bool = False  # no more transitions are added; never False again
        self.holds: bool = False  # whether this subscription holds the start of events
        # The task that is expected to read: the caller of watch(), until another task reads. None outside a task.
        self.reader: int | None = None
        self._reader_name: str | None = None
        self._hub = hub
        self._buffer = buffer
        self._on_full = on_full
        self._is_too_slow = False
        self._arrivals = PredicateCondition()
        self._slice_ends = 0.0
        self._note_reader()

    def deliver(self, transition: Transition) -> None:
        """Add a transition to the buffer. If the buffer is full, do what ``on_full`` says."""
        if len(self.unread) >= self._buffer and self._on_full != "wait":
            if self._on_full == "error":
                self._is_too_slow = True
                self.finish()
                return
            self.unread.popleft()
            self.missed += 1
            self._hub.note_missed()
        self.unread.append(transition)
        self.review()
        self._arrivals.notify()

    async def take(self) -> Transition:
        """Return the next transition. Wait while there is none."""
        await self._checkpoint()  # before a transition is taken, so a cancellation loses none
        while not self.unread:
            if self._is_too_slow:
                raise WatcherTooSlow(
                    f"the reader was {self._buffer} transitions behind, and one more came; watch() again, with a "
                    "larger buffer or another on_full",
                    details={"buffer": self._buffer},
                )
            if self.is_over:
                raise StopAsyncIteration
            await self._arrivals.wait_for(lambda: bool(self.unread) or self.is_over)
            self._begin_slice()
        transition = self.unread.popleft()
        if self.holds:
            self.review()
        return transition

    def review(self) -> None:
        """Hold the start of events, or let it go, depending on whether too many transitions are unread."""
        holds = (
            self._on_full == "wait"
            and len(self.unread) >= self._buffer
            and not self.is_over
            and self.reader not in self._hub.away
        )
        if holds is not self.holds:
            self.holds = holds
            if holds:
                self._hub.coordination.hold(self)
            if not holds or self.is_over:  # the garbage collector may have called drop() in between
                self._hub.coordination.release_hold(self)

    def describe(self) -> str:
        """Return a description of the watcher: how much is unread, and which task reads."""
        reader = "no task" if self._reader_name is None else f"task {self._reader_name!r}"
        return f"watch(buffer={self._buffer}), {len(self.unread)} unread, read by {reader}"

    def finish(self) -> None:
        """Accept no more transitions. The unread ones can still be read. Idempotent."""
        self.is_over = True
        self._hub.remove(self)
        self.review()
        self._arrivals.notify()

    def drop(self) -> None:
        """Like :meth:`finish`, but without a reader: it is safe in any thread and inside any other call."""
        self.is_over = True
        self._hub.remove(self)
        if self.holds:
            self._hub.coordination.release_hold_soon(self)

    async def _checkpoint(self) -> None:
        """Notice a cancellation, and yield to other tasks now and then: as often as a worker does."""
        if perf_counter() < self._slice_ends:
            await checkpoint_if_cancelled()
        else:
            self._begin_slice()
            await checkpoint()
            self._begin_slice()

    def _begin_slice(self) -> None:
        self._slice_ends = perf_counter() + TIME_SLICE
        if self._note_reader():  # another task reads now
            self.review()

    def _note_reader(self) -> bool:
        """Record which task reads. Return whether it is another task than before."""
        before = self.reader
        try:
            task = anyio.get_current_task()
        except RuntimeError:  # no event loop, or a callback of one
            self.reader = self._reader_name = None
        else:
            self.reader, self._reader_name = task.id, task.name
        return self.reader != before


class Subscriptions:
    """
    The subscriptions to the transitions of an executor.

    All subscriptions together are one observer. Without subscriptions there is no observer.

    Args:
        observers: The observers of the executor.
        coordination: Where a reader that is too far behind holds the start of events.

    Attributes:
        away: How often each task waits for the executor itself.
        missed: How many transitions were dropped, of all watchers so far.
    """

    __slots__ = ("_observers", "_subscriptions", "_told_at", "_untold", "away", "coordination", "missed")

    def __init__(self, observers: Observers, coordination: Coordination) -> None:
        self.coordination: Coordination = coordination
        self.missed: int = 0
        self._untold = 0  # of them, those that no line in the log has told of
        self._told_at = -inf  # when the last line was logged, by the wall clock
        self._observers = observers
        # How often each task waits for the executor itself. These tasks cannot read meanwhile, and would wait for
        # themselves if their unread transitions held anything back. No entry is 0.
        self.away: Counter[int] = Counter()
        self._subscriptions: dict[Subscription, None] = {}

    def watch(self, buffer: int, on_full: OnFull, statuses: Iterable[EventStatus | str] | str | None) -> Watcher:
        """Add a watcher; see ``Executor.watch()``."""
        check_count("buffer", buffer, 1)
        if on_full not in POLICIES:
            raise ValueError(f"on_full must be one of {', '.join(POLICIES)}, got {on_full!r}")
        if isinstance(statuses, str):
            statuses = (statuses,)
        wanted = None if statuses is None else frozenset(to_status(status) for status in statuses)
        subscription = Subscription(self, buffer, on_full, wanted)
        self._subscriptions[subscription] = None
        if self._follow not in self._observers.callbacks:
            # As the first: after an observer that moves events itself, the effect would come before the cause.
            self._observers.callbacks.insert(0, self._follow)
        return Watcher(subscription)

    def remove(self, subscription: Subscription) -> None:
        """
        Forget a watcher.

        It is one step, so safe inside any call. The observer removes itself at the next transition.
        """
        self._subscriptions.pop(subscription, None)

    def note_missed(self) -> None:
        """Count a transition that was dropped. Log how many there were, at most once a minute."""
        self.missed += 1
        self._untold += 1
        now = wall_clock.seconds()
        if abs(now - self._told_at) >= SECONDS_BETWEEN_WARNINGS:
            number, self._untold, self._told_at = self._untold, 0, now
            logger.warning(
                "a watcher is too slow and has dropped %s", counted(number, "transition"),
                extra={"lionpride.executor": self.coordination.name, "lionpride.count": number},
            )  # fmt: skip

    def end(self) -> None:
        """End all streams. Readers still get the unread transitions."""
        for subscription in tuple(self._subscriptions):
            subscription.finish()

    def learn_of(self, status: EventStatus) -> bool:
        """Return whether a reader or another observer learns of a transition to a status."""
        blind = self._observers.blind
        if any(each != self._follow and each not in blind for each in self._observers.callbacks):
            return True
        return any(each.statuses is None or status in each.statuses for each in self._subscriptions)

    def reader_away(self) -> AbstractContextManager[None] | None:
        """Return a context in which a task waits for the executor and reads no transitions. None without watchers."""
        return self._reader_away() if self._subscriptions else None

    @contextmanager
    def _reader_away(self) -> Generator[None]:
        task = anyio.get_current_task().id
        self.away[task] += 1
        self._review(task)
        try:
            yield
        finally:
            self.away[task] -= 1
            if not self.away[task]:
                del self.away[task]
            self._review(task)

    def _review(self, reader: int) -> None:
        for subscription in tuple(self._subscriptions):
            if subscription.reader == reader:
                subscription.review()

    def _follow(self, event: Event, previous: EventStatus, status: EventStatus) -> None:
        """Observe a transition."""
        if not self._subscriptions:
            self._observers.callbacks.remove(self._follow)
            return
        transition: Transition | None = None
        for subscription in tuple(self._subscriptions):
            if subscription.statuses is None or status in subscription.statuses:
                if transition is None:
                    transition = _transition(event, previous, status)
                subscription.deliver(transition)


class Watcher(ClosingIterator[Transition]):
    """
    The transitions of an executor's events, as they happen; made by ``Executor.watch()``.

    An async iterator and an async context manager::

        async with executor.watch() as transitions:
            async for transition in transitions: ...

    Leaving the block unsubscribes. Dropping the last reference to the watcher unsubscribes too, but Python decides how
    soon: with a reference in a traceback, or on PyPy, at some later time. Several tasks may read from one watcher. Each
    transition then goes to one of them.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    @property
    def missed(self) -> int:
        """How many transitions ``on_full="drop"`` has dropped so far."""
        return self._subscription.missed

    @property
    def unread(self) -> int:
        """How many transitions are unread."""
        return len(self._subscription.unread)

    def __repr__(self) -> str:
        ended = ", ended" if self._subscription.is_over else ""
        return f"{type(self).__name__}(unread={self.unread}, missed={self.missed}{ended})"

    async def __anext__(self) -> Transition:
        """
        Return the next transition. Wait while there is none.

        Raises:
            StopAsyncIteration: The executor's lifetime has ended, or the watcher was closed.
            WatcherTooSlow: With ``on_full="error"``, after the transitions in the buffer; at every later call too.

        Cancellation: a checkpoint, which yields only now and then while there are unread transitions. No transition is
        lost.
        """
        return await self._subscription.take()

    async def aclose(self) -> None:
        """
        Unsubscribe, and drop the unread transitions: the iteration of every reader ends.

        Idempotent; does not wait.
        """
        self._subscription.unread.clear()
        self._subscription.finish()

    def __del__(self) -> None:
        self._subscription.drop()


def _transition(event: Event, previous: EventStatus, status: EventStatus) -> Transition:
    """Make the record of the current transition of an event, from the event's own record."""
    execution: Any = event.execution
    moment, error = execution.started_at, None
    if status in TERMINAL:
        moment, error = execution.finished_at, execution.error
    elif status is EventStatus.PENDING:
        run = execution.attempts[-1] if execution.attempts else None
        moment, error = (None, None) if run is None else (run.finished_at, run.error)
    known = error_in(error)
    return Transition(event, previous, status, moment or wall_clock.now(), execution.attempt, known)
