"""The settings of a cluster, from which an executor makes the connection and the queue."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import floor
from typing import TYPE_CHECKING, Any, Final, NoReturn

from lionpride_exec._base.wording import install_command
from lionpride_exec._events.call import check_function
from lionpride_exec._events.event import Event
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_count, check_seconds
from lionpride_exec.errors import ClusterError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .queue_queries import QueueQueries, WorkerInfo
    from .queue_watcher import QueueWatcher
    from .server_queue import ServerQueue
    from .server_url import ServerUrl
    from .signer import Signer
    from .wire import Wire

SECRET_VARIABLE: Final = "LIONPRIDE_CLUSTER_SECRET"  # noqa: S105  its name

# Each level is a stream, and a worker reads all of them at once.
MAX_LEVELS: Final = 100

# The largest number of a level, and without its sign the lowest. The server's scripts hold it exactly.
MAX_LEVEL: Final = 2**31

# In seconds. A worker renews its lease after a third of it, and its loop may stall for some time.
MIN_LEASE: Final = 1.0

# In seconds. The server counts milliseconds.
MIN_RETAIN: Final = 0.001

# 31 years. The server counts microseconds since 1970 in 64 bits.
MAX_SECONDS: Final = 1e9


class Cluster:
    """
    Settings of an executor whose events are on a server, Valkey or Redis 7. Many processes share the events.

    An event runs at least once, in one of the executors whose clusters name the same server and the same queue. It has
    one final status. Each executor needs a cluster object of its own.

    Args:
        url: ``redis://user:password@host:port/db``, ``rediss://`` with TLS, or ``unix:///path/to/the/socket``. The
            schemes ``valkey``, ``valkeys`` and ``valkey+unix`` mean the same. Default: see ``url_file``. User and
            password are percent-encoded. With TLS, the certificate and the host in it are checked. The query has the
            options of TLS: ``?ssl_ca_certs=/path/to/ca.pem``.
        url_file: A file whose first line is the URL. Default: the URL is in the environment variable
            ``LIONPRIDE_CLUSTER_URL``.
        queue: The name of the queue on the server.
        secret: Signs what is stored on the server, so that nobody without the secret can make a worker run anything.
            16 bytes at least. Of several, the first one signs, and all of them verify. Default: the environment
            variable ``LIONPRIDE_CLUSTER_SECRET``. Nothing is encrypted.
        unsigned: Nothing is signed. Anyone who can write to the server can make workers run events.
        work: Whether this executor works on events. False: it only submits them.
        lease: Seconds after which other workers take over the events of a worker that has died or stalls. 1 or more.
            All workers of a queue must have the same. So stop them all before you change it.
        levels: The lowest and the highest number of the levels of priority, 100 levels at most, each between -2**31 and
            2**31. A lower number is more urgent. All executors of a queue must have the same.
        lookahead: How many events a worker holds, those that run included, 1 or more. Default: the executor decides.
        retain: Seconds for which the server keeps an event after its end, 0.001 or more. None keeps all.
        types: Classes without a tag in their class statement, and functions whose calls are stored, by tag.
        patience: Seconds for which a call tries to reach the server, 0 or more. ``inf``: for ever. The last try may
            take a second longer.
        allow_volatile: Accept a server that loses events when it is restarted, or when its memory is full.

    Attributes:
        shown_url: The URL without user and password.

    Raises:
        ConfigurationError: The extra ``cluster`` is not installed, there is no URL or no secret, or an argument is of a
            wrong type or out of range.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        url_file: str | os.PathLike[str] | None = None,
        queue: str = "default",
        secret: str | bytes | Sequence[str | bytes] | None = None,
        unsigned: bool = False,
        work: bool = True,
        lease: float = 15.0,
        levels: tuple[int, int] = (-10, 10),
        lookahead: int | None = None,
        retain: float | None = 86_400.0,
        types: Mapping[str, type[Event] | Callable[..., Any]] | None = None,
        patience: float = 30.0,
        allow_volatile: bool = False,
    ) -> None:
        if find_spec("coredis") is None or find_spec("msgspec") is None:
            raise ConfigurationError(f"a cluster needs coredis and msgspec: {install_command('cluster')}")
        from .server_url import find_url  # noqa: PLC0415  the same, for urllib
        from .signer import Signer  # noqa: PLC0415  hashlib is slow to import, and only a cluster needs it

        self._url: ServerUrl = find_url(url, url_file)
        self.shown_url: str = self._url.shown
        self.queue: str = checked_queue(queue)
        self.unsigned: bool = unsigned
        self._signer: Signer = Signer(queue, _secrets(secret, unsigned=unsigned))
        self.work: bool = work
        self.lease: float = _seconds("lease", lease, least=MIN_LEASE)
        self.levels: tuple[int, int] = _checked_levels(levels)
        self.lookahead: int | None = _checked_lookahead(lookahead)
        self.retain: float | None = None if retain is None else _seconds("retain", retain, least=MIN_RETAIN)
        self.types: Mapping[str, type[Event] | Callable[..., Any]] = _checked_types(types)
        self.patience: float = _seconds("patience", patience, infinite_allowed=True)
        self.allow_volatile: bool = allow_volatile
        self._owner: object = None  # the executor of this cluster
        self._queue: ServerQueue | None = None  # while that executor is connected

    def __repr__(self) -> str:
        return f"Cluster({self.shown_url!r}, queue={self.queue!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled or copied, since it has a password and secrets in it. Make a new one from "
            "the environment, or from a file"
        )

    # ---------------------------------------------------------------- the whole queue

    async def counts(self) -> dict[str, int]:
        """
        Return how many events of the queue have each status, those of other executors included. O(1).

        Events whose ``retain`` is over still count.

        Raises:
            ClusterError: The executor of this cluster does not run, or the server was not reached.

        Cancellation: changes nothing.
        """
        found = await self._open_queries().counts()
        return {status.value: found.get(status.value, 0) for status in EventStatus}

    async def workers(self) -> list[WorkerInfo]:
        """
        Return the workers of the queue, in all processes. O(workers). Raises like :meth:`counts`.

        Cancellation: changes nothing.
        """
        return await self._open_queries().workers()

    async def pause(self) -> None:
        """
        Pause all workers of the queue until :meth:`resume`: they take no events. Running events go on. Idempotent.

        The pause outlasts this process. Raises like :meth:`counts`.

        Cancellation: the queue may be paused.
        """
        await self._open_queries().pause()

    async def resume(self) -> None:
        """
        End a :meth:`pause`, also one of another process. Idempotent. Raises like :meth:`counts`.

        Cancellation: the pause may have ended.
        """
        await self._open_queries().resume()

    async def is_paused(self) -> bool:
        """
        Return whether the queue is paused. Raises like :meth:`counts`.

        Cancellation: changes nothing.
        """
        return await self._open_queries().is_paused()

    def watch(self, since: str | None = None) -> QueueWatcher:
        """
        Return the transitions of all events in the queue: ``async for transition in cluster.watch()``.

        The server keeps transitions for ten minutes, a million at most. To go on after an interruption, pass the
        ``cursor`` of the last :class:`QueueTransition` that you have handled. Iterating raises
        :class:`WatcherTooSlow` if transitions after this cursor were dropped, and what :meth:`counts` raises.

        Args:
            since: A cursor. "0" gives all transitions that the server still has, None those from now on.
        """
        from .queue_watcher import QueueWatcher  # noqa: PLC0415  needs the extra

        return QueueWatcher(self._open_queue, since)

    def _open_queue(self) -> ServerQueue:
        if self._queue is None:
            raise ClusterError(f"{self!r} is not connected: its executor has to run", retryable=True)
        return self._queue

    def _open_queries(self) -> QueueQueries:
        from .queue_queries import QueueQueries  # noqa: PLC0415  needs the extra

        return QueueQueries(self._open_queue())

    # ---------------------------------------------------------------- for the executor

    def _new_wire(self) -> Wire:
        """Return a connection to the server, which is not open."""
        from .wire import Wire  # noqa: PLC0415  needs the extra

        return Wire(self._url.complete, self.shown_url, patience=self.patience)

    def _new_queue(self, wire: Wire) -> ServerQueue:
        """Return the queue, which is not open."""
        from .server_queue import ServerQueue  # noqa: PLC0415  needs the extra

        low, high = self.levels
        lease = self.lease if self.work else None
        return ServerQueue(wire, self.queue, levels=high - low + 1, lowest=low, lease=lease)

    def _level_of(self, priority: float | None) -> int:
        """
        Return the number of the stream for a priority, from 1 on.

        A priority between two levels counts as the lower one. Below the lowest and above the highest level, the nearest
        level counts. No priority counts as 0.
        """
        low, high = self.levels
        return floor(min(max(priority or 0, low), high)) - low + 1

    def _belong_to(self, owner: object) -> None:
        """
        Note the executor of this cluster.

        Raises:
            ConfigurationError: Another executor has it.
        """
        if self._owner is not None and self._owner is not owner:
            raise ConfigurationError(f"{self!r} belongs to another executor; make one cluster for each")
        self._owner = owner


