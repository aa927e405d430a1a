"""The clock of trio that jumps, and waits for threads and files."""

from __future__ import annotations

import importlib
import math
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import trio
from trio.testing import MockClock, active_thread_count

from lionpride_exec._base.outside_work import at_work

from .asyncio_clock import POLL_INTERVAL
from .waiting_threads import TrioThreads, is_thread_of_trio

if TYPE_CHECKING:
    from collections.abc import Generator

    from .deadlock import Watch

# The statistics in which trio counts tasks that wait for files. Each platform has some of them.
WAITING = ("tasks_waiting_read", "tasks_waiting_write", "tasks_waiting", "tasks_waiting_overlapped")

# trio waits for up to a day at a time, or for less if a task waits until the others are blocked.
FOR_EVER = 3600.0


class Holder(trio.abc.Instrument):
    """
    Decides how long trio waits until its clock jumps: not at all, ``io_patience`` seconds, or for ever.

    ``MockClock`` has a threshold for this. When no task is ready, trio asks its clock how long to wait, and then reads
    the threshold. The threshold is set in that question, so it costs nothing while tasks run.

    Args:
        clock: The clock.
        io_patience: Real seconds without a ready file after which the clock jumps, while files are in use.
        watch: Notified when nothing can go on. None to wait, as trio does.
    """

    def __init__(self, clock: MockClock, io_patience: float, watch: Watch | None) -> None:
        self._clock = clock
        self._io_patience = io_patience
        self._watch = watch
        self._may_be_stuck = False  # no timer, no thread, no file
        self._gave_up = False  # it was stuck again
        self._threads = TrioThreads()
        self._sleep_time = clock.deadline_to_sleep_time
        # The class allows no subclasses, and trio no other class of clocks that jump.
        vars(clock)["deadline_to_sleep_time"] = self.deadline_to_sleep_time

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """
        Return the real seconds until the next deadline, and set the threshold. trio calls this when no task is ready.

        Raises:
            Deadlock: The run was stuck, was cancelled for that, and is stuck again.
        """
        uses_files = self._uses_files()
        threads = active_thread_count()
        if threads:
            threads -= self._threads.waiting(_blocked_tasks())
        threads += trio.lowlevel.current_trio_token() in at_work  # a process counts as a thread
        self._may_be_stuck = deadline == math.inf and not uses_files and not threads
        if self._may_be_stuck and self._watch is not None and self._gave_up:
            assert self._watch.error is not None
            raise self._watch.error
        if deadline == math.inf or threads:
            self._set_threshold(math.inf)  # nothing to jump to, or a thread that will end
        else:
            self._set_threshold(self._io_patience if uses_files else 0)
        seconds = self._sleep_time(deadline)
        # A thread does not tell when it begins to wait for this event loop, so look again.
        return min(seconds, POLL_INTERVAL) if threads else seconds

    def before_io_wait(self, timeout: float) -> None:
        """Find out whether the run is stuck. It is not if a task waits until the others are blocked."""
        watch = self._watch
        if not self._may_be_stuck or timeout < FOR_EVER or watch is None or watch.may_be_woken(is_thread_of_trio):
            return
        if not trio.lowlevel.current_statistics().run_sync_soon_queue_size:  # no report of a thread that has just ended
            trio.lowlevel.current_trio_token().run_sync_soon(self._end_run, watch)

    def _end_run(self, watch: Watch) -> None:
        self._gave_up = not watch.end(_blocked_tasks())

    def _set_threshold(self, threshold: float) -> None:
        if threshold != self._clock.autojump_threshold:
            self._clock.autojump_threshold = threshold

    @staticmethod
    def _uses_files() -> bool:
        # One task waits always: trio's own, which is woken by threads and signals.
        statistics = trio.lowlevel.current_statistics().io_statistics
        return sum(getattr(statistics, name, 0) for name in WAITING) > 1


def _blocked_tasks() -> list[tuple[str, Any]]:
    root = trio.lowlevel.current_root_task()
    nurseries = [] if root is None else list(root.child_nurseries)
    tasks: list[tuple[str, Any]] = []
    while nurseries:
        for task in nurseries.pop().child_tasks:
            nurseries.extend(task.child_nurseries)
            if not task.name.startswith("<"):  # trio's own
                tasks.append((task.name, task.coro))
    return tasks


def trio_options(io_patience: float, watch: Watch | None) -> dict[str, Any]:
    """Return the options of ``trio.run()`` for a clock that jumps."""
    clock = MockClock(autojump_threshold=0)
    return {"clock": clock, "instruments": [Holder(clock, io_patience, watch)]}


@contextmanager
def seeded_scheduler(seed: int) -> Generator[None]:
    """
    Seed the shuffling of ready tasks by trio's scheduler, and restore the state of before at the end.

    The scheduler sorts the tasks before the shuffle only if a flag is set. trio's own plugin for hypothesis sets it.
    """
    scheduler: Any = importlib.import_module("trio._core._run")
    shuffler = getattr(scheduler, "_r", None)
    if not isinstance(shuffler, random.Random) or not hasattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING"):
        yield  # this version of trio shuffles in another way
        return
    state, is_sorted = shuffler.getstate(), scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    shuffler.seed(seed)
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = is_sorted
        shuffler.setstate(state)
