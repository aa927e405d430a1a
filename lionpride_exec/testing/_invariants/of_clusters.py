"""
What holds of a queue on a server at any moment, whatever became of its clients and workers.

Each invariant is a generator of findings about a snapshot: a sentence about what is wrong. Its name is that of the
function, with ``cluster_`` in front. The first line of its docstring says what has to hold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from math import isclose
from typing import TYPE_CHECKING, Final

from lionpride_exec._status import COMPLETED, PENDING, PROCESSING, TERMINAL, TRANSITIONS, EventStatus

from .cluster_snapshot import Snapshot, StoredEvent, take_snapshot
from .invariant import InvariantBroken

if TYPE_CHECKING:
    from lionpride_exec._cluster.server_queue import ServerQueue

# How many findings of one invariant the message has.
MAX_SHOWN = 20

Find = Callable[[Snapshot], Iterator[str]]

_CHECKS: Final[dict[str, Find]] = {}

OF_CLUSTERS: Final[dict[str, str]] = {}
"""The sentence of each invariant by name."""


def _invariant(find: Find) -> Find:
    """Register a function as an invariant."""
    name = f"cluster_{find.__name__}"
    _CHECKS[name] = find
    OF_CLUSTERS[name] = (find.__doc__ or "").strip().partition("\n")[0]
    return find


async def check_cluster(queue: ServerQueue, *, lease: float | None = None) -> None:
    """
    Check the invariants of a queue on a server, at one moment. Changes nothing.

    The server does nothing else meanwhile, for some seconds if the queue has 100,000 events. So this is for tests.

    Args:
        queue: The queue, which is open.
        lease: The lease of all workers in seconds. If given, no worker may hold what it has not renewed for two leases,
            once its own lease has run out. None: this is not checked, since there may be no worker to take it over.

    Raises:
        InvariantBroken: Something is wrong. The message has all that was found, ``.invariant`` the name of the first
            invariant that is broken.
        ClusterError: The server was not reached, or it refused.

    Cancellation: changes nothing.
    """
    snapshot = await take_snapshot(queue)
    findings = {name: list(find(snapshot)) for name, find in _CHECKS.items()}
    if lease is not None:
        findings["cluster_leases"] = list(_overdue(snapshot, lease))
    broken = {name: found for name, found in findings.items() if found}
    if not broken:
        return
    lines: list[str] = []
    for name, found in broken.items():
        lines += [f"{name}: {OF_CLUSTERS[name]} But:", *(f"  {one}" for one in found[:MAX_SHOWN])]
        if len(found) > MAX_SHOWN:
            lines.append(f"  and {len(found) - MAX_SHOWN} more")
    raise InvariantBroken(next(iter(broken)), "\n".join(lines))


def _said(event: StoredEvent) -> str:
    return f"event {event.event_id}, {event.status}"


# ---------------------------------------------------------------- of events


@_invariant
def counts(snapshot: Snapshot) -> Iterator[str]:
    """The count of each status is the number of events that have it, those that have expired included."""
    # What has expired is known by the transitions only, if they are all there.
    last = dict(snapshot.moved) if snapshot.is_whole else {}
    known = last | {event.event_id: event.status for event in snapshot.events.values()}
    numbers = Counter(known.values())
    for status in sorted({*snapshot.counts, *numbers}):
        counted, number = snapshot.counts.get(status, 0), numbers[status]
        is_exact = snapshot.is_whole or status not in TERMINAL
        if counted < number or (is_exact and counted > number):
            yield f"{counted} events are counted as {status}, and {number} are"


@_invariant
def places(snapshot: Snapshot) -> Iterator[str]:
    """An event that may start or runs is in one stream or line, or delayed. No other event is in any of these."""
    found: dict[str, list[str]] = defaultdict(list)
    for stream, entry_id, event_id in snapshot.entries:
        found[event_id].append(f"stream {stream} as {entry_id}")
    for event_id in snapshot.delayed:
        found[event_id].append("the delayed events")
    for name, bucket in snapshot.buckets.items():
        for event_id in bucket.line:
            found[event_id].append(f"the line of limit {name}")
    for event in snapshot.events.values():
        is_somewhere = event.status == PROCESSING or (event.status == PENDING and event.waits_for == 0)
        in_them = found.pop(event.event_id, [])
        if len(in_them) != is_somewhere:
            yield f"{_said(event)}: is in {' and '.join(in_them) or 'no place'}"
    for event_id, in_them in found.items():
        yield f"there is no event {event_id!r}, but it is in {' and '.join(in_them)}"


@_invariant
def entries(snapshot: Snapshot) -> Iterator[str]:
    """An event names its entry in a stream. Workers hold only entries that exist, and that of each event that runs."""
    there = {(stream, entry_id): event_id for stream, entry_id, event_id in snapshot.entries}
    held = {(one.stream, one.entry_id) for one in snapshot.held}
    for event in snapshot.events.values():
        entry = event.stream, event.entry_id
        if event.entry_id and there.get(entry) != event.event_id:
            yield f"{_said(event)}: names {event.entry_id} of stream {event.stream}, which is not its entry"
        elif event.status == PROCESSING and entry not in held:
            yield f"{_said(event)}: no worker holds it"
    for (stream, entry_id), event_id in there.items():
        named = snapshot.events.get(event_id)
        if named is not None and (named.stream, named.entry_id) != (stream, entry_id):
            yield f"{_said(named)}: does not name its entry {entry_id} of stream {stream}"
    for one in snapshot.held:
        if (one.stream, one.entry_id) not in there:
            yield f"worker {one.worker} holds {one.entry_id} of stream {one.stream}, which is not there"


@_invariant
def followers(snapshot: Snapshot) -> Iterator[str]:
    """An event waits for as many open events as list it as a follower. No event waits for one that has ended."""
    waits: Counter[str] = Counter()
    for event_id, ids in snapshot.followers.items():
        event = snapshot.events.get(event_id)
        if event is None or event.status in TERMINAL:
            yield f"event {event_id} has ended, and {len(ids)} events are said to wait for it"
        waits.update(ids)
    for event in snapshot.events.values():
        if event.status == PENDING and event.waits_for != waits[event.event_id]:
            yield f"{_said(event)}: waits for {event.waits_for} events, and {waits[event.event_id]} know of it"


@_invariant
def keys(snapshot: Snapshot) -> Iterator[str]:
    """The key of an event leads to the event."""
    for event in snapshot.events.values():
        if event.key and event.key_id != event.event_id:
            yield f"{_said(event)}: its key {event.key} leads to {event.key_id or 'nothing'}"


@_invariant
def kept(snapshot: Snapshot) -> Iterator[str]:
    """The envelope of an event is there, and nothing of an event expires before its end."""
    for event in snapshot.events.values():
        if not event.has_envelope:
            yield f"{_said(event)}: its envelope is gone"
        if event.expires and event.status not in TERMINAL:
            yield f"{_said(event)}: expires"


# ---------------------------------------------------------------- of workers and limits


@_invariant
def limits(snapshot: Snapshot) -> Iterator[str]:
    """The sum of the costs that a limit keeps is its use, and only an event that runs holds a cost until its end."""
    runs = {event.token: event for event in snapshot.events.values() if event.status == PROCESSING}
    for name, bucket in snapshot.buckets.items():
        total = sum(bucket.costs.values())
        if not isclose(bucket.used, total, rel_tol=1e-9, abs_tol=1e-9):
            yield f"limit {name}: {bucket.used:g} are used, and the costs make {total:g}"
        if bucket.costs.keys() != bucket.uses | bucket.holds or bucket.uses & bucket.holds:
            yield (
                f"limit {name}: the costs are of the runs {sorted(bucket.costs)}; those of {sorted(bucket.uses)} come "
                f"back at a time, those of {sorted(bucket.holds)} after their run"
            )
        for token in sorted(bucket.holds):
            if token not in runs or name not in runs[token].buckets:
                yield f"limit {name}: run {token} holds of it, and does not go on"
    for event in snapshot.events.values():
        if event.buckets and event.status != PROCESSING:
            yield f"{_said(event)}: holds {', '.join(event.buckets)}"


@_invariant
def lines(snapshot: Snapshot) -> Iterator[str]:
    """While events wait in line at a limit, a run holds some of it, or it is the turn of one. So the line moves."""
    turns = {event.turn_at for event in snapshot.events.values() if event.status == PENDING}
    for name, bucket in snapshot.buckets.items():
        if bucket.line and not bucket.holds and name not in turns:
            yield f"limit {name}: {len(bucket.line)} events stand in line, and nothing will let them go on"
        for event_id in bucket.line:
            event = snapshot.events.get(event_id)
            if event is not None and event.parked_at != name:
                yield f"{_said(event)}: stands in line at limit {name}, and is parked at {event.parked_at or 'none'}"
    for event in snapshot.events.values():
        if event.turn_at and event.status != PENDING:
            yield f"{_said(event)}: it is its turn at limit {event.turn_at}"


def _overdue(snapshot: Snapshot, lease: float) -> Iterator[str]:
    """No worker holds an event longer than a lease after its own lease has run out."""
    for one in snapshot.held:
        if not one.is_alive and one.idle > 2000 * lease:
            yield f"worker {one.worker} has not renewed {one.entry_id} of stream {one.stream} for {one.idle / 1000:g} s"


OF_CLUSTERS["cluster_leases"] = (_overdue.__doc__ or "").strip()


# ---------------------------------------------------------------- over time


@_invariant
def transitions(snapshot: Snapshot) -> Iterator[str]:
    """The transitions of an event follow the table, with one final status, unless it is retried after that."""
    if not snapshot.is_whole:
        return
    last: dict[str, str] = {}
    for event_id, status in snapshot.moved:
        before = last.get(event_id)
        if not _may_follow(before, status):
            yield f"event {event_id}: {before or 'nothing'} -> {status}"
        last[event_id] = status
    for event in snapshot.events.values():
        if last.get(event.event_id) != event.status:
            yield f"{_said(event)}: the last transition was to {last.get(event.event_id, 'nothing')}"


def _may_follow(before: str | None, status: str) -> bool:
    """Return whether a status may follow another one on a server. None: the event is new."""
    if before is None:
        return status == PENDING
    if before in TERMINAL:
        return status == PENDING and before != COMPLETED  # a retry
    if before == status == PROCESSING:
        return True  # another worker has taken it over
    return before in TRANSITIONS and status in TRANSITIONS[EventStatus(before)]
