"""
Faults by seed.

A hash of the seed, the point, the event and the number of its visit decides whether a visit meets a fault. It is not
the next number of a random sequence. So two runs meet the same faults in any order of their tasks, on every event loop.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import anyio
from anyio import current_time
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import asyncio_task
from lionpride_exec._executor.executor import Executor
from lionpride_exec.errors import JournalError
from lionpride_exec.testing._trace.labels import Label, class_and_fields, label_by
from lionpride_exec.testing._view import owner_of

from .faults import Cancellation, Crash, Failure, Fault, Injected, InjectedFailure, Latency
from .points import check_point, visiting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from lionpride_exec._events.event import Event

# The scope that cancels a caller.
_scope: ContextVar[anyio.CancelScope | None] = ContextVar("_scope", default=None)

# The order in which several faults of one point happen.
_ORDER = (Crash, Latency, Cancellation, Failure)


class FaultPlan:
    """
    Latency, failures, cancellations and crashes, by seed, at the awaits of an event's way.

    ::

        plan = FaultPlan(7, {"gate:before": Latency(0, 5), "run:after": Failure(share=0.1)})
        with plan.applied(executor):
            ...

    A plan counts visits as long as it exists. For a second run that meets the same faults, make a new plan.

    Args:
        seed: Any number. The seed, the point, the event's label and the number of the visit decide what is injected.
        faults: One fault or several for each point: "gate:before", "run:after" and so on; see :data:`POINTS`.
        label: Names an event so that another run knows it: the name of an attribute, or a function of the event. The
            default is the class of the event, with those of its own fields that are texts or numbers.

    Attributes:
        injected: The faults that were injected so far, in order.

    Raises:
        ValueError: There is no point of this name, or the fault cannot happen there.
        AttributeError: The method of a point is missing in this version of the library.
    """

    def __init__(
        self,
        seed: int,
        faults: Mapping[str, Fault | Iterable[Fault]],
        *,
        label: Label | None = None,
    ) -> None:
        self.seed: int = seed
        self.faults: Mapping[str, tuple[Fault, ...]] = {
            point: _checked(point, (given,) if isinstance(given, Fault) else tuple(given))
            for point, given in faults.items()
        }
        self.injected: list[Injected] = []
        self._label: Label = class_and_fields if label is None else label
        self._visits: Counter[tuple[str, str]] = Counter()
        self._on_crash: Callable[[str], object] | None = None
        self._is_over = False

    def __repr__(self) -> str:
        told = {point: given[0] if len(given) == 1 else list(given) for point, given in self.faults.items()}
        return f"FaultPlan({self.seed}, {told})"

    @contextmanager
    def applied(
        self,
        *executors: Executor | type[Executor],
        on_crash: Callable[[str], object] | None = None,
    ) -> Generator[None]:
        """
        Inject faults inside this block.

        The block replaces methods of classes. So the plan applies to all executors of these classes, and to other
        classes that share their code. Only one plan can be applied at a time. Outside the block a plan costs nothing.
        After a crash, apply the same plan again for the next process: it goes on counting visits.

        Args:
            executors: Executors or their classes.
            on_crash: Called with the name of the point at a :class:`Crash`. It must not wait. It runs in the event
                loop, or at "disk" in the worker thread, where it has to cancel through ``anyio.from_thread``.

        Raises:
            ValueError: The plan has a crash and ``on_crash`` is missing, or no executor is given.
        """
        has_crash = any(isinstance(fault, Crash) for given in self.faults.values() for fault in given)
        if has_crash and on_crash is None:
            raise ValueError("a plan with a Crash needs on_crash, which ends what runs")
        if not executors:
            raise ValueError("give the executor, or its class")
        self._on_crash, self._is_over = on_crash, False
        with visiting(self, self.faults, [each if isinstance(each, type) else type(each) for each in executors]):
            yield

    @staticmethod
    @contextmanager
    def cancellable() -> Generator[anyio.CancelScope]:
        """Open the cancel scope that ``Cancellation(of="caller")`` cancels."""
        with anyio.CancelScope() as scope:
            token = _scope.set(scope)
            try:
                yield scope
            finally:
                _scope.reset(token)

    # ---------------------------------------------------------------- at the points

    async def _visit(self, point: str, event: Event[Any] | None) -> None:
        """Inject the faults that this visit of a point meets."""
        for one in self._due(point, event):
            fault = one.fault
            if isinstance(fault, Crash):
                self._crash(point)
                await checkpoint()  # here the cancellation arrives
                return
            if isinstance(fault, Latency):
                await anyio.sleep(one.seconds)
            elif isinstance(fault, Cancellation):
                self._cancel(fault, event, one.seconds)
                await checkpoint()
            else:
                raise InjectedFailure(str(one))

    def _visit_nowait(self, point: str, event: Event[Any] | None) -> None:
        """Like :meth:`_visit`, but where nothing can be awaited."""
        for one in self._due(point, event):
            if isinstance(one.fault, Crash):
                self._crash(point)
                return
            raise JournalError(f"injected: {one}")

    def _due(self, point: str, event: Event[Any] | None) -> Generator[Injected]:
        """Yield the faults that this visit meets, one after the other, and record each."""
        faults = self.faults.get(point)
        if faults is None or self._is_over:
            return
        label = "" if event is None else label_by(self._label, event)
        self._visits[point, label] += 1
        visit = self._visits[point, label]
        for number, fault in enumerate(faults):
            if fault.visit not in (None, visit) or self._drawn(point, label, visit, number, "share") >= fault.share:
                continue
            least, most = fault._seconds_range
            seconds = least + (most - least) * self._drawn(point, label, visit, number, "seconds")
            one = Injected(point, label, visit, fault, seconds)
            self.injected.append(one)
            yield one
            if self._is_over:
                return

    def _drawn(self, *what: object) -> float:
        """Return a number from 0 to below 1 that depends only on the seed and the arguments."""
        digest = blake2b(repr((self.seed, what)).encode(), digest_size=7).digest()
        return int.from_bytes(digest) / 2**56

    def _crash(self, point: str) -> None:
        assert self._on_crash is not None
        self._is_over = True
        self._on_crash(point)

    @staticmethod
    def _cancel(fault: Cancellation, event: Event[Any] | None, seconds: float) -> None:
        if fault.of == "event":
            executor = None if event is None else owner_of(event)
            if event is not None and isinstance(executor, Executor):
                executor.cancel(event, "injected")
        elif fault.of == "caller":
            scope = _scope.get()
            if scope is not None:
                scope.deadline = min(scope.deadline, current_time() + seconds)
                if not seconds:
                    scope.cancel()
        else:
            task = asyncio_task()
            if task is not None:
                task.cancel()


def _checked(point: str, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """
    Return the faults of a point in the order in which they happen.

    Raises:
        ValueError: There is no point of this name, or a fault cannot happen there.
    """
    where = check_point(point)
    for fault in faults:
        if not isinstance(fault, _ORDER):
            raise ValueError(f"{fault!r} at {point!r} is no fault")  # noqa: TRY004  one error for what is wrong
        if isinstance(fault, Failure) and point.partition(":")[2] not in where.fails:
            raise ValueError(f"nothing fails at {point!r}: that is no code of the user's, and not the disk")
        if where.in_thread and not isinstance(fault, Failure | Crash):
            raise ValueError(f"{point!r} is in a worker thread and knows Failure and Crash only; take 'commit'")
    return tuple(sorted(faults, key=lambda fault: _ORDER.index(type(fault))))
