"""
What all pending events wait for, and how far the limits are used, without a long stop of the event loop.

``statistics()`` looks at each parked lane and at each key of a limit. With 10,000 keys this takes 100 ms, in which
nothing else runs. A program that is scraped every few seconds must not stop for so long. So a survey is made in pieces
of some 1 ms. Its first piece is made at once: where there are few keys, it is the only one.

Events come, begin and end between two pieces. So what is counted anyway is read at one moment, after the last piece:
how many events are pending, delayed, wait for other events, or have a key that is full or closed. Only how the last of
these are divided by their reasons was counted in pieces, and is brought to the sum of that moment.
"""

from __future__ import annotations

import logging
from threading import Event, get_ident
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeAlias, TypeVar

from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import soon_caller, spawn
from lionpride_exec._model.waiting import WaitReason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from lionpride_exec._base.coordination import Coordination

    from .explanation import LimitUse

T = TypeVar("T")

# The number of events by what they wait for. Those under None wait for whatever an event without a key waits for now.
Parked: TypeAlias = "Mapping[WaitReason | None, int]"

logger = logging.getLogger("lionpride_exec")

# Seconds for which a survey is good, and how many times as long as its pieces took together.
GOOD_FOR: Final = 1.0
REST: Final = 10.0

# Seconds that one piece takes, and after how many steps the clock is read.
PIECE: Final = 0.001
STEPS: Final = 16

# Seconds for which another thread waits for a survey. After that, it gets the one before.
PATIENCE: Final = 0.1


class LimitTotal(NamedTuple):
    """
    How far one limit is used.

    Attributes:
        highest: The used part of the amount, of the key that uses most of it.
        keys: How many keys use something.
        full: How many keys have used up the amount.
    """

    highest: float
    keys: int
    full: int


NOTHING_USED: Final = LimitTotal(0.0, 0, 0)


class Survey(NamedTuple):
    """
    What was found.

    Attributes:
        waits: The number of pending events by what they wait for, when the survey was ready.
        parked: The events whose key is full or closed, by what they wait for.
        limits: How far the limits are used, by their names, or their texts if they have none.
        fullest: What is used of the fullest limits and keys, the fullest first.
    """

    waits: Mapping[WaitReason, int]
    parked: Parked
    limits: Mapping[str, LimitTotal]
    fullest: tuple[LimitUse, ...]


def brought_to(parked: Parked, total: int) -> dict[WaitReason | None, int]:
    """
    Return numbers with the same proportions, and with another sum.

    Args:
        parked: The numbers. Without any, all wait for a limit.
        total: Their new sum.
    """
    known = sum(parked.values())
    if known == total:
        return dict(parked)
    if not known:
        return {WaitReason.LIMIT: total}
    found = {reason: number * total // known for reason, number in parked.items()}
    largest = max(parked, key=lambda reason: parked[reason])
    found[largest] += total - sum(found.values())
    return found


class Surveyor(Generic[T]):
    """
    Makes surveys of one executor, on demand, or other things that take as long.

    Args:
        begin: Begins a survey: makes a generator that yields after each small step, and returns the survey. It raises
            ``RuntimeError`` if no event loop runs.
        coordination: Calls when the executor starts.
    """

    def __init__(self, begin: Callable[[], Generator[None, None, T]], coordination: Coordination) -> None:
        self._begin = begin
        self._coordination = coordination
        self._thread: int | None = None  # of the event loop
        self._call_soon: Callable[[Callable[[], object]], bool] | None = None
        self._steps: Generator[None, None, T] | None = None  # of the survey that is being made
        self._spent = 0.0  # seconds that its pieces have taken so far
        self._has_task = False
        self._found: T | None = None
        self._found_at = 0.0
        self._number = 0  # of the last survey
        self._good_until = 0.0  # until when it is good for fresh(), if it took more than one piece
        self._is_done = Event()  # set, and replaced, when a task has ended
        coordination.launchers.append(self._note_loop)
        self._note_loop()

    async def fresh(self) -> T | None:
        """
        Return a survey that is ready now, or one that took long and is not old yet. Make it in pieces.

        A survey that took more than one piece is good for a second, and for ten times as long as its pieces took. So
        however many events there are, nobody who asks again and again takes more than a tenth of the time. None if
        there is no survey, because a function of the user has raised.

        Cancellation: the next call goes on with the survey.
        """
        if self._steps is not None or monotonic() >= self._good_until:
            number = self._number
            while self._number == number and self._go_on():  # several callers make the same survey together
                await checkpoint()
        return self._found

    def forget(self) -> None:
        """Have the next call of :meth:`fresh` make a new survey: something was changed."""
        self._good_until, self._steps = 0.0, None

    @property
    def is_in_loop(self) -> bool:
        """Whether the caller is in the thread of the event loop in which the executor runs."""
        return self._thread == get_ident() and soon_caller() is not None

    def latest(self) -> T | None:
        """
        Return a survey that is at most a second old, or else the last one, and have another one made. For any thread.

        In the event loop the call takes some 2 ms at most. In other threads it waits 0.1 s at most. None if there is no
        survey yet.
        """
        if self._found is None or monotonic() - self._found_at >= GOOD_FOR:
            if self._thread == get_ident():
                if self._steps is None and self._go_on():
                    self._launch()
            elif self._call_soon is not None:
                done = self._is_done
                if self._call_soon(self._launch):
                    done.wait(PATIENCE)
        return self._found

    def _note_loop(self) -> None:
        """Keep how other threads call the event loop. Called when the executor starts, perhaps in another loop."""
        self._call_soon, self._thread, self._steps, self._has_task = soon_caller(), get_ident(), None, False

    def _launch(self) -> None:
        """
        Start the task that makes the pieces, unless there is one. Called in the event loop.

        A root task: the call of another thread belongs to no task, so AnyIO could not start one in a group.
        """
        if not self._has_task:
            self._has_task = True
            spawn(self._make_pieces, name="survey for metrics", on_end=self._end)

    async def _make_pieces(self) -> None:
        while self._go_on():
            await checkpoint()

    def _end(self) -> None:
        """Wake the threads that wait for the survey."""
        self._has_task = False
        done, self._is_done = self._is_done, Event()
        done.set()

    def _go_on(self) -> bool:
        """Make the next piece of a survey. Return whether there are more. Called in a task of the event loop."""
        began = perf_counter()
        until = began + PIECE
        try:
            if self._steps is None:
                self._steps, self._spent = self._begin(), 0.0
            while True:
                for _ in range(STEPS):
                    next(self._steps)
                if perf_counter() >= until:
                    break
        except StopIteration as end:
            self._found, self._found_at = end.value, monotonic()
            self._good_until = 0.0
            if self._spent:
                spent = self._spent + perf_counter() - began
                self._good_until = self._found_at + max(GOOD_FOR, REST * spent)
            self._number += 1
            self._steps = None
        except RuntimeError:  # a lane or a limit has come or gone meanwhile, or no event loop runs
            self._steps = None
        except Exception:  # a function of the user, such as the amount of a limit, or __repr__()
            self._steps = None
            logger.exception("what the events of executor %s wait for cannot be told", self._coordination.name)
        self._spent += perf_counter() - began
        return self._steps is not None
