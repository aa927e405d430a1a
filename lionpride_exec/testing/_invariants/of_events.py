"""Invariants of events: where they stand, what their records say, what is kept of them."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._events.lifecycle import MAX_ATTEMPTS_KEPT
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.testing._view import end_waiters, has_journal_number, is_running, owner_of, running_among

from .invariant import Findings, Look, When, invariant

if TYPE_CHECKING:
    from lionpride_exec import Event

# An iteration over an enum makes calls of Python.
STATUSES: Final = tuple(EventStatus)


@invariant()
def one_place(look: Look) -> Findings:
    """Each event is in exactly one of the seven progressions, once, and nothing else is in them."""
    states = look.executor.states
    missing = look.view.missing_statuses
    if missing:
        yield f"there is no progression for {', '.join(missing)}: it was taken out of the flow", []
    ids = list(chain.from_iterable(look.ids_by_status.values()))
    # Numbers, since the hash of a UUID takes a call.
    if len(ids) == len(look.events) and {event_id.int for event_id in ids} == look.by_number.keys():
        return
    places = Counter(ids)
    for event in look.events:
        if places[event.id] != 1:
            where = [status.value for status in EventStatus if event.id in states.get_progression(status.value)]
            yield f"an event stands in {places[event.id]} places: {', '.join(where) or 'none'}", [event]
    strangers = [event_id for event_id in places if event_id not in states.items]
    yield f"{len(strangers)} ids in the progressions belong to no event", strangers


@invariant()
def status_is_place(look: Look) -> Findings:
    """An event's status is the name of the progression that holds its id."""
    for status in STATUSES:
        events = look.in_status(status)
        wrong = [event for event in events if event.execution.status is not status]
        # An event that its gate has let in is filed in advance.
        if wrong and not (status is EventStatus.PROCESSING and [event.id for event in wrong] == [look.asked]):
            yield f"{len(wrong)} of {len(events)} events in {status.value!r} have another status", wrong


@invariant()
def counts(look: Look) -> Findings:
    """`status_counts()` returns the number of events in each status, including those that are only on disk."""
    told = look.executor.status_counts()
    on_disk = look.view.counts_on_disk
    asked = 0 if look.asked is None else 1  # may be filed in advance
    for status in STATUSES:
        number, here, away = told[status], look.statuses.count(status), on_disk[status]
        if abs(number - here - away) > asked or away < 0:
            events = [event for event in look.events if event.execution.status is status]
            yield f"status_counts() says {number} {status.value}, but {here} are in memory and {away} on disk", events


@invariant()
def owner(look: Look) -> Findings:
    """Each event knows the executor that it is in."""
    strangers = [event for event in look.events if owner_of(event) is not look.executor]
    if strangers:
        yield f"{len(strangers)} events are in the executor but belong to no executor or to another one", strangers


@invariant()
def runs(look: Look) -> Findings:
    """A task runs an event only while the event is PROCESSING, and the executor knows which events run."""
    running = running_among(look.events)
    idle = [event for event in running if event.execution.status is not EventStatus.PROCESSING]
    if idle:
        yield f"{len(idle)} events run that are not PROCESSING", idle
    known = set(look.view.running)
    if known != {event.id for event in running}:
        unknown = [event for event in running if event.id not in known]
        gone = [look.named(event_id) for event_id in known - {event.id for event in running}]
        yield (
            f"{len(unknown)} events run unknown to join(), which waits for {len(gone)} that do not run",
            [*unknown, *gone],
        )


@invariant()
def record(look: Look) -> Findings:
    """An event's record fits its status: times, response, error, and the number of its run."""
    for event in look.events:
        if (wrong := _wrong_in(event)) is not None:
            yield f"an event's record {wrong}", [event]
    unfinished = [event for event in look.ended if event.execution.finished_at is None]
    if len(unfinished) > look.view.ended_before:  # which had it by hand
        yield f"{len(unfinished)} events have ended and have no time of that", unfinished


