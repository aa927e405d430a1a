"""A queue on a server at one moment, as invariants look at it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lionpride_exec._cluster.server_queue import ServerQueue


@attrs.frozen
class StoredEvent:
    """
    What the queue has of an event.

    Attributes:
        event_id: Its id.
        status: Its status.
        token: The token of its last run. "" before the first.
        entry_id: Its entry in a stream. "" if it has none.
        stream: The number of that stream.
        waits_for: How many events have to be completed first.
        key: Its key. "" if it has none.
        buckets: The limits of which its run has taken.
        key_id: The id of the event to which the key leads. "" if it leads to none.
        has_envelope: Whether its envelope is there.
        expires: Whether something of it expires.
        parked_at: The limit at which it is parked, in a line or until it is due. "" if it is not.
        turn_at: The limit from whose line it was taken. "" if it was not, or has begun.
    """

    event_id: str
    status: str
    token: str
    entry_id: str
    stream: int
    waits_for: int
    key: str
    buckets: Sequence[str]
    key_id: str
    has_envelope: bool
    expires: bool
    parked_at: str
    turn_at: str


@attrs.frozen
class Holding:
    """
    An entry that a worker holds.

    Attributes:
        stream: The number of the stream.
        entry_id: The id of the entry.
        worker: The worker.
        idle: Milliseconds since the worker has taken or renewed it.
        is_alive: Whether the lease of the worker runs.
    """

    stream: int
    entry_id: str
    worker: str
    idle: int
    is_alive: bool


@attrs.frozen
class Bucket:
    """
    What is out of a limit for one key.

    Attributes:
        used: The sum of the costs, as the server counts it.
        costs: Cost by token.
        uses: The tokens whose cost comes back at a time.
        holds: The tokens whose cost comes back after the end of the run.
        line: The ids of the events that stand in line until a run ends.
    """

    used: float
    costs: dict[str, float]
    uses: frozenset[str]
    holds: frozenset[str]
    line: Sequence[str]


@attrs.frozen
class Snapshot:
    """
    A queue at one moment.

    Attributes:
        events: Its events by id.
        counts: How many events the queue counts for each status.
        entries: The entries of its streams: number of the stream, id of the entry, id of the event.
        held: The entries that workers hold.
        delayed: The ids of events that wait until they are due.
        followers: By id of an event, the ids of those that wait for it.
        buckets: The limits by name.
        moved: The transitions in order: id and status.
        is_whole: Whether these are all transitions that there were.
    """

    events: dict[str, StoredEvent]
    counts: dict[str, int]
    entries: list[tuple[int, str, str]]
    held: list[Holding]
    delayed: list[str]
    followers: dict[str, list[str]]
    buckets: dict[str, Bucket]
    moved: list[tuple[str, str]]
    is_whole: bool


async def take_snapshot(queue: ServerQueue) -> Snapshot:
    """
    Return what a queue has at one moment. The server does nothing else meanwhile: some seconds for 100,000 events.

    Raises:
        ClusterError: The server was not reached, or it refused.

    Cancellation: changes nothing.
    """
    text = files("lionpride_exec.testing._invariants").joinpath("cluster_snapshot.lua").read_text("utf-8")
    answer: Any = await queue.wire.command(
        lambda client: client.eval(text, keys=[f"{queue.prefix}meta"], args=[queue.streams])
    )
    found: dict[str, Any] = json.loads(answer.decode(errors="replace"))
    return Snapshot(
        events={one["event_id"]: StoredEvent(**one) for one in found["events"]},
        counts={status: int(number) for status, number in _map(found["counts"]).items()},
        entries=[(stream, entry_id, event_id) for stream, entry_id, event_id in found["entries"]],
        held=[Holding(*one) for one in found["held"]],
        delayed=list(found["delayed"]),
        followers={event_id: list(ids) for event_id, ids in found["followers"]},
        buckets={name: _bucket(one) for name, one in _map(found["buckets"]).items()},
        moved=[(event_id, status) for event_id, status in found["moved"]],
        is_whole=found["is_whole"],
    )


def _map(found: dict[str, Any]) -> dict[str, Any]:
    """Return a map without the entry that the script puts into each, since JSON of the server has no empty maps."""
    return {name: value for name, value in found.items() if name}


def _bucket(found: dict[str, Any]) -> Bucket:
    costs = {name: float(value) for name, value in _map(found["costs"]).items()}
    used, _, _ = (costs.pop(name, 0.0) for name in ("used", "shut", "next"))
    uses, holds = (frozenset(_map(found[name])) for name in ("uses", "holds"))
    return Bucket(used, costs, uses, holds, list(found["line"]))
