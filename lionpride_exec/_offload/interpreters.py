"""Plain functions in interpreters of AnyIO, each in a thread of its own: CPU work in parallel, in one process."""

from __future__ import annotations

from contextvars import Context
from math import inf
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_interpreter
from anyio.lowlevel import checkpoint_if_cancelled

from lionpride_exec._base.backend import running_loop

from .child import Program, run_one_in_interpreter
from .outcome import read
from .sendable import pickled, sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .pausable_timeout import PausableTimeout


class InterpreterCalls:
    """
    The interpreters of one processor.

    Args:
        total: How many functions may work at the same time.

    Attributes:
        places: The same.
    """

    def __init__(self, total: int) -> None:
        self.places: int = total
        self._limiter: CapacityLimiter | None = None
        self._no_limit: CapacityLimiter | None = None
        self._loop: object = None
        self._reading = Context()  # as for processes

    @property
    def working(self) -> int:
        """How many functions work."""
        return 0 if self._limiter is None else int(self._limiter.borrowed_tokens)

    async def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        time_left: PausableTimeout | None = None,
    ) -> Any:
        """
        Call a function in an interpreter, and return what it returns. Wait for a place first, without ``time_left``.

        Raises:
            ExecutionError: Function or arguments cannot be pickled, or the result cannot come back.
            BaseException: What the function raises.

        Cancellation: while the call waits for a place, at once. Later, when the function has returned.
        """
        loop = running_loop()
        if self._limiter is None or loop is not self._loop:
            self._loop, self._limiter, self._no_limit = loop, CapacityLimiter(self.places), CapacityLimiter(inf)
        function, arguments = sendable(function, args, kwargs)
        if time_left is not None:
            time_left.pause()
        async with self._limiter:
            if time_left is not None:
                time_left.resume()
            outcome = await to_interpreter.run_sync(
                run_one_in_interpreter,
                Program.of_this_process(),
                pickled(function),
                arguments,
                limiter=self._no_limit,
            )
        await checkpoint_if_cancelled()  # what has been cancelled meanwhile does not complete
        return self._reading.run(read, outcome)
