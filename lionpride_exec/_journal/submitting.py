"""
Submitting events to a journal from a process that does not own it.

An event is encoded as the owner would encode it, and written into the table ``submit`` (see ``inbox``). The event is on
disk once the transaction is. While another process writes, SQLite answers BUSY at once. Then the rows are written again
after a pause, for 30 s. The pauses are those of the event loop and not of SQLite, so that a cancellation does not wait
for the other process.

The owner is not asked, and need not exist. So what only the owner knows is not checked here: which classes it takes,
whether a key is known, and what its limits allow.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import anyio
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.call import Call
from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import check_expires, is_unique_open, options_for
from lionpride_exec._status import EventStatus
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import ExistsError, JournalError

from .codec import Codec, encode_key
from .fork import keep_from_closing, watch_for_forks
from .inbox import INSERT_SUBMITTED, make_inbox
from .schema import VERSION, check_file, connect, has_table
from .store import transaction, wrapped
from .transient_errors import PATIENCE, is_busy
from .worker_thread import run_in_thread

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from datetime import datetime, timedelta
    from uuid import UUID

    from lionpride_exec._events.submit_options import Unique

E = TypeVar("E", bound=Event[Any])

# Seconds between two tries while another process writes: each pause is twice the last one, up to the longest.
FIRST_PAUSE = 0.001
LONGEST_PAUSE = 0.02

# Events that submit_many() writes in one transaction.
TOGETHER = 500

# One thread for all calls in an event loop: SQLite has one writer at a time anyway.
_limiter: RunVar[CapacityLimiter] = RunVar("lionpride_exec_submit_limiter")


class Submission(NamedTuple):
    """A new row of the table ``submit``, without its number."""

    at: float
    id: bytes
    event: bytes
    key: str | None
    unique_open: bool
    priority: float | None
    due: float | None
    expires: float | None


class SubmissionFile:
    """
    A journal into which events are submitted. Its methods block.

    Args:
        path: The file, which has to exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path).expanduser().resolve()
        self._connection: sqlite3.Connection | None = None
        watch_for_forks(self)

    def write(self, rows: Iterable[Submission]) -> None:
        """
        Write rows in one transaction. Open the file first, if this is the first call.

        Raises:
            JournalError: There is no such journal, or it cannot be written now. Nothing has changed.
        """
        with wrapped(self.path):
            if self._connection is None:
                self._connection = self._open()
            with transaction(self._connection):
                if not has_table(self._connection, "submit"):
                    make_inbox(self._connection)
                self._connection.executemany(INSERT_SUBMITTED, rows)

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise JournalError(f"there is no journal {self.path}: an executor makes it when it starts")
        connection = connect(self.path, create=False)
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            _check_version(check_file(connection, self.path), self.path)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def disown(self) -> None:
        """Never touch the connection again, which belongs to the parent process."""
        connection, self._connection = self._connection, None
        if connection is not None:
            keep_from_closing(connection)


def _check_version(version: int, path: Path) -> None:
    if version < VERSION:
        what = f"of version {version}" if version else "empty"
        raise JournalError(f"{path} is {what}: an executor of this version of lionpride_exec has to open it first")


async def submit(
    path: str | os.PathLike[str],
    event: Event[Any],
    priority: float | None,
    types: Mapping[str, type[Event] | Callable[..., Any]] | None,
    **how: Any,
) -> UUID:
    """Submit one event; see ``Journal.submit()``."""
    file, row = SubmissionFile(path), _encode(Codec(types or {}), event, priority, **how)

    def write_and_close() -> None:
        """Open the file, write the row and close the file."""
        try:
            file.write([row])
        finally:
            file.close()

    await _patiently(write_and_close)
    return event.id


async def submit_many(
    path: str | os.PathLike[str],
    events: Iterable[E] | AsyncIterable[E],
    priority: float | Callable[[E], float | None] | None,
    key: Callable[[E], Hashable] | None,
    types: Mapping[str, type[Event] | Callable[..., Any]] | None,
    **how: Any,
) -> int:
    """Submit many events; see ``Journal.submit_many()``."""
    if key is not None and not callable(cast("object", key)):
        raise TypeError(f"key must be a function of an event, got {key!r}")
    check_expires(how["expires"])
    file, codec = SubmissionFile(path), Codec(types or {})
    try:
        async with aclosing(_each(events)) as source:
            return await _write_all(file, codec, source, priority, key, **how)
    finally:
        await _close(file)


