"""
The connection to the server.

Only this module and ``client_errors`` know which client library is used (coredis).

A wire has one client for commands, and one client for each read that blocks. If a blocking read is interrupted, the
pool of its client loses a place. So this client is made anew after each error. A blocking read is not cancelled. The
server is asked to end it, and would end it after half a second anyway.

Each client is entered in a task of its own, in a shielded scope. A cancelled task that leaves a client would raise
``ClosedResourceError`` instead of its cancellation (coredis 6.9).
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf, isinf
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import anyio
import coredis
import coredis.exceptions
import coredis.retry
import msgspec
from anyio import CancelScope, current_time, fail_after
from anyio.lowlevel import checkpoint

from lionpride_exec.errors import ClusterError

from .client_errors import NotReachedError, fault_in, meaning_of
from .outage import Outage
from .queue_types import READ_SECONDS
from .reading import Reading
from .scripts import script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from anyio.abc import TaskGroup

logger = logging.getLogger("lionpride_exec")

T = TypeVar("T")
Client = coredis.Redis[bytes]

# Seconds for one command. A script takes some milliseconds; a server that restarts answers late.
COMMAND_SECONDS = 10.0

# Seconds that a command has at least, however soon the patience ends.
SHORTEST_TRY = 1.0

# Seconds that connecting may take.
CONNECT_SECONDS = 5.0

# Seconds between two tries; each is twice as long as the one before.
FIRST_PAUSE = 0.02
MAX_PAUSE = 0.5

# Of the time that leaving may take, the part that reads may take. The rest is for giving back.
PART_FOR_READS = 0.4


class Wire:
    """
    The connection to one server.

    Args:
        url: A URL that coredis knows: ``redis://``, ``rediss://`` or ``unix://``, percent-encoded.
        shown_url: The same without a password, for messages.
        patience: Seconds for which :meth:`call` tries again.

    Attributes:
        shown_url: See above.
        losses: How many answers may have been lost. A worker compares it to learn whether it has to look for events
            that the server gave it in a lost answer.
    """

    def __init__(self, url: str, shown_url: str, *, patience: float) -> None:
        self._url = url
        self.shown_url: str = shown_url
        self._password = unquote(urlsplit(url).password or "")
        self.patience = patience
        self._group: TaskGroup | None = None
        self._client: Client | None = None
        self.losses: int = 0
        self._outage = Outage(shown_url)
        self._told: set[type[BaseException]] = set()  # the kinds of faults that the log has
        self._left_at = inf  # loop time at which closing began; with the seconds that it may take
        self._leaving_seconds = 0.0
        self._shields: dict[CancelScope, float] = {}  # with the share of these seconds that each may take

    # ---------------------------------------------------------------- opening

    @asynccontextmanager
    async def opened(self, group: TaskGroup) -> AsyncIterator[None]:
        """
        Connect, and disconnect at the end of the block.

        Args:
            group: Runs the tasks that hold the clients. It must outlive the block.

        Raises:
            ClusterError: A file for TLS that the URL names cannot be used. Whether the server is reached, the first
                command shows.

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
        """
        Return a client that is not connected. It sends no command twice: only the caller knows whether it may.

        Raises:
            ClusterError: A file for TLS that the URL names cannot be used.
        """
        try:
            client = coredis.Redis.from_url(
                self._url,
                max_connections=max_connections,
                pool_timeout=COMMAND_SECONDS,
                connect_timeout=CONNECT_SECONDS,
                retry_policy=coredis.retry.NoRetryPolicy(),
                verify_version=False,
                decode_components=True,
            )
        except OSError as error:
            raise ClusterError(f"a file for TLS in the URL of {self.shown_url} cannot be used: {error}") from error
        self._shield_connecting(client.connection_pool)
        return client

    def _shield_connecting(self, pool: Any) -> None:
        """Have a task connect even if it is cancelled, for CONNECT_SECONDS: the pool would lose a place for good."""

        async def get_shielded(get_connection: Any = pool.get_connection, **options: Any) -> Any:
            """Return a connection of the pool."""
            with self._shielded(1.0):
                return await get_connection(**options)

        pool.get_connection = get_shielded

    # ---------------------------------------------------------------- leaving

    def leave_within(self, seconds: float) -> None:
        """
        Have all that is shielded from cancellation end in time, also if the server does not answer. Idempotent.

        Args:
            seconds: How long leaving may take. Reads may take a part of it.
        """
        if isinf(self._left_at):
            self._left_at, self._leaving_seconds = current_time(), seconds
            for shield, part in self._shields.items():
                shield.deadline = self._deadline(part)

    @property
    def leave_by(self) -> float:
        """The loop time at which all has to be done. inf while the wire is in use."""
        return self._deadline(1.0)

    def _deadline(self, part: float) -> float:
        return self._left_at + part * self._leaving_seconds

    @contextmanager
    def _shielded(self, part: float) -> Iterator[None]:
        """
        Run a block that is not cancelled from outside, but ends once a part of the time for leaving is over.

        Raises:
            NotReachedError: That time is over.
        """
        with CancelScope(shield=True, deadline=self._deadline(part)) as shield:
            self._shields[shield] = part
            try:
                yield
            finally:
                del self._shields[shield]
        if shield.cancelled_caught:
            raise NotReachedError("the server did not answer in time")

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
        deadline, pause = current_time() + self.patience, FIRST_PAUSE
        while True:
            try:
                answer = await self._once(run, deadline - current_time())
            except NotReachedError as error:
                if current_time() + pause > deadline:
                    message = f"{self.shown_url} was not reached for {self.patience:g} s: {error}"
                    raise ClusterError(message, retryable=True) from error.__cause__
                self._outage.note_failure(error, deadline)
            else:
                self._outage.note_answer()
                return answer
            await anyio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def info(self) -> dict[str, str] | None:
        """Return what the server says of itself. None if the user may not ask. Raises like :meth:`call`."""

        async def run(client: Client) -> dict[str, str] | None:
            """Ask. A hosted server may forbid the command, or have none of this name."""
            try:
                return {name: str(value) for name, value in (await client.info()).items()}
            except (coredis.exceptions.AuthorizationError, coredis.exceptions.UnknownCommandError):
                return None

        return await self.command(run)

    async def _once(self, run: Callable[[Client], Awaitable[T]], seconds: float) -> T:
        if self._client is None:
            raise ClusterError(f"{self.shown_url} is not connected")
        try:
            with fail_after(min(COMMAND_SECONDS, max(SHORTEST_TRY, seconds))):
                return await run(self._client)
        except Exception as error:  # noqa: BLE001  _raise() tells them apart
            self._raise(error)

    def _raise(self, error: BaseException) -> NoReturn:
        """Raise the ClusterError or NotReachedError that an error of the client stands for."""
        meaning = meaning_of(error, self._password, self.shown_url)
        fault = fault_in(error)
        if fault is not None and type(fault) not in self._told:
            self._told.add(type(fault))
            logger.error("a call of %s failed by a fault, and is tried again", self.shown_url, exc_info=fault)
        if isinstance(meaning, NotReachedError):
            self.losses += 1
        raise meaning

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

        Cancellation: raised at the end of the read, which the server is asked to end. At the latest after READ_SECONDS,
        while the server answers.
        """
        pause = FIRST_PAUSE
        while True:
            reading = Reading()
            try:
                async with self._entered(self._new_client(max_connections=1)) as client:
                    reading.client_id = await self._id_of(client)
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._unblock_when_cancelled, reading)
                        await self._read_until_error(client, reading, read, handle)
                        group.cancel_scope.cancel()
                    raise reading.error
            except NotReachedError:
                pass
            except ClusterError as error:
                if not error.retryable:
                    raise
            if reading.has_read:
                pause = FIRST_PAUSE
            await anyio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE)

    async def _read_until_error(
        self,
        client: Client,
        reading: Reading,
        read: Callable[[Client], Awaitable[T]],
        handle: Callable[[T], Awaitable[None]],
    ) -> None:
        """Read until the server is not reached or refuses. Keep the error, which the task group would wrap."""
        try:
            while True:
                answer = await self._read_once(client, reading, read)
                reading.has_read = True
                await handle(answer)
                await checkpoint()
        except (NotReachedError, ClusterError) as error:
            reading.error = error

    async def _read_once(self, client: Client, reading: Reading, read: Callable[[Client], Awaitable[T]]) -> T:
        reading.is_blocked = True
        try:
            with self._shielded(PART_FOR_READS), fail_after(READ_SECONDS + COMMAND_SECONDS):
                return await read(client)
        except Exception as error:  # noqa: BLE001  _raise() tells them apart
            self._raise(error)
        finally:
            reading.is_blocked = False
        raise AssertionError  # for type checkers: the shield raises if it has ended the read

    async def _id_of(self, client: Client) -> int | None:
        """Return the number that the server has for the connection of a client. None if the user may not know it."""
        try:
            with self._shielded(PART_FOR_READS), fail_after(COMMAND_SECONDS):
                return int(await client.client_id())
        except coredis.exceptions.AuthorizationError:
            return None
        except Exception as error:  # noqa: BLE001  _raise() tells them apart
            self._raise(error)
        raise AssertionError  # as above

    async def _unblock_when_cancelled(self, reading: Reading) -> None:
        """Once this task is cancelled, have the server end a read that blocks."""
        try:
            await anyio.sleep_forever()
        finally:
            with suppress(NotReachedError, ClusterError), self._shielded(PART_FOR_READS):
                while reading.is_blocked and reading.client_id is not None:
                    await self._once(lambda client: client.client_unblock(reading.client_id or 0), COMMAND_SECONDS)
                    await anyio.sleep(0.01)  # the read may reach the server after that
