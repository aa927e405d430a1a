"""
One queue on a server: what its scripts take and return, with types.

Times are microseconds since 1970 by the clock of the server, unless said. Ids of events are 32 hexadecimal digits.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import attrs

from .cluster_error import ClusterError
from .wire import READ_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from .wire import Client, Wire

# The format of the keys. A queue of another format is refused.
FORMAT = "1"

# Events in one round trip.
EVENTS_AT_A_TIME = 200

# How long a transition can be read at least, in milliseconds, and how many of them are kept at most.
KEEP_TRANSITIONS = 600_000
MAX_TRANSITIONS = 1_000_000

# Transitions and messages that are read at a time.
READ_AT_A_TIME = 1_000


@attrs.frozen
class Submission:
    """
    An event to be submitted.

    Attributes:
        event_id: Its id.
        level: The stream that it goes into, from 1 on. Lower numbers go first.
        due: When it may start at the earliest. 0: at once.
        key: Its key, as JSON. "" if it has none.
        retain: Milliseconds for which the queue keeps it after its end. 0: for ever.
        envelope: What a worker gets.
        after: The ids of the events that have to be completed first.
    """

    event_id: str
    level: int
    due: float
    key: str
    retain: int
    envelope: bytes
    after: Sequence[str] = ()


@attrs.frozen
class Limit:
    """
    What a run takes from a bucket.

    Attributes:
        bucket: The name of the limit and its key.
        amount: How much may be out at a time.
        per: Microseconds after which it comes back.
        cost: How much the run takes.
        hold: Whether the time begins at the end of the run, and not at its start.
    """

    bucket: str
    amount: float
    per: float
    cost: float
    hold: bool


@attrs.frozen
class Entry:
    """
    An entry of a stream.

    Attributes:
        stream: The number of the stream.
        message: The id of the entry in the stream.
        event_id: The id of its event.
    """

    stream: int
    message: str
    event_id: str


@attrs.frozen
class Taken:
    """
    An event that a worker holds.

    Attributes:
        entry: Its entry, which the worker has to renew.
        status: PENDING, or PROCESSING if another worker began it and was not heard of any more.
        attempt: How often it has begun.
        envelope: What was submitted.
        attempts: What the last worker stored of its attempts. Empty if none did.
    """

    entry: Entry
    status: str
    attempt: int
    envelope: bytes
    attempts: bytes


@attrs.frozen
class Message:
    """
    A message to workers.

    Attributes:
        event_id: The event that its worker has to end. "" if the message is about none.
        status: The status that it has to get.
        bucket: The bucket in which a run has ended, so that the worker may ask again. "" if it is about none.

    Without an event and a bucket, the message is for all workers: an event has become due earlier.
    """

    event_id: str
    status: str
    bucket: str


@attrs.frozen
class Moved:
    """
    A transition.

    Attributes:
        cursor: Its place in the stream of transitions. It begins with the time in milliseconds. "" if it was not read
            from the stream.
        event_id: The id of the event.
        status: The new status.
        attempt: How often the event has begun.
        worker: Who reported it. "" if the server made the transition by itself.
        outcome: The outcome. Empty if the event has not ended, or the outcome is long.
    """

    cursor: str
    event_id: str
    status: str
    attempt: int
    worker: str
    outcome: bytes


class ServerQueue:
    """
    One queue on a server.

    Args:
        wire: The connection.
        name: The name of the queue.
        levels: How many levels of priority there are.
    """

    def __init__(self, wire: Wire, name: str, *, levels: int) -> None:
        self.wire = wire
        self.prefix = f"lp:{{{name}}}:"
        self.streams = levels + 1
        self.epoch = ""
        self._name = name

    async def open(self) -> str:
        """
        Make the queue if it is not there. Return the cursor of its last transition.

        Raises:
            ClusterError: The server is not reached, or the queue is of another format or has other levels.
        """
        answer = await self.wire.call(
            "open", self.prefix, format=FORMAT, new_epoch=secrets.token_hex(8), streams=self.streams
        )
        found, self.epoch, streams, cursor = (part.decode() for part in answer)
        if found != FORMAT:
            raise ClusterError(
                f"queue {self._name!r} has format {found}; this version of lionpride_exec knows {FORMAT}"
            )
        if int(streams) != self.streams:
            raise ClusterError(
                f"queue {self._name!r} has {int(streams) - 1} levels of priority, not {self.streams - 1}"
            )
        return str(cursor)

    async def _call(self, script: str, **arguments: Any) -> Any:
        """Call a script. Bytes in the arguments, at any depth, are sent apart."""
        blobs: list[bytes] = []
        return await self.wire.call(script, self.prefix, blobs, epoch=self.epoch, **_without_bytes(arguments, blobs))

    # ---------------------------------------------------------------- clients

    async def submit(self, submissions: Sequence[Submission]) -> list[tuple[str, str]]:
        """
        Take in events, at most EVENTS_AT_A_TIME. One round trip.

        Return for each a word and an id: "new" or "again" (the queue has its id) and its id, "known" and the id that
        has its key, "missing" and an id in ``after`` that the queue does not know. Nothing is stored of the latter.
        """
        answers = await self._call("submit", events=[attrs.astuple(one, recurse=False) for one in submissions])
        return [(word.decode(), event_id.decode()) for word, event_id in answers]

    async def cancel(self, event_ids: Sequence[str], status: str, outcomes: Sequence[bytes]) -> list[str]:
        """
        End events that wait, and ask the workers of those that run to end them.

        Return for each "ended", "sent", "late" (it has ended) or "unknown".
        """
        answers = await self._call("cancel", ids=event_ids, status=status, outcomes=outcomes)
        return [word.decode() for word in answers]

    async def counts(self) -> dict[str, int]:
        """Return how many events of the queue have each status. Statuses without events may be missing."""
        found = await self.wire.command(lambda client: client.hgetall(f"{self.prefix}n"))
        return {status.decode(): int(number) for status, number in found.items()}

    async def states(self, event_ids: Sequence[str]) -> tuple[str, list[Moved]]:
        """
        Return the cursor of the last transition, and where events stand at that moment.

        At most EVENTS_AT_A_TIME events; one round trip. An event that the queue does not know has the status "".
        """
        cursor, answers = await self._call("states", ids=event_ids)
        found = [
            Moved("", event_id, status.decode(), int(attempt), worker.decode(), outcome)
            for event_id, (status, attempt, worker, outcome) in zip(event_ids, answers, strict=True)
        ]
        return cursor.decode(), found

    async def follow(self, cursor: str, handle: Callable[[list[Moved]], Awaitable[None]]) -> None:
        """Call a function with the transitions after a cursor, in order. Ends when it is cancelled."""
        name = f"{self.prefix}t"

        async def read(client: Client) -> list[Moved]:
            """Read the next transitions, or wait for them."""
            answer = await client.xread({name: cursor}, count=READ_AT_A_TIME, block=_milliseconds(READ_SECONDS))
            return [_moved(entry) for entry in (answer or {}).get(name.encode(), ())]

        async def handle_and_go_on(moved: list[Moved]) -> None:
            """Call the function, and remember what it has got."""
            nonlocal cursor
            if moved:
                await handle(moved)
                cursor = moved[-1].cursor

        await self.wire.keep_reading(read, handle_and_go_on)

    async def pause(self) -> None:
        """Have no worker take an event until :meth:`resume`. What is taken goes on. Idempotent."""
        await self.wire.command(lambda client: client.hset(f"{self.prefix}meta", {"paused": "1"}))

    async def resume(self) -> None:
        """End a pause. Workers notice it within READ_SECONDS. Idempotent."""
        await self.wire.command(lambda client: client.hdel(f"{self.prefix}meta", ["paused"]))

    # ---------------------------------------------------------------- workers

    async def take(
        self,
        worker: str,
        want: int,
        read: Iterable[Entry] = (),
        *,
        idle: int = 0,
        known: Iterable[str] | None = None,
    ) -> tuple[bool, list[Taken]]:
        """
        Return whether the queue is paused, and events for a worker, most urgent first.

        Args:
            worker: The name of the worker.
            want: How many it has room for.
            read: Entries that it has read itself, by :meth:`wait_for_entries`. They count as taken.
            idle: Milliseconds after which the entry of another worker is taken over. 0: none is.
            known: The ids that the worker knows it holds. The worker also gets every other event that it holds: the
                answer that handed out the event was lost. None if no answer was lost.
        """
        entries = [(entry.stream, entry.message, entry.event_id) for entry in read]
        is_paused, answers = await self._call(
            "take",
            worker=worker,
            want=want,
            read=entries,
            idle=idle,
            known=False if known is None else list(known),
            streams=self.streams,
        )
        return bool(is_paused), [_taken(answer) for answer in answers]

    async def wait_for_entries(self, client: Client, worker: str, count: int) -> list[Entry]:
        """Wait for READ_SECONDS at most, and return new entries, which the worker holds from then on."""
        names = {f"{self.prefix}q:{number}": ">" for number in range(self.streams)}
        answer = await client.xreadgroup("lp", worker, names, count=count, block=_milliseconds(READ_SECONDS))
        return [
            Entry(int(name.rpartition(b":")[2]), _text(entry.identifier), _text(entry.field_values[b"i"]))
            for name, entries in (answer or {}).items()
            for entry in entries
        ]

    async def step(self, worker: str, steps: Sequence[Sequence[Any]]) -> list[tuple[str, int]]:
        """Record what a worker did, at most EVENTS_AT_A_TIME steps. ``lua/step.lua`` describes steps and answers."""
        return [(word.decode(), int(attempt)) for word, attempt in await self._call("step", worker=worker, steps=steps)]

    async def renew(self, worker: str, lease: int, held: Iterable[Entry]) -> tuple[bool, set[str]]:
        """
        Keep what a worker holds for another lease, in milliseconds.

        Return whether the lease had not run out, and the ids that the worker does not hold any more.
        """
        entries = [(entry.stream, entry.message, entry.event_id) for entry in held]
        was_alive, lost = await self._call("renew", worker=worker, lease=lease, held=entries)
        return bool(was_alive), {event_id.decode() for event_id in lost}

    async def wait_for_messages(self, client: Client, worker: str, cursors: dict[str, str]) -> list[Message]:
        """
        Wait for READ_SECONDS at most, and return messages for a worker, and those for all workers.

        Args:
            client: For a read that blocks.
            worker: The name of the worker.
            cursors: What was read. Empty at first; this method keeps it.
        """
        mailbox, bell = f"{self.prefix}m:{worker}", f"{self.prefix}bell"
        names = {name: cursors.get(name, "0-0") for name in (mailbox, bell)}
        answer = await client.xread(names, count=READ_AT_A_TIME, block=_milliseconds(READ_SECONDS))
        messages = []
        for name, entries in (answer or {}).items():
            cursors[name.decode()] = _text(entries[-1].identifier)
            for entry in entries:
                fields = entry.field_values
                messages.append(Message(*(_text(fields.get(part, b"")) for part in (b"i", b"s", b"b"))))
        return messages

    async def promote(self) -> float | None:
        """Put what is due into its stream. Return the seconds until the next event is due. None if none is delayed."""
        left = await self._call("promote", limit=EVENTS_AT_A_TIME, keep=KEEP_TRANSITIONS, length=MAX_TRANSITIONS)
        return None if left < 0 else left / 1e6


def _without_bytes(value: Any, blobs: list[bytes]) -> Any:
    """Return a value in which bytes are replaced by their numbers in a list, from 1 on. Empty ones by 0."""
    if isinstance(value, bytes):
        if not value:
            return 0
        blobs.append(value)
        return len(blobs)
    if isinstance(value, dict):
        return {name: _without_bytes(one, blobs) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_bytes(one, blobs) for one in value]
    return value


def _text(name: str | bytes) -> str:
    """Return a name that the client may have decoded."""
    return name if isinstance(name, str) else name.decode()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _taken(answer: Sequence[Any]) -> Taken:
    """Return an event from what ``take.lua`` returns."""
    event_id, number, message, status, attempt, envelope, attempts = answer
    entry = Entry(int(number), message.decode(), event_id.decode())
    return Taken(entry, status.decode(), int(attempt), envelope, attempts)


def _moved(entry: Any) -> Moved:
    """Return a transition from an entry of the stream."""
    fields = entry.field_values
    return Moved(
        _text(entry.identifier),
        fields[b"i"].decode(),
        fields[b"s"].decode(),
        int(fields[b"a"]),
        fields[b"w"].decode(),
        fields[b"o"],
    )