async def _write_all(
    file: SubmissionFile,
    codec: Codec,
    source: AsyncIterable[E],
    priority: float | Callable[[E], float | None] | None,
    key: Callable[[E], Hashable] | None,
    **how: Any,
) -> int:
    """Write all events, and those before an error. Return their number."""
    number, rows = 0, list[Submission]()
    try:
        async for event in source:
            own_priority = priority(event) if callable(priority) else priority
            own: dict[str, Any] = {"key": None if key is None else key(event)}
            if key is not None and own["key"] is None:
                own["unique"] = "ever"
            rows.append(_encode(codec, event, own_priority, **how | own))
            if len(rows) >= TOGETHER:
                await _patiently(partial(file.write, rows))
                number, rows = number + len(rows), []
    except JournalError:  # the file cannot be written
        raise
    except Exception:
        await _patiently(partial(file.write, rows))
        raise
    await _patiently(partial(file.write, rows))
    return number + len(rows)


async def _each(events: Iterable[E] | AsyncIterable[E]) -> AsyncGenerator[E]:
    """Yield what an iterable yields. Close it if it is an async generator."""
    if isinstance(events, AsyncIterable):
        source = aiter(events)
        async with aclosing(source) if isinstance(source, AsyncGenerator) else nullcontext():
            async for event in source:
                yield event
    else:
        for event in events:
            yield event


def _encode(
    codec: Codec,
    event: Event[Any],
    priority: float | None,
    *,
    delay: float | None,
    at: datetime | None,
    key: Hashable,
    expires: float | timedelta | datetime | None,
    unique: Unique,
) -> Submission:
    """
    Return the row of an event, which stays as it is.

    Raises:
        TypeError: It is no event, or its class has no tag, or its key cannot be stored.
        ExistsError: The event belongs to an executor.
        ValueError: The event is not PENDING, or an option has none of its values. (Also: a field cannot be stored.)
    """
    if not isinstance(cast("object", event), Event):
        raise TypeError(f"event must be an Event, got {type(event).__name__}")
    if event._host is not None:
        raise ExistsError(f"{event} belongs to an executor: submit event.as_fresh_event()")
    if event.execution.status is not EventStatus.PENDING:
        raise ValueError(f"only a PENDING event can be submitted, got {event}: submit event.as_fresh_event()")
    priority = None if priority is None else check_priority(priority)
    stored_key = None if key is None else encode_key(key)
    is_open = is_unique_open(unique, stored_key)
    options = options_for(priority, delay, at, expires=expires, key=stored_key, unique_open=is_open)
    if isinstance(event, Call):
        codec.know_function(event.function)
    queued_at, event.execution.queued_at = event.execution.queued_at, wall_clock.now()
    try:
        now, stored = event.execution.queued_at.timestamp(), codec.encode(event)
    finally:
        event.execution.queued_at = queued_at
    expiry = None if options.expiry is None else options.expiry.wall_time()
    return Submission(now, event.id.bytes, stored, stored_key, is_open, priority, options.due_wall(), expiry)


async def _patiently(function: Callable[[], None]) -> None:
    """
    Call a function in the worker thread, again and again while other processes write, for 30 s.

    Raises:
        JournalError: What the function raises.

    Cancellation: between two tries. A try goes on to its end.
    """
    until, pause = anyio.current_time() + PATIENCE, FIRST_PAUSE
    while True:
        try:
            return await _in_thread(function)
        except JournalError as exc:
            if not is_busy(exc) or anyio.current_time() >= until:
                raise
        await anyio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _close(file: SubmissionFile) -> None:
    """
    Close the file, in the worker thread.

    Cancellation: not by scopes. asyncio itself may cancel the task before the thread begins. Then the file is closed
    here, before the cancellation goes on: no thread uses the file any more.
    """
    with anyio.CancelScope(shield=True):
        try:
            await _in_thread(file.close)
        except anyio.get_cancelled_exc_class():
            file.close()
            raise


async def _in_thread(function: Callable[[], None]) -> None:
    limiter = _limiter.get(None)
    if limiter is None:
        limiter = CapacityLimiter(1)
        _limiter.set(limiter)
    await run_in_thread(function, limiter=limiter)
