"""
Running ended events again, and freeing keys.

A final status is final: no event goes back from it. So a retry replaces the event by another object, which has the same
id, key, fields and place, and whose record begins anew. The object that has ended leaves the executor, and does
not change. The commands do the same with the rows of a journal, and with the queue of a cluster.
"""

from __future__ import annotations

from contextlib import nullcontext
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import SubmitOptions
from lionpride_exec._status import BAD, PENDING, TERMINAL
from lionpride_exec._validation import check_count
from lionpride_exec.errors import EventNotFinished, ExecutorClosedError, NotFoundError

from .executor_states import GroupState, asked_from_outside
from .found import FoundEvent, wanted
from .named_events import id_of
from .questions import make_finding

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from uuid import UUID

    from .finding import Finding
    from .found import Wanted
    from .parts import Parts

E = TypeVar("E", bound=Event[Any])

FILTERS = ("status", "tag", "key", "error", "since")

# Events that run again between two checkpoints.
AT_A_TIME = 200


class Retrying:
    """
    Runs events again that are in memory.

    Args:
        parts: The parts of the executor.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def forget(self, key: Hashable) -> bool:
        """Free a key; see ``Executor.forget()``."""
        known_by = self._parts.lookups.key_of(key)
        await checkpoint()
        return self._free(known_by, key)

    def _free(self, known_by: Hashable, key: Hashable) -> bool:
        """
        Free a key in memory. Return whether an event had it.

        Raises:
            EventNotFinished: The event has not ended.
        """
        event = self._parts.keys.find(known_by)
        if event is not None and event.execution.status not in TERMINAL:
            raise EventNotFinished(f"the key {key!r} is that of {event}, which is {event.status}: cancel it first")
        if event is not None:
            self._parts.keys.forget(event.id)
        return event is not None

    async def one(self, target: FoundEvent | Event[Any] | UUID | str) -> Event[Any]:
        """Run an event again; see ``Executor.retry()``."""
        event_id = id_of(target)
        await checkpoint()
        event = self._parts.index.items.get(event_id, None)
        if event is None:
            raise NotFoundError(f"There is no event {event_id} in the executor")
        again = await self._in_turn(event)
        if again is None:
            raise EventNotFinished(f"{event} is {event.status}: only an event that has ended can run again")
        return again

    async def all_of(self, filters: Mapping[str, Any], limit: int | None) -> list[Event[Any]]:
        """
        Run the events again that fit; see ``Executor.retry()``.

        Raises:
            ValueError: No filter is given, the status is not one that can be asked for, or the limit is less than 1.
            TypeError: A filter is unknown or of another type.
        """
        given = {name: filters.get(name) for name in FILTERS}
        unknown = sorted({*filters} - {*given})
        if unknown:
            raise TypeError(f"retry() has no argument {unknown[0]!r}; it has {', '.join(FILTERS)} and limit")
        if all(value is None for value in given.values()):
            raise ValueError("retry() needs an event, or what to retry: status='failed', for example")
        if limit is not None:
            check_count("limit", limit, 1)
        asked = wanted(**given)
        if asked.statuses is None:
            asked = attrs.evolve(asked, statuses=BAD)
        for status in asked.statuses or ():
            if status not in BAD:
                raise ValueError(f"events that are {status} do not run again by their status; retry(event) runs one")
        return await self.all(make_finding(self._parts), asked, limit)

    async def all(self, finding: Finding, asked: Wanted, limit: int | None) -> list[Event[Any]]:
        """Run the events again that are asked for, the oldest first."""
        taken: list[Event[Any]] = []
        found = [one.event for one in await all_found(finding, asked, limit) if one.event is not None]
        for number, event in enumerate(_in_order(found), 1):
            again = await self._in_turn(event)
            if again is not None:
                taken.append(again)
            if number % AT_A_TIME == 0:
                await checkpoint()
        return taken

    async def _in_turn(self, event: Event[Any]) -> Event[Any] | None:
        """Replace an event once no task holds a lock that is needed. None if it has not ended, or is gone."""
        index, coordination = self._parts.index, self._parts.coordination
        is_locked = index.items.guard.users or coordination.locks_in_use
        async with index.all_locks(event.execution.status, PENDING) if is_locked else nullcontext():
            is_here = index.items.get(event.id, None) is event
            return self._replace(event) if is_here and has_ended(event) else None

    def _replace(self, event: E) -> E:
        """Put a new event in the place of one that has ended. If this raises, nothing has changed."""
        parts = self._parts
        parts.index.progression(PENDING)
        self.check_open()
        fresh, after = fresh_object(event), [self._comes_after(other) for other in event._after]
        after += [here for one in event._any_end if (here := parts.index.items.get(one, None)) is not None]
        parts.queueing.check_costs(fresh)
        key = parts.keys.of(event.id)
        self.drop(event)
        self.put_in(fresh, event._after, key, after, any_end=event._any_end)
        fresh._set("_carried", event._carried)  # the context of its caller, not that of ours
        return fresh

    def check_open(self) -> None:
        """
        Check that the executor takes events.

        Raises:
            ExecutorClosedError: Its block is being left, and the caller is no event running in it.
        """
        parts = self._parts
        is_leaving = parts.submissions.group.state is GroupState.LEAVING and not asked_from_outside.get()
        if is_leaving and not parts.transitions.runs_caller():
            raise ExecutorClosedError("the executor is being left and takes nothing more in")

    def _comes_after(self, other: UUID) -> Event[Any]:
        """
        Return an event that another one comes after.

        Raises:
            NotFoundError: It has left the executor.
        """
        here = self._parts.index.items.get(other, None)
        if here is None:
            raise NotFoundError(f"There is no event {other} in the executor, after which the event comes")
        return here

    def drop(self, event: Event[Any]) -> None:
        """Let an event leave that has ended. Its failure counts as looked at."""
        if event._unseen is not None:
            event._unseen.look_at(event)
        self._parts.retention.run_again[event.execution.status] += 1
        self._parts.submissions.forget(event)

    def put_in(
        self,
        fresh: Event[Any],
        comes_after: tuple[Event[Any] | UUID, ...],
        key: Hashable,
        after: Iterable[Event[Any]],
        priority: float | None = None,
        any_end: frozenset[UUID] = frozenset(),
    ) -> None:
        """Take a new event in under a key, and queue it once all events of ``after`` have ended as they must."""
        parts = self._parts
        if parts.submissions.entries:
            parts.transitions.enter(fresh)
        parts.submissions.add_after(fresh, comes_after, any_end)
        if key is not None:
            parts.keys.give(fresh.id, key)
        options = SubmitOptions(
            priority, after=[*after], comes_after=comes_after, any_end=any_end, key=key, is_urgent=True
        )
        processor = parts.queueing.processor
        if options.after:
            parts.followers.keep_after(fresh, options)
        elif processor is None:
            parts.queueing.keep_early(fresh.id, options)
        else:
            parts.queueing.queue_anyway([(fresh, options)], processor)


async def all_found(finding: Finding, asked: Wanted, limit: int | None) -> list[FoundEvent]:
    """Return what is asked for, the oldest first: an event comes after older ones."""
    walk = await finding.begin(asked, None, None, reads=False)
    found: list[FoundEvent] = []
    while limit is None or len(found) < limit:
        some = await walk.next(AT_A_TIME if limit is None else min(AT_A_TIME, limit - len(found)))
        if not some:
            break
        found += some
    return found[::-1]


def _in_order(events: list[Event[Any]]) -> Iterable[Event[Any]]:
    """Return events in their order, but each behind those that it comes after."""
    if not any(event._after or event._any_end for event in events):
        return events
    by_id = {event.id: event for event in events}
    graph = {event.id: [one for one in (*event._after, *event._any_end) if one in by_id] for event in events}
    return [by_id[one] for one in TopologicalSorter(graph).static_order()]


def has_ended(event: Event[Any]) -> bool:
    """Return whether an event has ended, and no task runs it any more."""
    return event.execution.status in TERMINAL and not event._current_run.is_active


def fresh_object(event: E) -> E:
    """Return a new PENDING event with the id, the times of creation and arrival, and the fields of another one."""
    kind: Any = type(event)
    fields = {
        field.alias: getattr(event, field.name)
        for field in attrs.fields(kind)
        if field.init and field.name != "execution"
    }
    fresh = cast("E", kind(**fields | {"metadata": dict(event.metadata)}))
    fresh.execution.queued_at = event.execution.queued_at
    return fresh
