"""One example of the machine: event loop, executor, what was done to it, and the checks after each step."""

from __future__ import annotations

import os
import random
import sys
from contextlib import suppress
from datetime import UTC, datetime
from inspect import isawaitable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import anyio
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant

from lionpride_exec._base.overrides import Recorded
from lionpride_exec._model.permission import Deny, Wait
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import ExecutorClosedError, QueueFullError, RateLimited, Skip
from lionpride_exec.testing import strategies
from lionpride_exec.testing._invariants.invariant import InvariantBroken
from lionpride_exec.testing._time.run import BACKENDS, backend_options
from lionpride_exec.testing._trace.trace import Trace, record
from lionpride_exec.testing._view import ExecutorView

from ._loop import FrozenLoop
from ._promises import promise_broken, require
from ._seams import Failures, Gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from uuid import UUID

    from hypothesis.strategies import SearchStrategy

    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor

    from ._planned import Planned

T = TypeVar("T")


# With a journal an event is queued once it is on disk, which may be in another order than that of the calls.
NOT_WITH_A_JOURNAL = frozenset({"order"})


def own(name: str) -> SearchStrategy[Any]:
    """Return the strategy that is an attribute of the machine. It is looked up when the machine exists."""
    return st.runner().flatmap(lambda machine: getattr(machine, name))


