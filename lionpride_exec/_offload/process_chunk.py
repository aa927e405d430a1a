"""
Some calls of one function that are sent to a process together.

Each call has its own outcome, also if others of its chunk are cancelled, kill their process, or take long:

- The process writes each outcome to a file (``results_file.py``). If the process dies, one call has died with it: the
  first without an outcome. Those behind it have not begun, and are sent again.
- If a chunk takes longer than expected, the calls that have not begun are taken back, and go to other processes.
- If a call is cancelled that has not begun, it is taken back. If it has begun, its process is killed. The calls that
  had ended keep their outcomes, and the others are sent again.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
from anyio import to_process
from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import running_loop, spawn
from lionpride_exec._base.outside_work import outside_work
from lionpride_exec.errors import ConfigurationError, ExecutionError

from .child import run_many, run_one
from .results_file import ResultsReader

if TYPE_CHECKING:
    from collections.abc import Sequence

# A process begins no call of a chunk after this many seconds. After the second number the calls are taken back that
# have not begun: one call takes longer than was expected of all.
LAST_BEGIN: Final = 0.6
TAKEN_BACK: Final = 0.8


class OneCall(Protocol):
    """
    A call, as its chunk sees it.

    Attributes:
        arguments: The pickled arguments.
        chunk: The chunk that it is in.
    """

    arguments: bytes
    chunk: Any

    def begin(self) -> None:
        """Note that a process has the call, alone or with others."""

    def give(self, outcome: bytes) -> None:
        """Learn what the function has returned or raised."""

    def fail(self, error: BaseException) -> None:
        """Learn that there will be no outcome."""


class KindOfCalls(Protocol):
    """
    The calls of one function, as a chunk sees them.

    Attributes:
        pickled: The function.
    """

    pickled: bytes


class ChunkOwner(Protocol):
    """
    What sends chunks.

    Attributes:
        ready: How many processes are known to have started.
        limiter: Of the processes that work.
    """

    ready: int
    limiter: anyio.CapacityLimiter

    @property
    def working(self) -> int:
        """How many processes work."""
        ...

    def dispatch(self) -> None:
        """Send calls to the processes that are free."""

    def put_back(self, calls: Sequence[Any]) -> None:
        """Let calls that have not begun wait again."""

    def over(self, chunk: ProcessChunk) -> None:
        """Learn that a chunk has ended."""

    def took(self, kind: Any, seconds: float) -> None:
        """Learn how many seconds a call took."""


def is_ready() -> None:
    """Do nothing, in a process that has just started."""


def _check_no_interpreters() -> None:
    """
    Check that a process can be started.

    uvloop starts one by ``fork()``, and CPython crashes in a fork of a program that has interpreters:
    https://github.com/python/cpython/issues/139759. AnyIO keeps its interpreters for the next call.

    Raises:
        ConfigurationError: The loop is one of uvloop, and there are interpreters.
    """
    interpreters, uvloop = sys.modules.get("concurrent.interpreters"), sys.modules.get("uvloop")
    if interpreters is None or uvloop is None or not isinstance(running_loop(), uvloop.Loop):
        return
    if len(interpreters.list_all()) > 1:
        raise ConfigurationError(
            "uvloop cannot start a process in a program that has called functions in interpreters: the process would "
            "crash (CPython issue 139759). Use asyncio or trio, or processes only"
        )


def _not_made(error: Exception) -> ExecutionError:
    """Return the error of a call for which there was no process."""
    reason: BaseException = error.__cause__ or error
    text = f"no process could make the call: {type(reason).__name__}: {reason}"
    if isinstance(reason, ConfigurationError):  # as if the main module started an executor while it was imported
        return ExecutionError(text, cause=error, retryable=False)
    if isinstance(error, anyio.BrokenWorkerProcess) and error.__cause__ is not None:
        text += ' (each process imports the main module, so a script needs if __name__ == "__main__":)'
    return ExecutionError(text, cause=error)


def _nothing() -> None:
    """Do nothing when the task of a chunk has ended, which has done all by itself."""


class ProcessChunk:
    """
    Some calls of one function, in one process.

    The chunk has a task of its own, since each of the tasks that wait for its calls may be cancelled.

    Args:
        owner: What sends chunks.
        kind: The function.
        calls: The calls, at least one.

    Attributes:
        calls: The calls that are in the process, or will be.
        is_sent: Whether the process has them.
    """

    def __init__(self, owner: ChunkOwner, kind: KindOfCalls, calls: Sequence[OneCall]) -> None:
        self.calls: list[OneCall] = list(calls)
        self.is_sent: bool = False
        self._owner = owner
        self._kind = kind
        self._file: ResultsReader | None = None
        self._number = 0  # of calls that have an outcome
        self._error: ExecutionError | None = None
        self._killed = False
        self._is_over = anyio.Event()
        self._scope = anyio.CancelScope()
        for one in self.calls:
            one.chunk = self

    def start(self) -> None:
        """Send the calls soon."""
        spawn(self._run, "calls in a process", _nothing)

    def take_back(self) -> None:
        """Let the calls that have not begun wait again, and give those that have ended their outcomes."""
        if self._file is None or not self.is_sent:
            return
        self._file.stop()
        self._give(self._file.read())
        # The first call without an outcome may have begun. No other can have: see run_many().
        rest = self.calls[self._number + 1 :]
        del self.calls[self._number + 1 :]
        self._owner.put_back(rest)

    async def kill(self) -> None:
        """Kill the process, and wait until it is dead."""
        self._killed = True
        self._scope.cancel()
        await self._is_over.wait()

    # ---------------------------------------------------------------- the task

    async def _run(self) -> None:
        try:
            with self._scope, outside_work():
                await checkpoint()  # calls of a group that is being cancelled are withdrawn meanwhile
                await self._start_process()
                if self.calls:
                    await self._send()
        except Exception as exc:  # noqa: BLE001  whatever has happened, the calls learn of it
            self._error = _not_made(exc)
        finally:
            self._end()

    async def _start_process(self) -> None:
        """Start a process, unless one is known to be idle. AnyIO loses a process whose start is cancelled."""
        owner = self._owner
        if owner.working < owner.ready:
            return
        _check_no_interpreters()
        with anyio.CancelScope(shield=True):
            await to_process.run_sync(is_ready, limiter=owner.limiter)
        owner.ready += 1

    async def _send(self) -> None:
        self.is_sent = True
        for one in self.calls:
            one.begin()
        try:
            if len(self.calls) > 1 and self._open_file():
                await self._send_many()
            else:
                await self._send_one()
        except anyio.BrokenWorkerProcess as exc:
            self._owner.ready -= 1
            self._error = ExecutionError("the process that ran the function has died", cause=exc)
        except anyio.get_cancelled_exc_class():
            self._owner.ready -= 1
            raise

    def _open_file(self) -> bool:
        """Make the file of the results. Return False if that is not possible: then the first call is sent alone."""
        try:
            self._file = ResultsReader([one.arguments for one in self.calls])
        except OSError:
            return False
        return True

    async def _send_one(self) -> None:
        rest = self.calls[1:]
        del self.calls[1:]
        self._owner.put_back(rest)
        outcome, seconds = await to_process.run_sync(
            run_one, self._kind.pickled, self.calls[0].arguments, cancellable=True, limiter=self._owner.limiter
        )
        self._owner.took(self._kind, seconds)
        self._release([outcome])

    async def _send_many(self) -> None:
        assert self._file is not None
        broken: anyio.BrokenWorkerProcess | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._take_back_late)
            try:
                seconds = await to_process.run_sync(
                    run_many,
                    self._kind.pickled,
                    self._file.path,
                    LAST_BEGIN,
                    cancellable=True,
                    limiter=self._owner.limiter,
                )
            except anyio.BrokenWorkerProcess as exc:
                broken = exc
            else:
                outcomes = self._file.read()
                self._owner.took(self._kind, seconds / max(1, self._number + len(outcomes)))
                self._release(outcomes)
            group.cancel_scope.cancel()
        if broken is not None:
            raise broken

    async def _take_back_late(self) -> None:
        await anyio.sleep(TAKEN_BACK)
        self.take_back()
        self._owner.dispatch()

    def _give(self, outcomes: Sequence[bytes]) -> None:
        for outcome in outcomes:
            self.calls[self._number].give(outcome)
            self._number += 1

    def _release(self, outcomes: Sequence[bytes]) -> None:
        """Let the process have its next calls, and give these their outcomes."""
        at = self._number + len(outcomes)
        self._owner.put_back(self.calls[at:])
        del self.calls[at:]
        self.is_sent = False
        self._owner.over(self)
        self._owner.dispatch()
        self._give(outcomes)

    def _end(self) -> None:
        """Tell the calls that have no outcome, or let them wait again."""
        if self._file is not None:
            self._give(self._file.read())
            self._file.close()
        left = self.calls[self._number :]
        if left and not self._killed:
            error = self._error or ExecutionError("the event loop ended while the function ran")
            left[0].fail(error)
        self._owner.put_back(left[1:])
        self.is_sent = False
        self._owner.over(self)
        self._owner.dispatch()
        self._is_over.set()
