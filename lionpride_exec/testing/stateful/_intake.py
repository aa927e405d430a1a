"""Rules that append and remove events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import MultipleResults, multiple, precondition, rule

from lionpride_exec._status import EventStatus
from lionpride_exec.errors import EventFailed, ExistsError

from ._base import MachineBase, own
from ._promises import require

if TYPE_CHECKING:
    from collections.abc import Collection

    from lionpride_exec._events.event import Event

# The options of append() besides the priority: most calls have none.
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})


def _positive(seconds: float) -> float:
    return seconds + 0.5


class IntakeRules(MachineBase):
    """Rules that append events in all ways, and clean up."""

    @rule(
        target=MachineBase.appended,
        event=own("events"),
        priority=own("priorities"),
        how=st.one_of(
            NOTHING,
            NOTHING,
            st.fixed_dictionaries({"delay": own("seconds")}),
            st.fixed_dictionaries({"key": own("keys"), "unique": st.sampled_from(["ever", "open"])}),
            st.fixed_dictionaries({"expires": own("seconds").map(_positive)}),
        ),
    )
    def append(self, event: Event, priority: float | None, how: dict[str, Any]) -> Any:
        """Call ``executor.append()`` with any priority, or None, and sometimes with a delay, a key or an expiry."""
        return self._append(event, priority, None, how)

    @rule(target=MachineBase.appended, event=own("events"), priority=own("priorities"), seconds=own("seconds"))
    def append_and_wait_for_room(self, event: Event, priority: float | None, seconds: float) -> Any:
        """Call ``append(wait=True)`` with any priority, or None. Cancel the call after some seconds."""
        return self._append(event, priority, seconds, {"wait": True})

    @rule(
        target=MachineBase.appended,
        event=own("events"),
        first=st.lists(MachineBase.appended, min_size=1, max_size=3),
        name=st.sampled_from(["after", "after_any_end"]),
    )
    def append_after(self, event: Event, first: list[Event], name: str) -> Any:
        """Call ``append(after=...)`` or ``append(after_any_end=...)`` with first events that were appended earlier."""
        here = [one for one in map(self.current, first) if one is not None]
        return self._append(event, None, None, {name: here} if here else {})

    def _append(
        self, event: Event, priority: float | None, seconds: float | None, how: dict[str, Any]
    ) -> MultipleResults[Event] | Event:
        known: Event | None = self.call(self._append_now, event, priority, seconds, how)
        if known is None:
            return multiple()
        if known is event:
            self._remember([event])
            return event
        require(known.id in self.known_ids, "known_once", "its key gave an event that was never taken in", known)
        require(event not in self.executor, "known_once", "its key is known, and it was taken in", event)
        return multiple()

    async def _append_now(
        self, event: Event, priority: float | None, seconds: float | None, how: dict[str, Any]
    ) -> Event | None:
        with anyio.move_on_after(seconds):
            try:
                return await self.executor.append(event, priority, **how)
            except self.refusals:
                pass
            except ExistsError:  # a journal holds an event with this key
                if "key" not in how:
                    raise
        require(event not in self.executor, "refused_leaves_no_trace", "this is in the executor", event)
        require(event.execution.queued_at is None, "refused_leaves_no_trace", "this says it was queued", event)
        return None

    @rule(target=MachineBase.appended, event=own("events"), priority=own("priorities"), seconds=own("seconds"))
    def invoke_and_abandon(self, event: Event, priority: float | None, seconds: float) -> Any:
        """Call ``executor.invoke(cancel_on_abandon=True)``. Cancel the call after some seconds."""

        async def main() -> bool:
            """Invoke the event until the time is over. Return whether the call was cancelled."""
            with anyio.move_on_after(seconds) as scope:
                try:
                    await self.executor.invoke(event, priority, cancel_on_abandon=True)
                except EventFailed:
                    return False
                except self.refusals:
                    return False
            return scope.cancelled_caught

        is_abandoned = self.call(main)
        if event not in self.executor and not event.status.is_terminal:
            return multiple()
        self._remember([event])
        if is_abandoned:
            self._abandoned.add(event.id)
            waits = event.status is EventStatus.PENDING and not self._view.is_strict
            require(not waits, "abandoned_ends", "this goes on waiting", event)
        return event

    @rule(event=MachineBase.appended)
    def append_again(self, event: Event) -> None:
        """Call ``append()`` with an event that the executor has already, which must be refused."""

        async def main() -> bool:
            """Append the event again. Return whether that was refused."""
            known = self.current(event)
            refusals: tuple[type[Exception], ...] = (ExistsError, *self.refusals)
            try:
                return known is None or await self.executor.append(known) is None
            except refusals:
                return True

        require(self.call(main), "known_once", "this was taken in twice", event)

    @rule(statuses=st.none() | st.lists(st.sampled_from(EventStatus), max_size=3))
    def clean_up(self, statuses: Collection[EventStatus] | None) -> None:
        """Call ``executor.cleanup_events()`` with some statuses."""

        async def main() -> set[Any]:
            """Clean up. Return the ids of the events that have left."""
            before = {event.id for event in self.executor.states.items}
            await self.executor.cleanup_events(statuses)
            return {event_id for event_id in before if event_id not in self.executor}

        self.cleaned.update(self.call(main))

    @precondition(lambda self: self.executor.processor is not None)
    @rule(events=st.lists(own("events"), max_size=4), seconds=own("seconds"))
    def extend(self, events: list[Event], seconds: float) -> None:
        """Call ``executor.extend()``. Cancel the call after some seconds."""

        async def main() -> None:
            """Extend the executor until the time is over."""
            with anyio.move_on_after(seconds):
                try:
                    await self.executor.extend(events)
                except self.refusals:
                    return

        self.call(main)
        self._remember(event for event in events if event in self.executor or event.status.is_terminal)
