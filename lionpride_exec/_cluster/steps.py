"""What a worker tells the server: many steps in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio import CancelScope, current_time

from .cluster_error import ClusterError
from .server_queue import EVENTS_AT_A_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .server_queue import ServerQueue


class _Pending:
    """A step that was not answered yet."""

    __slots__ = ("answer", "answered", "error", "step")

    def __init__(self, step: Sequence[Any]) -> None:
        self.step = step
        self.answered = anyio.Event()
        self.answer: tuple[str, int] = ("", 0)
        self.error: ClusterError | None = None

    def fail(self, error: ClusterError) -> None:
        """Have the caller get an error."""
        self.error = error
        self.answered.set()


class Steps:
    """
    Sends the steps of one worker. While a round trip is under way, further steps are gathered for the next one.

    Args:
        queue: The queue.
        worker: The name of the worker.
    """

    def __init__(self, queue: ServerQueue, worker: str) -> None:
        self._queue = queue
        self._worker = worker
        self._pending: list[_Pending] = []
        self._work = anyio.Event()  # set when there is something to send; replaced before the task looks
        self._is_closing = False
        self._is_closed = False
        self._scope = CancelScope(shield=True)  # of run(); its deadline is set by close_soon()

    async def send(self, *step: Any) -> tuple[str, int]:
        """
        Have a step recorded, and return the answer of the server: a word and the attempt.

        Raises:
            ClusterError: The server was not reached, or it refused, or :meth:`run` has ended.

        Cancellation: the step is sent nevertheless.
        """
        if self._is_closed:
            raise ClusterError("the worker has ended, so nothing more is recorded")
        pending = _Pending(step)
        self._pending.append(pending)
        self._work.set()
        await pending.answered.wait()
        if pending.error is not None:
            # A new error for each caller: tasks must not share a traceback.
            raise ClusterError(str(pending.error), retryable=pending.error.retryable) from pending.error
        return pending.answer

    def close_soon(self, seconds: float) -> None:
        """Have :meth:`run` return once all steps are answered, or after so many seconds. Idempotent."""
        self._is_closing = True
        self._scope.deadline = min(self._scope.deadline, current_time() + seconds)
        self._work.set()

    async def run(self) -> None:
        """
        Send steps until :meth:`close_soon`.

        Cancellation: changes nothing. The task ends after :meth:`close_soon`, once the steps that are left are sent, or
        when their time is over. Steps without an answer raise ClusterError then.
        """
        try:
            with self._scope:
                while True:
                    self._work = anyio.Event()
                    if self._pending:
                        await self._send_next()
                    elif self._is_closing:
                        return
                    else:
                        await self._work.wait()
        finally:
            self._is_closed = True
            for pending in self._pending:
                pending.fail(ClusterError("the server did not answer in time", retryable=True))
            self._pending.clear()

    async def _send_next(self) -> None:
        batch = self._pending[:EVENTS_AT_A_TIME]
        try:
            answers = await self._queue.step(self._worker, [pending.step for pending in batch])
        except ClusterError as error:
            for pending in batch:
                pending.fail(error)
        else:
            for pending, answer in zip(batch, answers, strict=True):
                pending.answer = answer
                pending.answered.set()
        del self._pending[: len(batch)]  # not before: run() fails what is left when its time is over
