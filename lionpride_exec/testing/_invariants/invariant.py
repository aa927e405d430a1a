"""
What an invariant is, and what it looks at.

An invariant is a generator of findings: a sentence about what is wrong, with the events concerned. The name of the
function is the name of the invariant, and the first line of its docstring says what has to hold. Each invariant says
*when* it holds, because an executor is not always at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from enum import IntEnum
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.testing._view import ExecutorView

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from lionpride_exec import Event, Executor, Processor
    from lionpride_exec._executor.explanation import Explanation
    from lionpride_exec.testing._processor_view import ProcessorRun, ProcessorView

MAX_EVENTS_SHOWN = 5


class When(IntEnum):
    """When an invariant holds."""

    ALWAYS = 0
    """Between any two steps of the event loop, and inside a transition, when observers are told of it."""
    BETWEEN_STEPS = 1
    """Not inside a transition, which has not yet woken the tasks that wait for it."""
    AT_REST = 2
    """When every task is blocked, so that no task is about to handle what has happened."""


# What was found, and the events concerned.
Finding = tuple[str, Sequence["Event[Any] | UUID"]]
Findings = Generator[Finding]


class InvariantBroken(AssertionError):
    """
    An executor, or a queue on a server, is in a state in which it must never be.

    Attributes:
        invariant: The name of the broken invariant: a key of ``INVARIANTS``.
        events: The events concerned. An id without an event is in the message only.
    """

    def __init__(self, invariant: str, message: str, events: Sequence[Event[Any]] = ()) -> None:
        super().__init__(message)
        self.invariant: str = invariant
        self.events: tuple[Event[Any], ...] = tuple(events)


def describe(event: Event[Any] | UUID) -> str:
    """Return one line about an event and its status."""
    if isinstance(event, UUID):
        return f"{event}: no event of this executor"
    execution = event.execution
    return f"{event}: {execution.status}{f', attempt {execution.attempt}' if execution.attempt else ''}"


def broken(
    name: str,
    sentence: str,
    found: str,
    concerned: Sequence[Event[Any] | UUID],
    describe: Callable[[Event[Any] | UUID], str] = describe,
) -> InvariantBroken:
    """
    Return the error that says what should hold, what was found instead, and the status of the events concerned.

    Args:
        name: The name of the broken invariant.
        sentence: What should hold.
        found: What was found instead.
        concerned: The events concerned, or ids without an event.
        describe: Returns one line about an event.
    """
    shown = [f"  {describe(each)}" for each in concerned[:MAX_EVENTS_SHOWN]]
    if len(concerned) > MAX_EVENTS_SHOWN:
        shown.append(f"  and {len(concerned) - MAX_EVENTS_SHOWN} more")
    told = "\n".join([f"{name}: {sentence}", f"But {found}.", *shown])
    return InvariantBroken(name, told, [each for each in concerned if not isinstance(each, UUID)])


class Look:
    """
    An executor at one moment, as invariants look at it.

    Args:
        executor: The executor.
        at_rest: Whether all tasks are blocked.
    """

    def __init__(self, executor: Executor, *, at_rest: bool = False) -> None:
        self.executor: Executor = executor
        self.processor: Processor | None = executor.processor
        self.view: ExecutorView = ExecutorView(executor)
        self.processor_view: ProcessorView | None = self.view.processor
        self.events: list[Event[Any]] = list(executor.states.items)
        self._explanations: dict[int, Explanation] = {}
        self.when: When = When.ALWAYS if self.view.is_in_transition else When.AT_REST if at_rest else When.BETWEEN_STEPS

    @cached_property
    def now(self) -> float | None:
        """The time of the event loop. None if no loop runs."""
        try:
            return current_time()
        except Exception:  # noqa: BLE001  AnyIO's NoEventLoopError is younger than the oldest AnyIO that we take
            return None

    @property
    def asked(self) -> UUID | None:
        """The event whose gate is being asked, or has just let it in. None if there is none."""
        return None if self.processor_view is None else self.processor_view.asked

    @cached_property
    def statuses(self) -> list[EventStatus]:
        """The own status of each of the events, in their order."""
        return [event.execution.status for event in self.events]

    @cached_property
    def ids_by_status(self) -> dict[EventStatus, list[UUID]]:
        """The ids in the progression of each status."""
        return self.view.ids_by_status()

    def in_status(self, status: EventStatus) -> list[Event[Any]]:
        """Return the events in the progression of a status."""
        return [self.by_number[event_id.int] for event_id in self.ids_by_status[status]]

    @cached_property
    def started(self) -> Mapping[UUID, ProcessorRun]:
        """The events that the processor has started and has not finished with, by id. Empty without a processor."""
        return {} if self.processor_view is None else self.processor_view.running

    @cached_property
    def by_number(self) -> dict[int, Event[Any]]:
        """The events, by the number of their id."""
        return {event.id.int: event for event in self.events}

    @cached_property
    def pending(self) -> list[Event[Any]]:
        """The events whose own status is PENDING."""
        return self._with({EventStatus.PENDING})

    @cached_property
    def ended(self) -> list[Event[Any]]:
        """The events whose own status is final."""
        return self._with(TERMINAL)

    def _with(self, statuses: AbstractSet[EventStatus]) -> list[Event[Any]]:
        return [event for event, status in zip(self.events, self.statuses, strict=True) if status in statuses]

    def explain(self, event: Event[Any]) -> Explanation:
        """Return what an event waits for. Two invariants ask, and nothing happens between them."""
        told = self._explanations.get(id(event))
        if told is None:
            told = self._explanations[id(event)] = self.executor.explain(event)
        return told

    def named(self, event_id: UUID) -> Event[Any] | UUID:
        """Return the event with an id, or the id if there is no event."""
        return self.executor.states.items.get(event_id, event_id)

    def describe(self, event: Event[Any] | UUID) -> str:
        """Return one line about an event, its status and what it waits for. The executor may be broken in any way."""
        told = describe(event)
        if not isinstance(event, UUID):
            with suppress(Exception):
                told += f"; waits for: {self.executor.explain(event).waits_for}"
        return told


@attrs.frozen
class Invariant:
    """
    What has to hold, and when.

    Attributes:
        name: The name of the function.
        sentence: What has to hold.
        when: When it has to hold.
        find: Yields the findings.
    """

    name: str
    sentence: str
    when: When
    find: Callable[[Look], Findings]

    def check(self, look: Look) -> None:
        """
        Check that the invariant holds.

        Raises:
            InvariantBroken: The invariant is broken.
        """
        for found, concerned in self.find(look):
            raise broken(self.name, self.sentence, found, concerned, look.describe)


# In the order of the checks: an invariant that others rely on comes first.
CHECKS: Final[dict[str, Invariant]] = {}


def invariant(when: When = When.ALWAYS) -> Callable[[Callable[[Look], Findings]], Callable[[Look], Findings]]:
    """Register a function as an invariant."""

    def note(find: Callable[[Look], Findings]) -> Callable[[Look], Findings]:
        """Add the function to the table."""
        sentence = (find.__doc__ or "").strip().partition("\n")[0]
        CHECKS[find.__name__] = Invariant(find.__name__, sentence, when, find)
        return find

    return note


def _no_findings() -> Findings:
    yield from ()


def invariant_of_processor(
    find: Callable[[Look, Processor, ProcessorView], Findings],
) -> Callable[[Look], Findings]:
    """Register a function as an invariant of the processor, which holds always once there is a processor."""

    @wraps(find)
    def find_if_any(look: Look) -> Findings:
        """Return the findings. There are none before the executor has a processor."""
        if look.processor is None or look.processor_view is None:
            return _no_findings()
        return find(look, look.processor, look.processor_view)

    return invariant()(find_if_any)