def checked_queue(queue: Any) -> str:
    """
    Return the name of a queue.

    Raises:
        ConfigurationError: The text cannot be the name of a queue.
    """
    # Braces in a key say which part of it is hashed.
    if not isinstance(queue, str) or not queue.isprintable() or not queue or set(queue) & set("{} "):
        raise ConfigurationError(f"queue must be a printable text without spaces and braces, got {queue!r}")
    return queue


def _secrets(secret: Any, *, unsigned: bool) -> Sequence[str | bytes]:
    """
    Return the secrets, from the environment if none is given.

    Raises:
        ConfigurationError: There is no secret, or there is one although nothing is signed.
    """
    found = os.environ.get(SECRET_VARIABLE) or None if secret is None else secret
    if unsigned and found is not None:
        where = f"{SECRET_VARIABLE} is set" if secret is None else "secret is given"
        raise ConfigurationError(f"unsigned=True signs nothing, but {where}: decide for one of them")
    if unsigned:
        return ()
    secrets = (found,) if isinstance(found, str | bytes) else found
    if not secrets:
        raise ConfigurationError(
            f"a cluster needs a secret: Cluster(secret=...) or {SECRET_VARIABLE}. With unsigned=True, anyone who can "
            "write to the server can make workers run events"
        )
    if not isinstance(secrets, Sequence) or not all(isinstance(one, str | bytes) for one in secrets):
        raise ConfigurationError("secret must be a text, bytes, or a list of these")
    return secrets


