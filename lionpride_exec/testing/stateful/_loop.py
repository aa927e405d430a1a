"""
An event loop in its own thread, which stands still between two calls.

A state machine is plain code that calls the executor again and again. With a clock that jumps, a random amount of time
would pass between two calls. So a task of the event loop blocks the thread until the next call. Nothing moves
meanwhile, and a replayed example runs the same way. For the same reason a journal works in this thread, and its work
takes some steps of the event loop.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from lionpride_exec._journal.worker_thread import in_place_of_threads
from lionpride_exec.testing._time.run import backend_options, seeded_order
from lionpride_exec.testing._time.virtual_wall import wall_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from anyio.abc import TaskGroup

T = TypeVar("T")

# Before the event loop ends, all tasks take their first step. Otherwise asyncio would warn about them.
LAST_STEPS = 20


class FrozenLoop:
    """
    An event loop that runs async functions one after the other, under the virtual clock of a backend.

    Args:
        backend: One of ``BACKENDS``.
        seed: Decides the order in which trio runs tasks that are ready, and the steps that the work of a journal takes.
        wall_start: The time of day at the virtual time 0. The wall clock of the package follows the virtual clock until
            the loop is closed. None: the wall clock is real.
    """

    def __init__(self, backend: str, seed: int = 0, wall_start: datetime | None = None) -> None:
        name, options = backend_options(backend)
        options, wall = wall_from(wall_start, options)
        self._wall = ExitStack()
        self._wall.enter_context(wall)
        self.group: TaskGroup | None = None  # its tasks go on from one call to the next
        self._calls: SimpleQueue[Callable[[], Awaitable[Any]] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._is_over = False
        self._thread = Thread(
            target=self._run,
            args=(backend, seed, name, options),
            name=f"{backend} of a state machine",
            daemon=True,
        )
        self._thread.start()

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """
        Run an async function and return its result. The other tasks run meanwhile.

        Raises:
            RuntimeError: The event loop has ended.
            BaseException: An exception of the function, or an exception that ended the event loop.
        """
        if self._is_over:
            raise RuntimeError("the event loop has ended")
        self._calls.put(function)
        answer, error = self._answers.get()
        if error is not None:
            raise error
        result: T = answer
        return result

    def close(self) -> None:
        """End the event loop with all its tasks, and wait until it has ended. Idempotent."""
        self._calls.put(None)
        self._thread.join()
        self._wall.close()

    def _run(self, backend: str, seed: int, name: str, options: dict[str, Any]) -> None:
        error: BaseException | None = None
        try:
            with seeded_order(seed, backend):
                anyio.run(self._serve, seed, backend=name, backend_options=options)
        except BaseException as exc:  # noqa: BLE001  raised by call()
            error = exc
        self._is_over = True
        self._answers.put((None, error or RuntimeError("the event loop has ended")))

    async def _serve(self, seed: int) -> None:
        in_place_of_threads.set(SlowDisk(seed).run)
        async with anyio.create_task_group() as group:
            self.group = group
            while (function := self._calls.get()) is not None:  # blocks the thread, on purpose
                try:
                    self._answers.put((await function(), None))
                except Exception as exc:  # noqa: BLE001  raised by call()
                    self._answers.put((None, exc))
            await _take_steps(LAST_STEPS)
            group.cancel_scope.cancel()


class SlowDisk:
    """
    Does the work of a journal in the event loop, in place of the thread of the journal.

    Args:
        seed: Decides how many steps of the event loop pass before and after the work. Other tasks run meanwhile.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  not a secret

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function after some steps, and return after some more. A cancellation does not prevent the call."""
        before, after = self._random.choices(range(4), k=2)
        try:
            await _take_steps(before)
        finally:
            result = function()
        await _take_steps(after)
        return result


async def _take_steps(number: int) -> None:
    for _ in range(number):
        await checkpoint()
