"""
The queue of a cluster, as its server knows it.

The server has no list of events in order, no index but that of ids and keys, and keeps the transitions of some minutes.
So pages come in no order, and may be empty although others follow. Errors, throughput and the timeline are those of the
last 10,000 transitions that were there when the source first looked, and of all since. The server does not list its
limits, and what they are for is known to the workers only: :meth:`ClusterSource.limits` returns nothing.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from math import ceil
from typing import TYPE_CHECKING, Final
from uuid import UUID

import anyio
import attrs

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import counted
from lionpride_exec._cluster.engine import QueueQueries, Wire, batches, find_queue
from lionpride_exec._executor.cluster_rows import envelope_of, moment, outcome_of, row_of
from lionpride_exec._journal.meant_keys import event_keys_meant_by
from lionpride_exec._journal.run_watcher import ending_of
from lionpride_exec._status import BAD, FINAL, HELD, EventStatus
from lionpride_exec.errors import NotFoundError, OperationError

from .journal_lines import RowFilter, progress_in_words, row_view
from .live_actions import ENDED, chosen_ids, refused_here
from .live_rings import MOST_RUNS, MOST_SECONDS, RETRIED, Shapes
from .snapshot import ALL_PAUSED, MOST_OTHERS, Choice, EventPage, RunLine, Second, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lionpride_exec._cluster.engine import Details, Moved, ServerQueue

    from .snapshot import Action, ErrorLine, EventLine, EventView, LimitLine

# Transitions that are asked for at once, and at most between two looks.
AT_A_TIME: Final = 1000
MOST_READ: Final = 10_000

# Seconds for which a command is tried again.
PATIENCE: Final = 5.0

# Keys of the server that a page looks at, about.
KEYS_A_PAGE: Final = 5000

_STATUSES: Final = tuple(EventStatus.allowed())


@asynccontextmanager
async def opened_cluster(url: str, name: str, *, writable: bool = True) -> AsyncIterator[ClusterSource]:
    """
    Connect to a queue while the block runs.

    Args:
        url: The URL of the server.
        name: The name of the queue.
        writable: Whether :meth:`ClusterSource.act` does anything.

    Raises:
        NotFoundError: The server has no queue of this name.
        ClusterError: The server is not reached, or refuses.
        Exception: What the block raises.
    """
    shown = url.rpartition("@")[2]
    wire = Wire(url, shown, patience=PATIENCE)
    failure: Exception | None = None  # raised outside of the group, which would wrap it
    async with anyio.create_task_group() as group, wire.opened(group):
        try:
            queue = await find_queue(wire, name)
            if queue is None:
                raise NotFoundError(f"there is no queue {name} on {shown}")  # noqa: TRY301  see above
            yield ClusterSource(queue, writable=writable)
        except Exception as exc:  # noqa: BLE001  see above
            failure = exc
    if failure is not None:
        raise failure


class ClusterSource:
    """
    A source that asks the server of a cluster. Each question costs one round trip or some.

    Args:
        queue: The queue, which is open.
        writable: Whether :meth:`act` does anything.

    Raises:
        ClusterError: From any method: the server is not reached, or refuses.
    """

    def __init__(self, queue: ServerQueue, *, writable: bool = True) -> None:
        self._queue = queue
        self._queries = QueueQueries(queue)
        self._is_writable = writable
        self._cursor = ""  # of the last transition that was read
        self._begun: dict[str, float] = {}  # when the events began that run, by id, in this order
        self._runs: list[RunLine] = []
        self._ended: dict[int, dict[str, int]] = {}
        self._shapes = Shapes()

    @property
    def name(self) -> str:
        """The name of the queue."""
        return self._queue.name

    @property
    def takes_actions(self) -> bool:
        """Whether :meth:`act` does anything."""
        return self._is_writable

    async def aclose(self) -> None:
        """Do nothing: the connection belongs to the block that has opened it."""

    # ---------------------------------------------------------------- the whole

    async def version(self) -> object:
        """Return a text that changes with each transition and each pause. Two round trips."""
        last = await self._queries.transitions(1)
        return f"{last[-1].cursor if last else 0}-{await self._queries.is_paused()}"

    async def snapshot(self) -> Snapshot:
        """Return how the queue does: its counts, its workers, whether it is paused."""
        counts = dict.fromkeys((*_STATUSES, HELD), 0) | await self._queries.counts()
        workers = [worker for worker in await self._queries.workers() if worker.alive or worker.holds]
        is_paused = await self._queries.is_paused()
        alive = sum(worker.alive for worker in workers)
        now = wall_clock.seconds()
        await self._follow()
        recent = sum(sum(each.values()) for at, each in self._ended.items() if at > now - 60)
        return Snapshot(
            name=self.name,
            at=now,
            state="paused" if is_paused else "running" if alive else "stopped",
            is_live=False,
            counts=counts,
            progress=progress_in_words(counts),
            rate=recent / 60,
            slots_used=counts[EventStatus.PROCESSING],
            pauses=(ALL_PAUSED,) if is_paused else (),
            notes=(
                f"workers that are alive: {alive:,}",
                *(f"worker {one.name} is gone and holds {one.holds:,} events" for one in workers if not one.alive),
            ),
        )

    async def limits(self, count: int) -> tuple[LimitLine, ...]:  # noqa: ARG002  as all sources
        """Return nothing: the server has no list of its limits."""
        return ()

    # ---------------------------------------------------------------- events

    async def running(self, count: int) -> tuple[EventLine, ...]:
        """Return the events that run, the longest first: those whose beginning was among the transitions."""
        await self._follow()
        lines = await self._lines(list(self._begun)[:count], Choice(status="processing"))
        return tuple(lines)

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events that fit, in no order. An event that changes meanwhile may be missing, or come twice."""
        if choice.key is not None:
            ids = await self._queries.ids_of_keys(event_keys_meant_by(choice.key))
            return EventPage(lines=tuple(await self._lines([one for one in ids if one], choice)))
        status, cursor, skipped = self._place(choice, before)
        if status is None:
            return EventPage(lines=())
        after, ids = await self._queries.ids(status, cursor, KEYS_A_PAGE)
        ids = sorted(dict.fromkeys(ids))[skipped:]
        lines: list[EventLine] = []
        taken = 0
        while taken < len(ids) and len(lines) < count:
            some = ids[taken : taken + count - len(lines)]
            lines += await self._lines(some, choice)
            taken += len(some)
        if taken < len(ids):
            return EventPage(lines=tuple(lines), before=f"{status}.{cursor}.{skipped + taken}")
        return EventPage(lines=tuple(lines), before=self._next(choice, status, after))

    def _place(self, choice: Choice, before: str | None) -> tuple[str | None, str, int]:
        """
        Return the status, the cursor of the server, and how many ids of its answer are passed over.

        Raises:
            NotFoundError: There is no such status or page.
        """
        if choice.status == HELD:
            return None, "0", 0
        if choice.status is not None and choice.status not in _STATUSES:
            raise NotFoundError(f"there is no status {choice.status!r}")
        if before is None:
            return choice.status or _STATUSES[0], "0", 0
        status, _, rest = before.partition(".")
        cursor, _, skipped = rest.partition(".")
        if status not in _STATUSES or not (cursor.isdecimal() and skipped.isdecimal() and before.isascii()):
            raise NotFoundError("there is no such page: read the first page again")
        return status, cursor, int(skipped)

    @staticmethod
    def _next(choice: Choice, status: str, cursor: str) -> str | None:
        if cursor != "0":
            return f"{status}.{cursor}.0"
        last = _STATUSES.index(status) + 1
        return None if choice.status is not None or last == len(_STATUSES) else f"{_STATUSES[last]}.0.0"

    async def _lines(self, ids: list[str], choice: Choice) -> list[EventLine]:
        chosen = RowFilter(choice)
        found = [one for one in await self._queries.details(ids) if one is not None] if ids else []
        lines = [(one, line) for one in found if (line := chosen.line(row_of(one))) is not None]
        return [attrs.evolve(line, waits=_waits_for(one)) for one, line in lines]

    async def event(self, ref: str) -> EventView:
        """Return all about an event, by its id or its key. Its transitions are those that the row tells."""
        details = await self._find(ref.strip())
        waits = _waits_for(details)
        view = row_view(row_of(details), (), None if waits is None else f"waits for {waits}")
        envelope = envelope_of(details.envelope)
        facts = {"worker": details.held_by or details.worker, "level": str(details.level)}
        after = tuple(str(UUID(bytes=one)) for one in envelope.after if len(one) == len(UUID(int=0).bytes))
        others = await self._lines([UUID(one).hex for one in after[:MOST_OTHERS]], Choice())
        facts = dict(view.facts) | {k: v for k, v in facts.items() if v}
        return attrs.evolve(view, facts=facts, after=after, others=tuple(others))

    async def _find(self, ref: str) -> Details:
        """
        Return what the server knows of the event that a text means.

        Raises:
            NotFoundError: There is none.
        """
        ids = [_hex_of(ref), *await self._queries.ids_of_keys(event_keys_meant_by(ref))]
        found = [one for one in await self._queries.details([one for one in ids if one]) if one is not None]
        if not found:
            raise NotFoundError(f"no event in queue {self.name} has the id or the key {ref!r}")
        return found[0]

    # ---------------------------------------------------------------- what happened of late

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """Return the most frequent shapes of errors among the transitions, the most frequent first."""
        await self._follow()
        return self._shapes.largest(count)

    async def ended(self, seconds: int) -> tuple[Second, ...]:
        """Return how many events ended in each of the last seconds, as far as the transitions tell."""
        await self._follow()
        first = wall_clock.seconds() - seconds
        return tuple(Second(at=at, ended=dict(each)) for at, each in sorted(self._ended.items()) if at > first)

    async def runs(self, seconds: float, count: int) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, as far as the transitions tell. Their kinds are not known."""
        await self._follow()
        first = wall_clock.seconds() - seconds
        open_runs = [
            RunLine(id=str(UUID(one)), kind="", begin=at, end=None, status="processing")
            for one, at in self._begun.items()
        ]
        lines = [line for line in self._runs if line.end is None or line.end >= first] + open_runs
        return tuple(sorted(lines, key=lambda line: line.begin)[-count:])

    async def _follow(self) -> None:
        """Read the transitions since the last look, at most 10,000. A call that is cancelled reads them again."""
        steps: list[Moved] = []
        before = ""
        while len(steps) < MOST_READ:
            some = await self._queries.transitions(AT_A_TIME, before)
            new = [step for step in some if _order(step.cursor) > _order(self._cursor)]
            steps = [*new, *steps]
            if len(new) < len(some) or len(some) < AT_A_TIME:
                break
            before = some[0].cursor
        for step in steps:  # one step of the event loop
            if _order(step.cursor) > _order(self._cursor):
                self._cursor = step.cursor
                self._note(step)
        del self._runs[:-MOST_RUNS]
        first = wall_clock.seconds() - MOST_SECONDS
        self._ended = {at: each for at, each in self._ended.items() if at > first}

    def _note(self, step: Moved) -> None:
        event_id = _hex_of(step.event_id)
        if event_id is None:  # another program has written it, or a worker that refuses an event
            return
        at = moment(step)
        began = self._begun.pop(event_id, None)
        if began is not None:
            status = RETRIED if step.status == EventStatus.PENDING else step.status
            self._runs.append(RunLine(id=str(UUID(event_id)), kind="", begin=began, end=at, status=status))
        if step.status == EventStatus.PROCESSING:
            self._begun[event_id] = at
        if step.status in FINAL:
            ended = self._ended.setdefault(int(at), {})
            ended[step.status] = ended.get(step.status, 0) + 1
        outcome = outcome_of(step.outcome) if step.status in BAD else None
        error = None if outcome is None else ending_of(outcome.outcome).error_text
        if error is not None:
            self._shapes.add(step.status, error, UUID(event_id), at)

    # ---------------------------------------------------------------- actions

    async def act(self, action: Action) -> str:
        """
        Do what somebody asks for. Pauses are those of the whole queue.

        Raises:
            LionprideError: It was refused.

        Cancellation: of several events, some may have changed.
        """
        if not self._is_writable:
            raise refused_here()
        match action.what:
            case "pause" if action.key is None:
                await self._queries.pause()
                return "the queue is paused: what runs goes on"
            case "resume" if action.key is None:
                await self._queries.resume()
                return "the queue is paused no longer"
            case "cancel" | "skip" | "retry":
                return await self._change(action)
            case _:
                raise OperationError(f"a queue has no {action.what} like that: ask its workers", retryable=False)

    async def _change(self, action: Action) -> str:
        if action.id is not None:
            ids = [(await self._find(action.id)).event_id]
        else:
            found = [one.hex async for one in chosen_ids(action, self.events, AT_A_TIME)]
            ids = list(dict.fromkeys(found))  # an event that changes meanwhile may come twice
        changed = 0
        for some in batches(ids):
            if action.what == "retry":
                changed += (await self._queries.retry(some)).count("queued")
            else:
                status = EventStatus.CANCELLED if action.what == "cancel" else EventStatus.SKIPPED
                words = await self._queue.cancel(some, status.value, [b""] * len(some))
                changed += words.count("ended") + words.count("sent")
        if action.id is not None and not changed:
            raise OperationError(f"event {action.id} cannot be changed by {action.what}", retryable=False)
        return f"{changed:,} event{'' if changed == 1 else 's'} {ENDED.get(action.what, 'pending again')}"


def _order(cursor: str) -> tuple[int, int]:
    """Return a cursor as numbers, by which cursors are in order."""
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds or 0), int(number or 0)


def _hex_of(text: str) -> str | None:
    """Return a text as the id of an event, in hexadecimal digits. None if it is none."""
    try:
        return UUID(text).hex
    except ValueError:
        return None


def _waits_for(details: Details) -> str | None:
    """Return what a pending event waits for, in words after "waits for". None for any other event."""
    if details.status != EventStatus.PENDING:
        return None
    reasons = (
        (details.waits_for, f"the end of {counted(details.waits_for, 'event')}"),
        (details.parked, f"its turn at the limit {details.parked}"),
        (details.is_delayed, f"its time, {ceil(details.seconds_left)} s"),
        (details.held_by, f"slots and limits in worker {details.held_by}"),
    )
    return next((words for holds, words in reasons if holds), "a worker that has room")
