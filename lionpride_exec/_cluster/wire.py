"""
The connection to the server. This is the only module that knows which client library is used (coredis).

A wire has one client for commands, and one for each read that blocks. The pool of a client loses a place where such a
read is interrupted, so that client is made anew after each error. A read that blocks is not cancelled: it ends within
half a second, or when there is something to read.

Each client is entered in a task of its own, in a scope that is shielded. A cancelled task that leaves a client would
raise ``ClosedResourceError`` in place of its cancellation (coredis 6.9).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import anyio
import coredis
import coredis.exceptions
import coredis.retry
import msgspec
from anyio import CancelScope, current_time, fail_after
from anyio.lowlevel import checkpoint

from .cluster_error import ClusterError
from .scripts import script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from anyio.abc import TaskGroup

T = TypeVar("T")

Client = coredis.Redis[bytes]

# Seconds for one command. A script takes some milliseconds; a server that restarts answers late.
COMMAND_SECONDS = 10.0

# Seconds that connecting may take.
CONNECT_SECONDS = 5.0

# Seconds between two tries; each is twice as long as the one before.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5

# Seconds that a read of new entries blocks.
READ_SECONDS = 0.5

# Refusals that pass by themselves, for example while another server takes over.
PASSING = (
    coredis.exceptions.ReadOnlyError,
    coredis.exceptions.ClusterDownError,
    coredis.exceptions.TryAgainError,
    coredis.exceptions.UnblockedError,
)


class NotReachedError(Exception):
    """The server was not reached, or the answer did not arrive. A command may have been run."""


class Wire:
    """
    The connection to one server.

    Args:
        url: A URL that coredis knows: ``redis://``, ``rediss://`` or ``unix://``.
        shown_url: The same without a password, for messages.
        patience: Seconds for which :meth:`call` tries again.

    Attributes:
        losses: How many answers may have been lost. A worker compares it to learn whether it has to look for events
            that the server gave it in a lost answer.
    """

    def __init__(self, url: str, shown_url: str, *, patience: float) -> None:
        self._url = url
        self._shown_url = shown_url
        self._patience = patience
        self._group: TaskGroup | None = None
        self._client: Client | None = None
        self.losses = 0

    # ---------------------------------------------------------------- opening

    @asynccontextmanager
    async def opened(self, group: TaskGroup) -> AsyncIterator[None]:
        """
        Connect, and disconnect at the end of the block.

        Args:
            group: Runs the tasks that hold the clients. It must outlive the block.

        Cancellation: the clients are left in order. That takes as long as connecting may take, at most.
        """
        self._group = group
        try:
            async with self._entered(self._new_client(max_connections=16)) as self._client:
                yield
        finally:
            self._client = None

    @asynccontextmanager
    async def _entered(self, client: Client) -> AsyncIterator[Client]:
        """Have a client entered in a task of its own for as long as the block runs."""
        assert self._group is not None, "the wire is not open"
        entered, done, left = anyio.Event(), anyio.Event(), anyio.Event()
        failures: list[Exception] = []  # why the client could not be entered

        async def hold() -> None:
            """Enter the client, and leave it when the block is over."""
            with CancelScope(shield=True):
                try:
                    async with client:
                        entered.set()
                        await done.wait()
                except Exception as error:  # noqa: BLE001  reported below; of no interest once the client was entered
                    if not entered.is_set():
                        failures.append(error)
                finally:
                    entered.set()
                    left.set()

        self._group.start_soon(hold)
        try:
            await entered.wait()
            if failures:
                self._raise(failures[0])
            yield client
        finally:
            done.set()
            with CancelScope(shield=True):
                await left.wait()

    def _new_client(self, *, max_connections: int) -> Client:
        """Return a client that is not connected. It sends no command twice: only the caller knows whether it may."""
        return coredis.Redis.from_url(
            self._url,
            max_connections=max_connections,
            pool_timeout=COMMAND_SECONDS,
            connect_timeout=CONNECT_SECONDS,
            retry_policy=coredis.retry.NoRetryPolicy(),
            verify_version=False,
        )

    # ---------------------------------------------------------------- commands

    async def call(self, name: str, queue: str, blobs: Sequence[bytes] = (), **arguments: Any) -> Any:
        """
        Run a script, again while the server is not reached. Each script may be run twice with the same arguments.

        Args:
            name: Its name.
            queue: The prefix of the keys.
            blobs: Bytes that the arguments name by their number, from 1 on.
            arguments: What it gets.

        Raises:
            ClusterError: The server was not reached for ``patience`` seconds, or it refused.

        Cancellation: the script may have been run.
        """
        text = script(name)
        packed = msgspec.msgpack.encode(arguments)

        async def run(client: Client) -> Any:
            """Run the script by its name, or by its text if the server does not know it."""
            try:
                return await client.evalsha(text.sha, keys=[f"{queue}meta"], args=[packed, *blobs])
            except coredis.exceptions.NoScriptError:
                return await client.eval(text.text, keys=[f"{queue}meta"], args=[packed, *blobs])

        return await self.command(run)

    async def command(self, run: Callable[[Client], Awaitable[T]]) -> T:
        """Send a command, again while the server is not reached. Like :meth:`call`."""
        deadline, pause = current_time() + self._patience, FIRST_PAUSE
        while True:
            try:
                return await self._once(run)
            except NotReachedError as error:
                if current_time() + pause > deadline:
                    message = f"{self._shown_url} was not reached for {self._patience:g} s: {error}"
                    raise ClusterError(message, retryable=True) from error.__cause__
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _once(self, run: Callable[[Client], Awaitable[T]]) -> T:
        if self._client is None:
            raise ClusterError(f"{self._shown_url} is not connected")
        try:
            with fail_after(COMMAND_SECONDS):
                return await run(self._client)
        except Exception as error:  # noqa: BLE001  _raise() tells them apart
            self._raise(error)

    def _raise(self, error: BaseException) -> NoReturn:
        """Raise the ClusterError or NotReachedError that an error of the client stands for."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        said = str(error) or type(error).__name__
        if isinstance(error, ClusterError):
            raise error
        if isinstance(error, coredis.exceptions.ResponseError) and not isinstance(error, PASSING):
            raise _refusal(error, said, self._shown_url) from error
        self.losses += 1
        raise NotReachedError(said) from error

    # ---------------------------------------------------------------- reads that block

    async def keep_reading(
        self, read: Callable[[Client], Awaitable[T]], handle: Callable[[T], Awaitable[None]]
    ) -> None:
        """
        Read again and again, and connect anew after each error, until cancelled.

        Args:
            read: Reads. It blocks for READ_SECONDS at most.
            handle: Gets each answer.

        Raises:
            ClusterError: The server refuses the command.

        Cancellation: raised at the end of the read, so within READ_SECONDS while the server answers.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._entered(self._new_client(max_connections=2)) as client:
                    while True:
                        answer = await self._read_once(client, read)
                        pause = FIRST_PAUSE
                        await handle(answer)
                        await checkpoint()
            except NotReachedError:
                pass
            except ClusterError as error:
                if not error.retryable:
                    raise
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _read_once(self, client: Client, read: Callable[[Client], Awaitable[T]]) -> T:
        with CancelScope(shield=True):
            try:
                with fail_after(READ_SECONDS + COMMAND_SECONDS):
                    return await read(client)
            except Exception as error:  # noqa: BLE001  _raise() tells them apart
                self._raise(error)
        raise AssertionError  # for type checkers: a shield passes errors on


def _refusal(error: Exception, said: str, shown_url: str) -> ClusterError:
    """Return the error for what the server refuses."""
    if isinstance(error, coredis.exceptions.AuthenticationError | coredis.exceptions.AuthorizationError):
        return ClusterError(f"{shown_url} refuses the user: {said}")
    if "EPOCH" in said:
        return ClusterError(f"{shown_url} has lost the data of this queue")
    if "OOM" in said or "maxmemory" in said:
        return ClusterError(f"the memory of {shown_url} is full", retryable=True)
    return ClusterError(f"{shown_url} refuses a command: {said}")
