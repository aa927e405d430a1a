"""Calls of many tasks in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
from anyio import CancelScope, current_time

from lionpride_exec.errors import ClusterError

from .server_queue import EVENTS_AT_A_TIME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

# Bytes that one call carries at most, unless a single question is longer.
MAX_BYTES = 4_000_000

Q = TypeVar("Q")
A = TypeVar("A")


class Answer(Generic[Q, A]):
    """
    The answer to a question, once there is one.

    Attributes:
        question: What was asked.
        error: Why there is no answer. None if there is one, or may still come.
    """

    __slots__ = ("_answered", "_answers", "_then", "error", "question")

    def __init__(self, question: Q, answered: anyio.Event, then: Callable[[Answer[Q, A]], None] | None) -> None:
        self.question: Q = question
        self.error: ClusterError | None = None
        self._answered = answered
        self._answers: list[A] = []  # one, once there is an answer
        self._then = then

    def get(self) -> A:
        """
        Return the answer that has come.

        Raises:
            ClusterError: The server was not reached, or it refused.
        """
        if self.error is not None:
            # A new error for each caller: tasks must not share a traceback.
            raise ClusterError(str(self.error), retryable=self.error.retryable) from self.error
        return self._answers[0]

    async def wait(self) -> A:
        """Like :meth:`get`, but wait for the answer. Cancellation: ends the wait only."""
        await self._answered.wait()
        return self.get()

    def _give(self, answer: A) -> None:
        self._answers.append(answer)
        self._tell()

    def _fail(self, error: ClusterError) -> None:
        self.error = error
        self._tell()

    def _tell(self) -> None:
        self._answered.set()
        if self._then is not None:
            self._then(self)


class RoundTrips(Generic[Q, A]):
    """
    Sends questions to the server, up to EVENTS_AT_A_TIME in one call.

    While a call is under way, further questions are gathered for the next one. So they arrive in their order.

    Args:
        call: Sends questions, and returns an answer for each.
        size_of: Returns about how many bytes a question has. Default: not many.
    """

    def __init__(
        self, call: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], size_of: Callable[[Q], int] | None = None
    ) -> None:
        self._call = call
        self._size_of = size_of
        self._pending: list[Answer[Q, A]] = []
        self._work = anyio.Event()  # set when there is something to send; replaced before the task looks
        self._new_signal: Callable[[], anyio.Event] = anyio.Event
        self._is_closing = False
        self._is_closed = False
        self._scope = CancelScope(shield=True)  # of run(); its deadline is set by close_soon()

    def ask(self, question: Q, then: Callable[[Answer[Q, A]], None] | None = None) -> Answer[Q, A]:
        """
        Send a question, and return what its answer will be in.

        Args:
            question: What is asked.
            then: Called as soon as there is an answer or an error, even if no task waits. May neither wait nor raise.

        Raises:
            ClusterError: :meth:`run` has ended.
        """
        if self._is_closed:
            raise ClusterError("the connection to the cluster has been closed, so nothing more is sent")
        answer = Answer(question, self._new_signal(), then)
        self._pending.append(answer)
        if len(self._pending) == 1:  # else run() is sending, and looks again after that
            self._work.set()
        return answer

    async def send(self, question: Q) -> A:
        """
        Send a question, and return its answer.

        Raises:
            ClusterError: The server was not reached, or it refused, or :meth:`run` has ended.

        Cancellation: the question is sent.
        """
        return await self.ask(question).wait()

    def close_soon(self, seconds: float) -> None:
        """Have :meth:`run` return once all questions are answered, or after so many seconds. Idempotent."""
        self._is_closing = True
        self._scope.deadline = min(self._scope.deadline, current_time() + seconds)
        self._work.set()

    async def run(self) -> None:
        """
        Send questions until :meth:`close_soon`.

        Cancellation: changes nothing. The task ends after :meth:`close_soon`, once the questions that are left are
        sent, or when their time is over. Questions without an answer raise ClusterError then.
        """
        # anyio.Event() looks for the backend each time, for 1 us, and then makes an object of this class.
        self._new_signal = type(anyio.Event())
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
            left, self._pending = self._pending, []
            for answer in left:
                answer._fail(ClusterError("the server did not answer in time", retryable=True))

    async def _send_next(self) -> None:
        batch = self._next_batch()
        try:
            answers = await self._call([one.question for one in batch])
        except ClusterError as error:
            del self._pending[: len(batch)]  # not before the call: run() fails what is left when its time is over
            for one in batch:
                one._fail(error)
        else:
            del self._pending[: len(batch)]
            for one, answer in zip(batch, answers, strict=True):
                one._give(answer)

    def _next_batch(self) -> list[Answer[Q, A]]:
        """Return the questions of the next call, one at least."""
        batch = self._pending[:EVENTS_AT_A_TIME]
        if self._size_of is not None:
            size = 0
            for number, one in enumerate(batch):
                size += self._size_of(one.question)
                if size > MAX_BYTES and number:
                    return batch[:number]
        return batch
