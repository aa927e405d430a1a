"""
What all pending events wait for, and how far the limits are used, without a long stop of the event loop.

``statistics()`` looks at each parked lane and at each key of a limit. With 10,000 keys this takes 100 ms, in which
nothing else runs. A program that is scraped every few seconds must not stop for so long. So a survey is made in pieces
of some 1 ms. Its first piece is made at once: where there are few keys, it is the only one.
"""

from __future__ import annotations

import logging
from threading import Event, get_ident
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import soon_caller, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from lionpride_exec._base.coordination import Coordination
    from lionpride_exec._model.waiting import WaitReason

logger = logging.getLogger("lionpride_exec")

# Seconds for which a survey is good.
GOOD_FOR: Final = 1.0

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
        waits: The number of pending events by what they wait for.
        limits: How far the limits are used, by their names, or their texts if they have none.
    """

    waits: Mapping[WaitReason, int]
    limits: Mapping[str, LimitTotal]


class Surveyor:
    """
    Makes surveys of one executor, on demand.

    Args:
        begin: Begins a survey: makes a generator that yields after each small step, and returns the survey. It raises
            ``RuntimeError`` if no event loop runs.
        coordination: Calls when the executor starts.
    """

    def __init__(self, begin: Callable[[], Generator[None, None, Survey]], coordination: Coordination) -> None:
        self._begin = begin
        self._coordination = coordination
        self._thread: int | None = None  # of the event loop
        self._call_soon: Callable[[Callable[[], object]], bool] | None = None
        self._steps: Generator[None, None, Survey] | None = None  # of the survey that is being made
        self._has_task = False
        self._found: Survey | None = None
        self._found_at = 0.0
        self._is_done = Event()  # set, and replaced, when a task has ended
        coordination.launchers.append(self._note_loop)
        self._note_loop()

    def latest(self) -> Survey | None:
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
        until = perf_counter() + PIECE
        try:
            if self._steps is None:
                self._steps = self._begin()
            while perf_counter() < until:
                for _ in range(STEPS):
                    next(self._steps)
        except StopIteration as end:
            self._found, self._found_at = end.value, monotonic()
            self._steps = None
        except RuntimeError:  # a lane or a limit has come or gone meanwhile, or no event loop runs
            self._steps = None
        except Exception:  # a function of the user, such as the amount of a limit, or __repr__()
            self._steps = None
            logger.exception("what the events of %s wait for cannot be told", self._coordination.name)
        return self._steps is not None
