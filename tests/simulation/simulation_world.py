"""
A world in which the same seed is the same run.

What is left to chance in a process is taken out: threads (what they were to do is done in the event loop), wall clocks
(they follow that of the event loop), ids, the time slices of workers, and the order of sets of tasks.
"""

import datetime as dt
import gc
import random
import time
from contextlib import ExitStack, contextmanager
from unittest.mock import patch
from uuid import UUID

import anyio
import anyio._backends._asyncio as asyncio_backend
from anyio.lowlevel import checkpoint
from parts import journal_worker_thread, wall_clock

in_place_of_threads = journal_worker_thread.in_place_of_threads

T0 = 1_800_000_000.0


def now():
    """Give the wall-clock time: that of the event loop, from a moment on."""
    try:
        return T0 + anyio.current_time()
    except Exception:  # noqa: BLE001  no event loop
        return T0


class InOrder(dict):
    """A set that is iterated in the order in which things came."""

    def add(self, item):
        self[item] = None

    def discard(self, item):
        self.pop(item, None)

    def remove(self, item):
        del self[item]


class Scope(asyncio_backend.CancelScope):
    """Cancels tasks in the order in which they came."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._tasks, self._child_scopes = InOrder(), InOrder()


async def run_here(function):
    """Do what the thread of a journal would, in the event loop."""
    await checkpoint()
    return function()


@contextmanager
def repeatable(seed, time_slice):
    """Have all that runs in this block be a function of the seed."""
    ids = random.Random(f"ids {seed}")  # noqa: S311  it is to be guessed
    changes = [
        patch("lionpride_exec._processing.workers.TIME_SLICE", time_slice),
        patch("lionpride_exec._tracking.subscriptions.TIME_SLICE", time_slice),
        patch("lionpride_exec._model.element.random_id", lambda: UUID(int=ids.getrandbits(128), version=4)),
        patch("lionpride_exec._model.element.ready_ids", []),
        wall_clock.wall_clock.replaced(lambda: dt.datetime.fromtimestamp(now(), dt.UTC)),
        patch.object(time, "time", now),
        patch.object(asyncio_backend, "CancelScope", Scope),
    ]
    was_enabled = gc.isenabled()
    gc.disable()  # what is collected may wake somebody
    token = in_place_of_threads.set(run_here)
    try:
        with ExitStack() as stack:
            for change in changes:
                stack.enter_context(change)
            yield
    finally:
        in_place_of_threads.reset(token)
        if was_enabled:
            gc.enable()