class MachineBase(RuleBasedStateMachine):
    """The base class of all rules. See ``ExecutorMachine``."""

    events: SearchStrategy[Any]
    configs: SearchStrategy[dict[str, Any]] = st.just({})
    priorities: SearchStrategy[float | None] = strategies.priorities()
    keys: SearchStrategy[Any] = st.sampled_from(["key 1", "key 2"])
    seconds: SearchStrategy[float] = st.sampled_from([0.1, 1.0, 5.0, 60.0])
    errors: SearchStrategy[Exception] = st.one_of(
        st.builds(ValueError, st.just("by the machine")),
        st.builds(Skip, st.just("by the machine")),
        st.builds(RateLimited, retry_after=st.sampled_from([1.0, 30.0])),
    )
    gate_answers: SearchStrategy[Any] = st.one_of(
        st.sampled_from([False, True, Wait(1), Wait(0), Deny("by the machine")]),
        st.builds(ValueError, st.just("by the machine")),
    )
    backends: Sequence[str] = BACKENDS
    patience: float = 86_400.0
    wall_start: datetime | None = datetime(2026, 1, 1, 8, tzinfo=UTC)
    refusals: tuple[type[Exception], ...] = (QueueFullError, ExecutorClosedError)
    without_rules: ClassVar[Collection[str]] = ()
    ignored_invariants: Collection[str] = ()

    #: The events that the executor has taken in, for ``@rule(event=ExecutorMachine.appended)``.
    appended: ClassVar[Bundle[Any]] = Bundle("appended")

    # The values that were drawn for this example.
    backend: str
    config: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cls.without_rules:
            if not hasattr(cls, name):
                raise ValueError(f"without_rules names {name!r}, and {cls.__name__} has no such rule")
            setattr(cls, name, None)
        for name in cls.backends:
            backend_options(name)  # raises for an unknown backend

    def __init__(self) -> None:
        super().__init__()
        self._opened: FrozenLoop | None = None
        self._directory: TemporaryDirectory[str] | None = None
        self._deaths = 0
        self._outer_error = sys.exc_info()[1]
        self._seed = 0

    # ---------------------------------------------------------------- for subclasses

    def make_executor(self) -> Executor:
        """Return a new executor. With a journal, this is called again each time the process was killed."""
        raise NotImplementedError(f"{type(self).__name__} must implement make_executor()")

    @property
    def journal_path(self) -> Path:
        """The path for a journal in ``make_executor()``: ``journal=Journal(self.journal_path)``."""
        if self._directory is None:
            self._directory = TemporaryDirectory(prefix="lionpride-machine-", dir=_quick_directory())
        return Path(self._directory.name) / f"{self._deaths}.db"

    @overload
    def call(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T: ...

    @overload
    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T: ...

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """
        Call a function in the event loop, and return its result.

        While an async function waits, the other tasks of the loop go on. While a plain function runs, they do not.

        Raises:
            InvariantBroken: The function has not returned within ``patience`` seconds.
            Exception: Any exception of the function.
        """

        async def within_patience() -> Any:
            """Cancel the function after ``patience`` seconds."""
            with anyio.move_on_after(self.patience):
                result = function(*args, **kwargs)
                return await result if isawaitable(result) else result
            name = getattr(function, "__qualname__", repr(function)).removesuffix(".<locals>.main")
            raise promise_broken("calls_return", f"{name}() has not returned within {self.patience} s")

        return self._loop.call(within_patience)

    async def come_to_rest(self) -> None:
        """
        Wait until every other task waits for something.

        A virtual clock moves only then. So this sleeps for one to two microseconds, chosen at random, so that nothing
        else is due at the same moment.

        Cancellation: at once.
        """
        await anyio.sleep(self._chance.uniform(1e-6, 2e-6))

    def current(self, event: Event | UUID) -> Event | None:
        """
        Return an event as it is in the executor now. None if the executor does not have the event.

        After the process was killed, the event is another object with the same id.
        """
        return self.executor.states.items.get(getattr(event, "id", event), None)

    @property
    def _loop(self) -> FrozenLoop:
        """The event loop. There is a new one each time the process was killed."""
        assert self._opened is not None
        return self._opened

    @property
    def is_running(self) -> bool:
        """Whether the executor is running, which means started, in its block, or in ``run()``."""
        return self._view.has_lifetime

    # ---------------------------------------------------------------- the beginning

    @initialize(
        backend=st.runner().flatmap(lambda machine: st.sampled_from(machine.backends)),
        config=own("configs"),
        seed=st.integers(0, 255),
        started=st.booleans(),
        rests=st.booleans(),
    )
    def open(self, backend: str, config: dict[str, Any], seed: int, started: bool, rests: bool) -> None:
        """
        Begin with a new executor, in a new event loop.

        Args:
            backend: One of ``backends``.
            config: One of ``configs``.
            seed: Any number. It decides what the event loop chooses at random.
            started: Whether the executor is started at once.
            rests: Whether all tasks come to rest after each step. Then no step is cut off halfway, and the machine also
                checks that no task waits for a change that has already happened.

        Raises:
            ValueError: ``make_executor()`` has made a journal with another path than ``journal_path``.
        """
        self.backend, self.config, self._seed, self._rests = backend, config, seed, rests
        self._chance = random.Random(seed)  # noqa: S311  not a secret
        self.taken: dict[UUID, Event] = {}  # the events that were taken in, as they are in this executor
        self.known_ids: set[UUID] = set()  # of all events of this example
        self.cleaned: set[UUID] = set()
        self.finals: dict[UUID, EventStatus] = {}
        self._number_of_schedules = 0
        self._scheduled: set[UUID] = set()  # of the events of schedules, which may come at any time
        self._open_executor(self.wall_start)
        if started:
            self.call(self.executor.start)

    def _open_executor(self, wall_start: datetime | None) -> None:
        self._opened = FrozenLoop(self.backend, self._seed, wall_start)
        self.executor: Executor = self.make_executor()
        self._view = ExecutorView(self.executor)
        journal = self.executor.journal
        if journal is not None and journal.path != self.journal_path.resolve():
            raise ValueError(f"make_executor() must give its journal self.journal_path as the path, not {journal.path}")
        self.failures: Failures = Failures()
        self.gate: Gate = Gate()
        self.confirmed_finals: set[UUID] = set()  # the events whose end was on disk before any task could see it
        self._runs: dict[UUID, int] = {}
        self._planned: list[Planned] = []
        self._abandoned: set[UUID] = set()  # the events of callers that were cancelled and withdrew their event
        self._reruns: list[Event] = []  # the events that ran after their end
        self._unwanted: list[Event] = []  # the events that began after their caller had abandoned them
        self._is_by_hand = False
        self._retries = 0  # the calls of retry() that have not returned
        self.trace: Trace = record(self.executor, check=False)
        self._stop_observing = self.executor.observe(self._follow)
        recorded = Recorded(self._note_retry, self.executor.retry)
        recorded.replaced = self.executor.__dict__.get("retry")
        self.executor.__dict__["retry"] = recorded

    async def _note_retry(self, retry: Callable[..., Awaitable[Any]], *target: Any, **how: Any) -> Any:
        """Call ``retry()``, and let the events begin anew."""
        self._retries += 1
        try:
            taken = await retry(*target, **how)
        finally:
            self._retries -= 1
        for event in taken if isinstance(taken, list) else [taken]:
            self._begin_anew(event)
        return taken

    def _begin_anew(self, event: Event) -> None:
        """Forget the runs and the end of an event that runs again, and that has another object now."""
        if self.taken.get(event.id) is not event:
            for ends in (self.confirmed_finals, self.cleaned, self._abandoned):
                ends.discard(event.id)
            self.finals.pop(event.id, None)
            self._runs.pop(event.id, None)
            self._remember([event])

    def _follow(self, event: Event, _: EventStatus, status: EventStatus) -> None:
        """Observe a transition. Called inside the transition, where an exception would only be logged."""
        if self._retries and event.id in self.finals:
            self._begin_anew(event)
        if status is EventStatus.PROCESSING:
            self._runs[event.id] = self._runs.get(event.id, 0) + 1
            self.failures.take_over(event)
            if event.id in self._abandoned:
                self._unwanted.append(event)
        if event.id in self.finals:
            self._reruns.append(event)
        if status in TERMINAL:
            self.finals.setdefault(event.id, status)
            if self._view.is_strict and not self._is_by_hand:
                self.confirmed_finals.add(event.id)

    # ---------------------------------------------------------------- after each step

    @invariant()
    def everything_agrees(self) -> None:
        """Check the invariants that hold at any time."""
        self.call(self._check)

    async def _check(self) -> None:
        if self._rests:
            await self.come_to_rest()
        with suppress(InvariantBroken):  # the trace keeps it in `broken`
            self.trace.check(at_rest=self._rests)
        for error in self.trace.broken:
            if error.invariant not in self.ignored_invariants and error.invariant not in self._not_defined():
                raise error
        require(not self._reruns, "final_stays", "these went on after their end", *self._reruns)
        require(not self._unwanted, "abandoned_ends", "these have begun after that", *self._unwanted)
        for event in self.taken.values():
            self._check_event(event)

    def _not_defined(self) -> Collection[str]:
        """Return the invariants that this kind of executor need not keep."""
        return () if self.executor.journal is None else NOT_WITH_A_JOURNAL

    def _check_event(self, event: Event) -> None:
        execution = event.execution
        if execution.status in TERMINAL:
            final = self.finals.setdefault(event.id, execution.status)
            require(final is execution.status, "final_stays", f"it was {final} and is {execution.status}", event)
        else:
            is_kept = event.id in self.cleaned or self.current(event) is event
            require(is_kept, "nothing_is_lost", f"this is {execution.status} and not in the executor", event)
        retry = event.retry or self.executor.processor_config.get("retry")
        # A run during which the process was killed may count.
        most = (1 if retry is None else retry.attempts) + self._deaths
        require(execution.attempt <= most, "attempts_are_bounded", f"it makes number {execution.attempt}", event)
        runs = self._runs.get(event.id, 0)
        recorded = execution.attempt + sum(attempt.interrupted for attempt in execution.attempts)
        require(runs <= recorded, "runs_are_recorded", f"it ran {runs} times, of which {recorded} are known", event)

    # ---------------------------------------------------------------- the end

    def teardown(self) -> None:
        """Bring all events to an end, and check that no event is left or lost."""
        has_failed = sys.exc_info()[1] is not self._outer_error  # Hypothesis calls this while the error propagates
        try:
            if self._opened is not None and not has_failed:
                self._finish()
        except Exception:
            has_failed = True
            raise
        finally:
            if has_failed and hasattr(self, "trace"):
                note(f"What has happened, on {self.backend}:\n{self.trace}")
            self._clean_up()

    def _clean_up(self) -> None:
        if self._opened is not None:
            with suppress(Exception):  # the example has failed
                self.call(self.executor.stop, grace=0)
            self._opened.close()
        if self._directory is not None:
            self._directory.cleanup()

    def _finish(self) -> None:
        self.gate.open()
        self.failures.clear()
        for planned in self._planned:
            self.call(planned.cancel)
        self.call(self.executor.stop, grace=0)
        self.call(self.executor.resume)
        self.call(self.executor.start)
        self._join_to_the_end()
        self.call(self.executor.stop)
        self.call(self._check)
        left = [*self.executor.pending_events, *self.executor.processing_events]
        require(not left, "everything_ends", "these have not ended", *left)

    def _join_to_the_end(self) -> None:
        try:
            self.call(self.executor.join)
        except InvariantBroken as exc:
            left = [*self.executor.pending_events, *self.executor.processing_events]
            waits = [self.call(self.executor.explain, event) for event in left]
            raise promise_broken("everything_ends", f"these wait for {waits}", *left) from exc

    def _not_scheduled(self, events: Iterable[Event]) -> list[Event]:
        """Return the events without those of schedules, for which nobody waits."""
        return [event for event in events if event.id not in self._scheduled]

    def _remember(self, events: Iterable[Event]) -> None:
        for event in events:
            self.taken[event.id] = event
            self.known_ids.add(event.id)


def _quick_directory() -> str | None:
    """Return a directory in memory. None if the system has none. No file here has to survive a power failure."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  a private directory is made inside
