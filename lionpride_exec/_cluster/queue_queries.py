"""What people ask about a queue, and what they do with it as a whole. Workers and clients need nothing of this."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import attrs
from anyio import current_time

from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._status import TERMINAL

from .queue_settings import check_format
from .server_queue import ServerQueue, batches, moved_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .queue_types import Moved
    from .wire import Client, Wire

# Keys that the server looks at in one call. A thousand keys take it less than a millisecond.
KEYS_AT_A_TIME = 5_000


@attrs.frozen
class Details:
    """
    Everything that the queue knows about an event.

    Attributes:
        event_id: Its id.
        status: Its status.
        attempt: How often it has begun.
        worker: The worker of its last run. "" before the first.
        level: Its level of priority.
        key: Its key, as JSON. "" if it has none.
        due: When it may start at the earliest, in microseconds since 1970. 0: at once.
        is_delayed: Whether it waits until it is due.
        waits_for: How many events have to be completed first.
        because: The id of the event that did not complete, so that this one was skipped. "" if there is none.
        envelope: What was submitted.
        outcome: Its outcome. Empty if it has none, or has not ended.
        attempts: The signed record of its earlier attempts. Empty if there is none, or if the event has ended.
        held_by: The worker that holds it now. "" if none does.
        idle: Seconds since this worker took the event or renewed it last.
        parked: The bucket that has refused it, so that the event waits for its turn there. "" if there is none.
        since: When it got its status, in microseconds since 1970.
        seconds_left: Seconds until it is due. 0 if it is not delayed.
        after: The ids of the events that have to be completed first.
    """

    event_id: str
    status: str
    attempt: int
    worker: str
    level: int
    key: str
    due: float
    is_delayed: bool
    waits_for: int
    because: str
    envelope: bytes
    outcome: bytes
    attempts: bytes
    held_by: str
    idle: float
    parked: str
    since: float
    seconds_left: float
    after: tuple[str, ...]


@attrs.frozen
class WorkerInfo:
    """
    A worker that has renewed its lease within the last hour, or holds something.

    The fields have the names that ``lionpride-exec cluster status`` uses.

    Attributes:
        name: Its name.
        process: Its host and process id, as ``web1:4021``. "" if that is not known, or if it is gone for an hour.
        alive: Whether its lease runs. If not, other workers take over its events.
        holds: How many events it holds: those that run, and those that wait in it.
        renewed: Seconds since it renewed its lease. None if that is more than an hour ago.
    """

    name: str
    process: str
    alive: bool
    holds: int
    renewed: float | None


@attrs.frozen
class BucketState:
    """
    How much of a limit is in use.

    Attributes:
        used: The sum of all costs that are out.
        held: How many costs are out until a run ends. The costs of a limit without ``hold`` are not among them.
        waiting: How many workers wait until a run ends.
        shut_until: Until when nothing is taken, in microseconds since 1970. 0: it is open.
        parked: How many events stand in line until a run ends.
    """

    used: float
    held: int
    waiting: int
    shut_until: float
    parked: int


async def find_queue(wire: Wire, name: str) -> ServerQueue | None:
    """
    Return a queue, open and with the levels that it has. None if it is not on the server; it is not made.

    Args:
        wire: The connection, which is open.
        name: The name of the queue.

    Raises:
        ClusterError: The server is not reached, or the queue is of another format.
    """
    queue = ServerQueue(wire, name, levels=0)
    fields = ["format", "epoch", "streams", "lowest"]
    found = await wire.command(lambda client: client.hmget(f"{queue.prefix}meta", fields))
    if found[0] is None:
        return None
    format_of_it, queue.epoch, streams, lowest = ((part or b"").decode() for part in found)
    check_format(name, format_of_it)
    queue.streams = int(streams)
    queue.lowest = int(lowest) if lowest else None
    return queue


async def find_names(wire: Wire, seconds: float) -> list[str]:
    """
    Return the names of the queues on a server, sorted, as far as they are found in so many seconds.

    The server has no list of them, so this function looks at all of its keys, some thousand at a time.

    Args:
        wire: The connection, which is open.
        seconds: How long to look at most.

    Raises:
        ClusterError: The server is not reached, or the user may not look at its keys.
    """
    names: set[str] = set()
    cursor, deadline = 0, current_time() + seconds
    while True:
        cursor, keys = await wire.command(partial(_scan, cursor))
        names.update(key.decode(errors="replace")[4:-6] for key in keys)
        if not cursor or current_time() > deadline:
            return sorted(names)


async def _scan(cursor: int, client: Client) -> tuple[int, tuple[bytes, ...]]:
    return await client.scan(cursor, match="lp:{*}:meta", count=KEYS_AT_A_TIME)


async def _first_entries(name: str, count: int, client: Client) -> Any:
    return await client.xrange(name, count=count)


class QueueQueries:
    """
    Answers questions about a queue, and retries or pauses it. Answers of several round trips are not of one moment.

    All methods raise ClusterError if the server is not reached, refuses, or has lost its data. A method that changes
    something may have changed it when it is cancelled.

    Args:
        queue: The queue, which is open.
    """

    def __init__(self, queue: ServerQueue) -> None:
        self._queue = queue

    # ---------------------------------------------------------------- events

    async def counts(self) -> dict[str, int]:
        """Return how many events of the queue have each status. Statuses without events may be missing."""
        found = await self._queue.wire.command(lambda client: client.hgetall(f"{self._queue.prefix}n"))
        return {status.decode(): int(number) for status, number in found.items()}

    async def details(self, event_ids: Sequence[str]) -> list[Details | None]:
        """Return everything about each event. None if the queue does not know it. 200 events in a round trip."""
        found: list[Details | None] = []
        for ids in batches(event_ids):
            answers = await self._queue._call("details", ids=ids)
            found += [answer and _details(one, answer) for one, answer in zip(ids, answers, strict=True)]
        return found

    async def ids_of_keys(self, keys: Sequence[str]) -> list[str]:
        """Return the id of the event that has each key (as JSON). "" if none has it. 200 keys in a round trip."""
        found: list[str] = []
        for some in batches(keys):
            found += await self._ids_of(some)
        return found

    async def _ids_of(self, keys: Sequence[str]) -> list[str]:
        names = [f"{self._queue.prefix}k:{key}" for key in keys]
        answers = await self._queue.wire.command(lambda client: client.mget(names))
        return [(event_id or b"").decode() for event_id in answers]

    async def ids(self, status: str, cursor: str = "0", count: int = 1000) -> tuple[str, list[str]]:
        """
        Return the ids of some events with a status, and the cursor for the next call. "0": there are no more.

        The server has no list of these ids, so each call looks at ``count`` keys of the whole server, those of other
        queues included. An id may be returned twice. An event that gets the status meanwhile may be missing. To retry
        all failed events, pass the ids to :meth:`retry`.

        Args:
            status: The status.
            cursor: "0", or what the last call returned.
            count: About how many keys one call looks at. A thousand keys take the server less than a millisecond.
        """
        next_cursor, found = await self._queue._call("ids", status=status, cursor=cursor, count=count)
        return next_cursor.decode(), [event_id.decode() for event_id in found]

    async def waiting(self, count: int) -> list[str]:
        """Return ids of events that have not ended: the first ``count`` of each level, and of those due later."""
        found: list[str] = []
        for number in range(self._queue.streams):
            name = f"{self._queue.prefix}q:{number}"
            entries = await self._queue.wire.command(partial(_first_entries, name, count))
            found += [(entry.field_values.get(b"i") or b"").decode(errors="replace") for entry in entries]
        due = await self._queue.wire.command(lambda client: client.zrange(f"{self._queue.prefix}d", 0, count - 1))
        return [event_id for event_id in (*found, *(one.decode(errors="replace") for one in due)) if event_id]

    async def retry(self, event_ids: Sequence[str]) -> list[str]:
        """
        Make events that have ended pending again, as if they had never begun. 200 events in a round trip.

        Ids and keys stay. Attempts and outcomes are removed. The events start when they are due, by their level.

        Returns:
            A word for each event. "queued": it is pending again. "open": it has not ended. "completed": it has
            completed. "unknown": the queue does not know it. "after": it comes after an event that has ended and not
            completed. That event has to be retried before, or in the same call. Only "queued" events have changed.
        """
        words: list[str] = []
        call = secrets.token_hex(8)
        for ids in batches(event_ids):
            words += [word.decode() for word in await self._queue._call("retry", ids=ids, call=call)]
        return words

    async def transitions(self, count: int, before: str = "") -> list[Moved]:
        """
        Return the last transitions of the queue, oldest first.

        The server keeps them for some minutes. An entry that this package has not written has the event id "".

        Args:
            count: How many, 1 or more.
            before: Only transitions before this cursor. "": all.
        """
        end = f"({before}" if before else "+"
        entries = await self._queue.wire.command(
            lambda client: client.xrevrange(f"{self._queue.prefix}t", end=end, start="-", count=count)
        )
        return [moved_of(entry) for entry in reversed(entries)]

    # ---------------------------------------------------------------- workers and limits

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers by their last renewal, the latest last. Workers that are gone for an hour follow."""
        return [
            WorkerInfo(name.decode(), description.decode(), bool(alive), holds, None if ago < 0 else ago / 1e6)
            for name, description, alive, ago, holds in await self._queue._call("workers", streams=self._queue.streams)
        ]

    async def limits(self, buckets: Sequence[str]) -> list[BucketState]:
        """Return the state of each bucket. 200 buckets in a round trip."""
        found: list[BucketState] = []
        for names in batches(buckets):
            answers = await self._queue._call("limits", buckets=names)
            found += [
                BucketState(float(used), held, waiting, float(till), parked)
                for used, held, waiting, till, parked in answers
            ]
        return found

    # ---------------------------------------------------------------- pauses

    async def pause(self) -> None:
        """Have no worker take an event until :meth:`resume`. Events that workers hold go on. Idempotent."""
        await self._queue.wire.command(lambda client: client.hset(f"{self._queue.prefix}meta", {"paused": "1"}))

    async def resume(self) -> None:
        """End a pause. Workers notice the end within READ_SECONDS. Idempotent."""
        await self._queue.wire.command(lambda client: client.hdel(f"{self._queue.prefix}meta", ["paused"]))

    async def is_paused(self) -> bool:
        """Return whether the queue is paused."""
        return await self._queue.wire.command(lambda client: client.hexists(f"{self._queue.prefix}meta", "paused"))


def _details(event_id: str, answer: Sequence[bytes]) -> Details:
    """Return an event from what ``details.lua`` returns."""
    status, attempt, worker, level, key, due, is_delayed, waits_for, because, *rest = answer
    envelope, stored, held_by, idle, parked, since, left, after = rest
    has_ended = status.decode() in TERMINAL
    return Details(
        event_id,
        status.decode(),
        int(attempt),
        worker.decode(),
        int(level),
        key.decode(),
        float(due),
        bool(is_delayed),
        int(waits_for),
        because.decode(),
        envelope,
        stored if has_ended else b"",
        b"" if has_ended else stored,
        held_by.decode(),
        int(idle) / 1000,
        parked.decode(),
        float(since),
        float(left) / 1e6,
        tuple(other.decode() for other in cast("Sequence[bytes]", after)),
    )


publish_classes(WorkerInfo)
