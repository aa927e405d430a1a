"""
One queue on a server: what its scripts take and return, with types.

Times and ids are those of ``queue_types``.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from lionpride_exec._status import EventStatus

from .queue_settings import FORMAT, QueueSettings, check_format, check_settings
from .queue_types import READ_SECONDS, Look, Message, Moved, StreamEntry, Taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from .queue_types import Submission
    from .wire import Client, Wire

T = TypeVar("T")

# Events in one round trip.
EVENTS_AT_A_TIME = 200

# For how many milliseconds a transition can be read at least, and how many transitions are kept at most.
KEEP_TRANSITIONS = 600_000
MAX_TRANSITIONS = 1_000_000

# Transitions and messages that are read at a time.
READ_AT_A_TIME = 1_000


class ServerQueue:
    """
    One queue on a server.

    The methods that take a client are for :meth:`Wire.keep_reading`. They raise what the client raises.

    Args:
        wire: The connection.
        name: The name of the queue.
        levels: How many levels of priority there are.
        lowest: The number of the lowest level. None if it is not known.
        lease: Seconds of the lease of the worker that is going to open the queue. None for other clients.

    Attributes:
        name: See above.
        lowest: See above. That of the queue once it is open.
        lease: See above, in milliseconds.
        epoch: The name of the data of the queue. "" before the queue is open.
    """

    def __init__(
        self, wire: Wire, name: str, *, levels: int, lowest: int | None = None, lease: float | None = None
    ) -> None:
        self.wire: Wire = wire
        self.prefix: str = f"lp:{{{name}}}:"
        self.streams: int = levels + 1
        self.lowest: int | None = lowest
        self.epoch: str = ""
        self.name: str = name
        self.lease: int | None = None if lease is None else in_milliseconds(lease)

    async def open(self) -> str:
        """
        Make the queue if it is not there. Return the cursor of its last transition.

        Raises:
            ClusterError: The server is not reached, or the queue is of another format.
            ConfigurationError: The queue has other levels, or other workers that are alive have another lease.

        Cancellation: the queue may have been made.
        """
        answer = await self.wire.call(
            "open",
            self.prefix,
            format=FORMAT,
            new_epoch=secrets.token_hex(8),
            streams=self.streams,
            lowest=self.lowest,
            lease=self.lease,
        )
        found, epoch, cursor, streams, lowest, lease = (part.decode() for part in answer)
        self.epoch = epoch
        check_format(self.name, found)
        common = QueueSettings(int(streams), int(lowest) if lowest else None, int(lease) if lease else None)
        check_settings(self.name, QueueSettings(self.streams, self.lowest, self.lease), common)
        self.lowest = common.lowest
        return str(cursor)

    async def _call(self, script: str, **arguments: Any) -> Any:
        """Call a script. Bytes in the arguments, at any depth, are sent apart."""
        blobs: list[bytes] = []
        return await self.wire.call(script, self.prefix, blobs, epoch=self.epoch, **_without_bytes(arguments, blobs))

    # ---------------------------------------------------------------- clients

    async def submit(self, submissions: Sequence[Submission]) -> list[tuple[str, str]]:
        """
        Submit events, at most EVENTS_AT_A_TIME. One round trip.

        Returns:
            A word and an id for each event. "new", and its id: it is stored. "again", and its id: the queue has it
            already. "known", and the id of the event that has its key. "missing", and an id in ``after`` that the queue
            does not know. Only "new" events are stored.

        Raises:
            ClusterError: The server was not reached, refuses, is full, or has lost the data. The events may be stored.
                They can be submitted again, since the queue knows them by their ids.

        Cancellation: the events may be stored.
        """
        answers = await self._call("submit", events=[attrs.astuple(one, recurse=False) for one in submissions])
        return [(word.decode(), event_id.decode()) for word, event_id in answers]

    async def cancel(self, event_ids: Sequence[str], status: str, outcomes: Sequence[bytes]) -> list[str]:
        """
        End pending events, and ask the workers of running events to end them.

        Return a word for each event. "ended": it was pending and has ended now. "sent": its worker is asked. "late": it
        had ended before. "unknown": the queue does not know it.

        Raises:
            ClusterError: The server was not reached, refuses, or has lost the data. The events may have ended.

        Cancellation: the events may have ended.
        """
        answers = await self._call("cancel", ids=event_ids, status=status, outcomes=outcomes)
        return [word.decode() for word in answers]

    async def states(self, event_ids: Sequence[str]) -> tuple[str, list[Moved]]:
        """
        Return the cursor of the last transition, and the status of events at that moment.

        At most EVENTS_AT_A_TIME events. One round trip. An event that the queue does not know has the status "".

        Raises:
            ClusterError: The server was not reached, refuses, or has lost the data.

        Cancellation: changes nothing.
        """
        cursor, answers = await self._call("states", ids=event_ids)
        found = [
            Moved("", event_id, status.decode(), int(attempt), worker.decode(), outcome, because.decode())
            for event_id, (status, attempt, worker, outcome, because) in zip(event_ids, answers, strict=True)
        ]
        return cursor.decode(), found

    async def wait_for_transitions(self, client: Client, cursor: str) -> list[Moved]:
        """
        Wait for READ_SECONDS at most, and return up to READ_AT_A_TIME transitions after a cursor, in order.

        Cancellation: changes nothing.
        """
        name = f"{self.prefix}t"
        answer = await client.xread({name: cursor}, count=READ_AT_A_TIME, block=in_milliseconds(READ_SECONDS))
        return [moved_of(entry) for entry in (answer or {}).get(name.encode(), ())]

    async def has_dropped(self, cursor: str) -> bool:
        """Return whether the server may have dropped transitions after a cursor. Raises like :meth:`states`."""
        return bool(await self._call("dropped", cursor=cursor, safe=KEEP_TRANSITIONS // 2))

    async def follow(self, cursor: str, handle: Callable[[list[Moved]], Awaitable[None]]) -> None:
        """
        Call a function with the transitions after a cursor, in order, until cancelled.

        Raises:
            ClusterError: The server refuses.

        Cancellation: like :meth:`Wire.keep_reading`.
        """

        async def read(client: Client) -> list[Moved]:
            """Read the next transitions, or wait for them."""
            return await self.wait_for_transitions(client, cursor)

        async def handle_and_go_on(moved: list[Moved]) -> None:
            """Call the function, and move the cursor behind these transitions."""
            nonlocal cursor
            if moved:
                await handle(moved)
                cursor = moved[-1].cursor

        await self.wire.keep_reading(read, handle_and_go_on)

    async def has_transition(self, cursor: str) -> bool:
        """
        Return whether the stream still has a transition. If it does, it has all later ones too.

        Raises:
            ClusterError: The server was not reached, or refuses.

        Cancellation: changes nothing.
        """
        found = await self.wire.command(lambda client: client.xrange(f"{self.prefix}t", cursor, cursor))
        return bool(found)

    # ---------------------------------------------------------------- workers

    async def take(
        self,
        worker: str,
        want: int,
        read: Iterable[StreamEntry] = (),
        *,
        idle: int = 0,
        known: Iterable[str] | None = None,
    ) -> tuple[Look, list[Taken]]:
        """
        Return what the look has come to, and events for a worker, most urgent first.

        Args:
            worker: The name of the worker.
            want: How many it has room for.
            read: Entries that it has read itself, by :meth:`wait_for_entries`. Their events are returned too.
            idle: Milliseconds after which the entry of another worker is taken over. 0: none is taken over.
            known: The ids of the events that the worker knows it holds. Other events that it holds are returned too:
                the answer with them was lost. None if no answer was lost.

        Raises:
            ClusterError: The server was not reached, refuses, or has lost the data. The worker may hold events that are
                unknown to it, see ``known``.

        Cancellation: the worker may hold events that are unknown to it.
        """
        entries = [(entry.stream, entry.entry_id, entry.event_id) for entry in read]
        look, answers = await self._call(
            "take",
            worker=worker,
            want=want,
            read=entries,
            idle=idle,
            known=False if known is None else list(known),
            streams=self.streams,
        )
        return Look(look), [_taken(answer) for answer in answers]

    async def wait_for_entries(self, client: Client, worker: str) -> list[StreamEntry]:
        """
        Wait for READ_SECONDS at most, and return new entries, which the worker holds from then on.

        If several streams have entries, one entry of each is returned, since the server counts by stream. So call
        :meth:`take` first.

        Cancellation: the worker may hold entries that were not returned, see ``known`` of :meth:`take`.
        """
        names = {f"{self.prefix}q:{number}": ">" for number in range(self.streams)}
        answer = await client.xreadgroup("lp", worker, names, count=1, block=in_milliseconds(READ_SECONDS))
        return [
            StreamEntry(
                int(name.rpartition(b":")[2]), _text(entry.identifier), _text(entry.field_values.get(b"i", b""))
            )
            for name, entries in (answer or {}).items()
            for entry in entries
        ]

    async def lost_places(self, event_ids: Sequence[str]) -> list[str]:
        """
        Return the events whose run has lost a place under a limit. Raises like :meth:`step`.

        Cancellation: changes nothing.
        """
        return [event_id.decode() for event_id in await self._call("places", ids=event_ids)]

    async def step(
        self, worker: str, steps: Sequence[Sequence[Any]], *, may_judge: bool = True
    ) -> list[tuple[str, *tuple[int, ...]]]:
        """
        Record what a worker did, at most EVENTS_AT_A_TIME steps. ``lua/step.lua`` describes steps and answers.

        Args:
            worker: The name of the worker.
            steps: What the worker reports.
            may_judge: Whether a limit takes back what a worker has taken whose lease has run out.

        Raises:
            ClusterError: The server was not reached, refuses, or has lost the data. The steps may have been recorded.
                They can be sent again: a step that is recorded changes nothing.

        Cancellation: the steps may have been recorded.
        """
        answers = await self._call("step", worker=worker, steps=steps, judge=may_judge)
        return [(word.decode(), *map(int, numbers)) for word, *numbers in answers]

    async def renew(
        self, worker: str, lease: int, held: Iterable[StreamEntry], description: str = ""
    ) -> tuple[bool, set[str]]:
        """
        Keep what a worker holds for another lease, in milliseconds. The description is what it says of itself.

        Return whether the lease had not run out, and the ids that the worker does not hold any more.

        Raises:
            ClusterError: The server was not reached, refuses, or has lost the data. The lease may have been renewed.

        Cancellation: the lease may have been renewed.
        """
        entries = [(entry.stream, entry.entry_id, entry.event_id) for entry in held]
        call = secrets.token_hex(4)
        was_alive, lost = await self._call(
            "renew", worker=worker, description=description, lease=lease, held=entries, call=call
        )
        return bool(was_alive), {event_id.decode() for event_id in lost}

    async def wait_for_messages(self, client: Client, worker: str, cursors: dict[str, str]) -> list[Message]:
        """
        Wait for READ_SECONDS at most, and return messages for a worker, and those for all workers.

        Args:
            client: For a read that blocks.
            worker: The name of the worker.
            cursors: The last cursor of each stream. Empty at first. This method changes it.

        Cancellation: changes nothing.
        """
        mailbox, bell = f"{self.prefix}m:{worker}", f"{self.prefix}bell"
        names = {name: cursors.get(name, "0-0") for name in (mailbox, bell)}
        answer = await client.xread(names, count=READ_AT_A_TIME, block=in_milliseconds(READ_SECONDS))
        messages = []
        for name, entries in (answer or {}).items():
            cursors[name.decode()] = _text(entries[-1].identifier)
            for entry in entries:
                fields = entry.field_values
                event_id, status, bucket = (_text(fields.get(part, b"")) for part in (b"i", b"s", b"b"))
                messages.append(Message(event_id, status, bucket, cast("bytes", fields.get(b"o", b""))))
        return messages

    async def promote(self) -> float | None:
        """
        Put events that are due into their streams. Return the seconds until the next is due. None if there is none.

        Raises:
            ClusterError: The server was not reached, refuses, or has lost the data.

        Cancellation: events that are due may be in their streams.
        """
        left = await self._call("promote", limit=EVENTS_AT_A_TIME, keep=KEEP_TRANSITIONS, length=MAX_TRANSITIONS)
        return None if left < 0 else left / 1e6


_PLAIN = frozenset({str, int, float, bool, type(None)})


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
        # Most are texts and numbers. A call for each of them would take longer than all else here.
        return [one if type(one) in _PLAIN else _without_bytes(one, blobs) for one in value]
    return value


def _text(name: str | bytes) -> str:
    """Return a name as text. The client may have decoded it. Bytes that are no text are replaced."""
    return name if isinstance(name, str) else name.decode(errors="replace")


def in_milliseconds(seconds: float) -> int:
    """Return a time as the server takes it."""
    return round(seconds * 1000)


def _taken(answer: Sequence[Any]) -> Taken:
    """Return an event from what ``take.lua`` returns."""
    event_id, number, entry_id, status, attempt, envelope, attempts = answer
    entry = StreamEntry(int(number), entry_id.decode(), event_id.decode())
    return Taken(entry, status.decode(), int(attempt), envelope, attempts)


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Return a sequence in parts, each for one round trip: at most EVENTS_AT_A_TIME."""
    for first in range(0, len(items), EVENTS_AT_A_TIME):
        yield items[first : first + EVENTS_AT_A_TIME]


def moved_of(entry: Any) -> Moved:
    """Return a transition from an entry of the stream. Its ``event_id`` is "" if the entry is no transition."""
    cursor, fields = _text(entry.identifier), entry.field_values
    if b"u" in fields:
        refused = _text(fields.get(b"i", b"")), _text(fields[b"u"])
        return Moved(cursor, "", "", 0, _text(fields.get(b"w", b"")), b"", refused=refused)
    try:
        event_id, status, worker = (fields[name].decode() for name in (b"i", b"s", b"w"))
        return Moved(cursor, event_id, EventStatus(status).value, int(fields[b"a"]), worker, fields[b"o"])
    except (KeyError, ValueError):
        return Moved(cursor, "", "", 0, "", b"")
