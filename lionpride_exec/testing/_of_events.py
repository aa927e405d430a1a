"""Invariants of events: where they stand, what their records say, what is kept of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lionpride_exec._events.lifecycle import MAX_ATTEMPTS_KEPT
from lionpride_exec._status import TERMINAL, EventStatus

from ._look import Findings, Look, When, invariant

if TYPE_CHECKING:
    from lionpride_exec import Event


@invariant()
def one_place(look: Look) -> Findings:
    """Each event stands in exactly one of the seven progressions, once, and nothing else stands there."""
    states = look.executor.states
    missing = [status.value for status in EventStatus if status not in states._progression_names]
    if missing:
        yield f"there is no progression for {', '.join(missing)}: it was taken out of the flow", []
    places = Counter(event_id for status in EventStatus for event_id in states.get_progression(status.value))
    if len(places) == len(look.events) == places.total() and all(event.id in places for event in look.events):
        return
    for event in look.events:
        if places[event.id] != 1:
            where = [status.value for status in EventStatus if event.id in states.get_progression(status.value)]
            yield f"an event stands in {places[event.id]} places: {', '.join(where) or 'none'}", [event]
    strangers = [event_id for event_id in places if event_id not in states.items]
    yield f"{len(strangers)} ids in the progressions belong to no event", strangers


@invariant()
def status_is_place(look: Look) -> Findings:
    """An event's status is the name of the progression in which it stands."""
    asked = None if look.processor is None else look.processor._asked  # its gate has let it in: it is filed in advance
    for status in EventStatus:
        progression = look.executor.states.get_progression(status.value)
        wrong = [event for event in look.executor._events_in_memory(status) if event.execution.status is not status]
        if wrong and not (status is EventStatus.PROCESSING and [event.id for event in wrong] == [asked]):
            yield f"{len(wrong)} of {len(progression)} events in {status.value!r} have another status", wrong


@invariant()
def counts(look: Look) -> Findings:
    """`status_counts()` gives the number of events in each status, those that are only on disk included."""
    told = look.executor.status_counts()
    on_disk = look.executor._on_disk
    asked = 0 if look.processor is None or look.processor._asked is None else 1  # may be filed in advance
    for status in EventStatus:
        events = [event for event in look.events if event.execution.status is status]
        number, away = told[status.value], on_disk[status]
        if abs(number - len(events) - away) > asked or away < 0:
            yield f"{number} are told to be {status.value}, and {len(events)} are, beside {away} on disk", events


@invariant()
def owner(look: Look) -> Findings:
    """Each event knows the executor in which it stands."""
    strangers = [event for event in look.events if event._owner is not look.executor]
    if strangers:
        yield f"{len(strangers)} events stand here and do not know it, so it does not follow them", strangers


@invariant()
def runs(look: Look) -> Findings:
    """A task runs an event only while it is PROCESSING, and the executor knows which events are run."""
    running = [event for event in look.events if event.execution._running]
    idle = [event for event in running if event.execution.status is not EventStatus.PROCESSING]
    if idle:
        yield f"{len(idle)} events run that are not PROCESSING", idle
    known = set(look.executor._active.values())
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
    if len(unfinished) > look.executor._taken_final:  # which had it by hand
        yield f"{len(unfinished)} events have ended and have no time of that", unfinished


def _wrong_in(event: Event[Any]) -> str | None:
    execution = event.execution
    status = execution.status
    if status is EventStatus.PENDING and execution.finished_at is not None:
        return f"has an end, {execution.finished_at}, and the event is to run"
    if status is EventStatus.COMPLETED and isinstance(execution.error, BaseException):
        return f"has an error, {execution.error!r}, and it has COMPLETED"
    if execution._running and (execution.started_at is None or execution.attempt < 1):
        return f"does not know of the run: started_at={execution.started_at}, attempt={execution.attempt}"
    # One without a number: made as PROCESSING by hand, and set back.
    earlier = sum(not attempt.interrupted and attempt.number > 0 for attempt in execution.attempts)
    # A run that a process died of may count, and is not among the earlier ones.
    may_be_above = event._seq or len(execution.attempts) == MAX_ATTEMPTS_KEPT
    if execution.attempt < earlier + execution._running or (execution.attempt > earlier + 1 and not may_be_above):
        return f"counts {execution.attempt} runs, and keeps {earlier} earlier ones that count"
    return None


@invariant()
def attempts(look: Look) -> Findings:
    """An event is run as often as its `Retry` allows, or once without; interruptions do not count."""
    if look.processor is None:
        return
    for event in look.events:
        if event.execution.attempt > 1 and not event._seq:  # a run that a process died of may count, if it was held
            retry = look.processor._reruns.of(event)
            allowed = 1 if retry is None else retry.attempts
            # Restored as PROCESSING and set back by hand, without an error: whoever does that asks for one more.
            allowed += sum(each.error is None and not each.interrupted for each in event.execution.attempts)
            if event.execution.attempt > allowed:
                yield f"an event is at run {event.execution.attempt} of {allowed}", [event]


@invariant()
def keys(look: Look) -> Findings:
    """A key leads to the one event that was given it, which is here."""
    agenda, items = look.executor._agenda, look.executor.states.items
    for key, event_id in agenda._keys.items():
        if event_id not in items:
            yield f"the key {key!r} leads to an event that is not here", [event_id]
        if agenda._key_of.get(event_id) != key:
            yield f"an event does not know its key {key!r}, so it will not be forgotten with it", [look.named(event_id)]
    if len(agenda._keys) != len(agenda._key_of):
        nameless = [look.named(event_id) for event_id, key in agenda._key_of.items() if key not in agenda._keys]
        yield f"{len(nameless)} keys lead nowhere", nameless


@invariant(When.BETWEEN_STEPS)
def followers(look: Look) -> Findings:
    """What comes after others is PENDING, waits only for events here that have not ended, and they know it."""
    executor, agenda = look.executor, look.executor._agenda
    unsettled = {event.id for event, _, _ in executor._unsettled}
    for event in look.events:
        if not agenda.is_waiting(event.id) or event.id in unsettled or event.id in executor._put_off:
            continue
        if event.execution.status is not EventStatus.PENDING:
            yield "an event waits for others and is not PENDING", [event]
        for other_id in agenda.waits_for(event.id):
            other = executor.states.items.get(other_id, None)
            if other is None or other.execution.status in TERMINAL:
                yield "an event waits for one that has ended or left", [event, look.named(other_id)]
            if event.id not in agenda._followers.get(other_id, ()):
                yield "an event waits for one that will not tell it", [event, look.named(other_id)]
    for waiting in agenda._followers.values():
        gone = [follower for follower in waiting if not agenda.is_waiting(follower)]
        if gone:
            yield "events are to be told of an end that they do not wait for", [look.named(each) for each in gone]


@invariant(When.BETWEEN_STEPS)
def ended(look: Look) -> Findings:
    """Of an event that has ended nothing is left but its record and its key: nobody waits for it."""
    agenda = look.executor._agenda
    for event in look.ended:
        if event._at_end is not None:
            yield f"{len(event._at_end)} still wait for the end of an event that has ended", [event]
        if agenda.is_waiting(event.id) or event.id in agenda._early:
            yield "it is kept how an event is to be queued that has ended", [event]
    if look.executor.is_abandoned:
        awaited = [event for event in look.events if event._at_end is not None and not event.execution._running]
        if awaited:
            yield "the executor was left, and they still wait for these to end", awaited