def _wrong_in(event: Event[Any]) -> str | None:
    execution = event.execution
    status, runs_now = execution.status, is_running(event)
    if status is EventStatus.PENDING and execution.finished_at is not None:
        return f"has an end, {execution.finished_at}, and the event is to run"
    if status is EventStatus.COMPLETED and isinstance(execution.error, BaseException):
        return f"has an error, {execution.error!r}, and it has COMPLETED"
    if runs_now and (execution.started_at is None or execution.attempt < 1):
        return f"does not know of the run: started_at={execution.started_at}, attempt={execution.attempt}"
    # A run without a number: the event was made as PROCESSING by hand, and set back.
    kept = execution.attempts
    earlier = sum(not attempt.interrupted and attempt.number > 0 for attempt in kept) if kept else 0
    # A run that was cut off by a crash of the process may count, and is not among the earlier ones.
    may_be_above = has_journal_number(event) or len(kept) == MAX_ATTEMPTS_KEPT
    if execution.attempt < earlier + runs_now or (execution.attempt > earlier + 1 and not may_be_above):
        return f"counts {execution.attempt} runs, and keeps {earlier} earlier ones that count"
    return None


@invariant()
def attempts(look: Look) -> Findings:
    """An event is run as often as its `Retry` allows, or once without; interruptions do not count."""
    if look.processor_view is None:
        return
    for event in look.events:
        if event.execution.attempt > 1 and not has_journal_number(
            event
        ):  # a run that a process died of may count, if it was held
            retry = look.processor_view.retry_of(event)
            allowed = 1 if retry is None else retry.attempts
            # An event that was restored as PROCESSING and set back by hand, without an error, gets one more run.
            allowed += sum(each.error is None and not each.interrupted for each in event.execution.attempts)
            if event.execution.attempt > allowed:
                yield f"an event is at run {event.execution.attempt} of {allowed}", [event]


@invariant()
def keys(look: Look) -> Findings:
    """Each key leads to the one event that has the key, and that event is in the executor."""
    items, keys, key_of = look.executor.states.items, look.view.keys, look.view.key_of
    for key, event_id in keys.items():
        if event_id not in items:
            yield f"the key {key!r} leads to an event that is not here", [event_id]
        if key_of.get(event_id) != key:
            yield f"an event does not know its key {key!r}, so it will not be forgotten with it", [look.named(event_id)]
    if len(keys) != len(key_of):
        nameless = [look.named(event_id) for event_id, key in key_of.items() if key not in keys]
        yield f"{len(nameless)} keys lead nowhere", nameless


@invariant(When.BETWEEN_STEPS)
def followers(look: Look) -> Findings:
    """An event that comes after others is PENDING, and waits only for events that have not ended and that list it."""
    view, items = look.view, look.executor.states.items
    waiting_after, deferred_ends, told = view.waiting_after, view.deferred_ends, view.followers
    unresolved = {event.id for event in view.unresolved}
    for event in look.events:
        if event.id not in waiting_after or event.id in unresolved or event.id in deferred_ends:
            continue
        if event.execution.status is not EventStatus.PENDING:
            yield "an event waits for others and is not PENDING", [event]
        for other_id in view.awaited_by(event.id):
            other = items.get(other_id, None)
            if other is None or other.execution.status in TERMINAL:
                yield "an event waits for one that has ended or left", [event, look.named(other_id)]
            if event.id not in told.get(other_id, ()):
                yield "an event waits for one that will not tell it", [event, look.named(other_id)]
    for followers in told.values():
        gone = [follower for follower in followers if follower not in waiting_after]
        if gone:
            yield "an event that ends would tell followers that do not wait for it", [look.named(each) for each in gone]


@invariant(When.BETWEEN_STEPS)
def ended(look: Look) -> Findings:
    """Only the record and the key are left of an event that has ended, and nobody waits for the event."""
    waiting_after, early = look.view.waiting_after, look.view.early
    for event in look.ended:
        if (waiters := end_waiters(event)) is not None:
            yield f"{len(waiters)} still wait for the end of an event that has ended", [event]
        if event.id in waiting_after or event.id in early:
            yield "an ended event still has options for the queue", [event]
    if look.executor.is_abandoned:
        awaited = [event for event in look.events if end_waiters(event) is not None and not is_running(event)]
        if awaited:
            yield "the executor was left, and tasks still wait for these events", awaited