def _seconds(name: str, value: float, *, least: float = 0.0, infinite_allowed: bool = False) -> float:
    try:
        check_seconds(name, value, infinite_allowed=infinite_allowed)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if value < least:
        raise ConfigurationError(f"{name} must be {least:g} s or more, got {value!r}")
    if value > MAX_SECONDS and not infinite_allowed:
        raise ConfigurationError(f"{name} must be {MAX_SECONDS:g} s or less, got {value!r}")
    return float(value)


def _checked_levels(levels: Any) -> tuple[int, int]:
    match levels:
        case [int(low), int(high)] if bool not in {type(low), type(high)}:
            if not (0 <= high - low < MAX_LEVELS and max(-low, high) <= MAX_LEVEL):
                raise ConfigurationError(
                    f"levels must go from a lower to a higher number, {MAX_LEVELS} at most, "
                    f"each between -{MAX_LEVEL} and {MAX_LEVEL}, got {levels!r}"
                )
            return low, high
    raise ConfigurationError(f"levels must be two integers, the lowest and the highest, got {levels!r}")


def _checked_lookahead(lookahead: int | None) -> int | None:
    if lookahead is not None:
        try:
            check_count("lookahead", lookahead, 1)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
    return lookahead


def _checked_types(
    types: Any,
) -> Mapping[str, type[Event] | Callable[..., Any]]:
    """
    Return a copy of ``types``.

    Raises:
        ConfigurationError: It is no mapping, a tag is no text, or a value is neither a class of events nor a function.
    """
    if not isinstance(types, Mapping | None):
        raise ConfigurationError(f"types must be a mapping from tags to classes, got {type(types).__name__}")
    found: dict[Any, Any] = dict(types or {})
    for tag, value in found.items():
        if not isinstance(tag, str) or not tag:
            raise ConfigurationError(f"types must have texts as tags, got {tag!r}")
        if isinstance(value, type) and issubclass(value, Event):
            continue
        try:
            check_function(value)
        except TypeError as error:
            raise ConfigurationError(f"types[{tag!r}] must be a class of events or a function") from error
    return found
