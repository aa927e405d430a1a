"""
What an invariant is, and what it looks at.

An invariant is a generator that finds what breaks it: a sentence, and the events concerned. Its name is its name, the
first line of its docstring what it promises. It says *when* it holds, since an executor is not at every moment at rest.
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
from lionpride_exec.testing._view import ExecutorView, ProcessorView

if TYPE_CHECKING:
    from lionpride_exec import Event, Executor, Processor

MAX_EVENTS_SHOWN = 5


class When(IntEnum):
    """When an invariant holds."""

    ALWAYS = 0
    """Between any two steps of the event loop, and inside a transition, when observers are told of it."""
    BETWEEN_STEPS = 1
    """Not inside a transition: that is still waking those who wait for it."""
    AT_REST = 2
    """When every task is blocked, so that nobody is on the way to see to what has happened."""


# What was found, and the events it was found with.
Finding = tuple[str, Sequence["Event[Any] | UUID"]]
Findings = Generator[Finding]


class InvariantBroken(AssertionError):
    """
    An executor is in a state in which it must never be.

    Attributes:
        invariant: Which invariant is broken: a key of ``INVARIANTS``.
        events: The events concerned; an id that stands for no event is in the message only.
    """

    def __init__(self, invariant: str, message: str, events: Sequence[Event[Any]] = ()) -> None:
        super().__init__(message)
        self.invariant: str = invariant
        self.events: tuple[Event[Any], ...] = tuple(events)


def describe(event: Event[Any] | UUID) -> str:
    """Tell how an event stands, in a line."""
    if isinstance(event, UUID):
        return f"{event}: no event of this executor"
    execution = event.execution
    return f"{event!r}: {execution.status}{f', attempt {execution.attempt}' if execution.attempt else ''}"


def broken(
    name: str,
    sentence: str,
    found: str,
    concerned: Sequence[Event[Any] | UUID],
    describe: Callable[[Event[Any] | UUID], str] = describe,
) -> InvariantBroken:
    """
    Make the error that says what should hold, what was found instead, and how the events concerned stand.

    Args:
        name: Of what is broken.
        sentence: What should hold.
        found: What does not.
        concerned: The events that it was found with, or ids that stand for no event.
        describe: Tells about one of them in a line.
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
        executor: Which one.
        at_rest: Whether all tasks are blocked.
    """

    def __init__(self, executor: Executor, *, at_rest: bool = False) -> None:
        self.executor: Executor = executor
        self.processor: Processor | None = executor.processor
        self.view: ExecutorView = ExecutorView(executor)
        self.processor_view: ProcessorView | None = self.view.processor
        self.events: list[Event[Any]] = list(executor.states.items)
        self.when: When = When.ALWAYS if self.view.is_in_transition else When.AT_REST if at_rest else When.BETWEEN_STEPS

    @cached_property
    def now(self) -> float | None:
        """The time of the event loop; None: none runs."""
        try:
            return current_time()
        except Exception:  # noqa: BLE001  AnyIO's NoEventLoopError is younger than the oldest AnyIO that we take
            return None

    @property
    def asked(self) -> UUID | None:
        """The event whose gate is being asked, or has just let it in. None if there is none."""
        return None if self.processor_view is None else self.processor_view.asked

    @cached_property
    def pending(self) -> list[Event[Any]]:
        """The events that are PENDING by their own status."""
        return [event for event in self.events if event.execution.status is EventStatus.PENDING]

    @cached_property
    def ended(self) -> list[Event[Any]]:
        """The events that have ended by their own status."""
        return [event for event in self.events if event.execution.status in TERMINAL]

    def named(self, event_id: UUID) -> Event[Any] | UUID:
        """Give the event with an id, if there is one."""
        return self.executor.states.items.get(event_id, event_id)

    def describe(self, event: Event[Any] | UUID) -> str:
        """Tell how an event stands, and what it waits for; of a broken executor, so nothing is relied on."""
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
        name: Of the function.
        sentence: What it promises.
        when: At which moments.
        find: Gives what breaks it.
    """

    name: str
    sentence: str
    when: When
    find: Callable[[Look], Findings]

    def check(self, look: Look) -> None:
        """
        Look whether it holds.

        Raises:
            InvariantBroken: It does not.
        """
        for found, concerned in self.find(look):
            raise broken(self.name, self.sentence, found, concerned, look.describe)


# In the order in which they are checked: what others build on comes first.
CHECKS: Final[dict[str, Invariant]] = {}


def invariant(when: When = When.ALWAYS) -> Callable[[Callable[[Look], Findings]], Callable[[Look], Findings]]:
    """Have a function be an invariant."""

    def note(find: Callable[[Look], Findings]) -> Callable[[Look], Findings]:
        """Take it into the table."""
        sentence = (find.__doc__ or "").strip().partition("\n")[0]
        CHECKS[find.__name__] = Invariant(find.__name__, sentence, when, find)
        return find

    return note


def invariant_of_processor(
    find: Callable[[Look, Processor, ProcessorView], Findings],
) -> Callable[[Look], Findings]:
    """Have a function be an invariant that always holds of the processor, once there is one."""

    @wraps(find)
    def find_if_any(look: Look) -> Findings:
        if look.processor is not None and look.processor_view is not None:
            yield from find(look, look.processor, look.processor_view)

    return invariant()(find_if_any)
