"""
A running executor, seen from its own event loop.

No call looks at more than some hundred events between two checkpoints, so a dashboard does not hold up the runs. What
takes longer, a look at thousands of keys, is made in pieces of a millisecond. All of a snapshot is of one moment.

To list a failed event is not to look at it: nobody may have read the list. :meth:`LiveSource.event` counts as a look,
since a person has opened the event.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._base.error_shapes import error_line
from lionpride_exec._base.key_texts import key_text
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._executor.live_view import LiveView
from lionpride_exec._executor.pause_names import one_for_each
from lionpride_exec._executor.told_state import pause_fields
from lionpride_exec._status import BAD, HELD, PROCESSING, TERMINAL, EventStatus
from lionpride_exec.errors import NotFoundError

from .live_actions import LiveActions, refused_here
from .live_lines import event_line, event_view, seconds_of, shown_line
from .live_pages import AT_A_TIME, LivePages
from .live_rings import Rings
from .snapshot import ALL_PAUSED, MOST_OTHERS, LimitLine, PauseLine, Snapshot
from .texts import event_keys_meant

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event
    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._executor.explanation import LimitUse, Statistics

    from .snapshot import Action, Choice, ErrorLine, EventLine, EventPage, EventView, RunLine, Second

# Running events that a timeline shows, and ids that are looked at between two checkpoints.
MOST_RUNNING: Final = 500
IDS_AT_A_TIME: Final = 2000

# The beginning of an id that is looked for.
_DIGITS: Final = re.compile("[0-9a-f]{4,32}")


class LiveSource:
    """
    A source that reads a running executor: ``LiveSource(executor)``. Use it in the event loop of the executor.

    The throughput, the timeline and the errors of what happens are remembered from the constructor on, until
    :meth:`aclose`: 3600 seconds, 5000 runs and 1000 shapes of errors.

    Args:
        executor: The executor, which may have to be started yet.
        writable: Whether :meth:`act` does anything.
    """

    def __init__(self, executor: Executor, *, writable: bool = True) -> None:
        self._view = view = LiveView(executor)
        self._is_writable = writable
        self._pages = LivePages(view)
        self._actions = LiveActions(view, self.events)
        self._rings = Rings(view.name_of)
        self._end = view.observe(self._rings.follow)
        # The last failure of each status before the observer, whose errors are counted at the first question.
        self._earlier = {status: view.ids(status, None, 1) for status in BAD}

    @property
    def name(self) -> str:
        """The name of the executor."""
        return self._view.executor.name

    @property
    def takes_actions(self) -> bool:
        """Whether :meth:`act` does anything."""
        return self._is_writable

    async def aclose(self) -> None:
        """Take the observer off the executor. Idempotent."""
        self._end()

    # ---------------------------------------------------------------- the whole

    async def version(self) -> object:
        """Return a value that changes with each transition, each new event and each action. 5 us."""
        executor = self._view.executor
        total = sum(executor.status_counts().values())
        return f"{self._rings.changes}-{total}-{self._actions.done}-{int(executor.is_paused)}"

    async def snapshot(self) -> Snapshot:
        """Return how the run goes."""
        state, progress = await self._view.moments.now()
        executor, at = self._view.executor, wall_clock.seconds()
        oldest = seconds_of(self._view.oldest_pending)
        trouble = self._view.trouble
        return Snapshot(
            name=executor.name,
            at=at,
            state="paused" if state.is_paused else "running" if state.is_running else "stopped",
            is_live=True,
            counts=dict(state.status_counts) | {HELD: 0},
            progress=str(progress),
            rate=progress.rate,
            seconds_left=progress.seconds_left,
            is_growing=progress.is_growing,
            slots=state.concurrency_limit,
            slots_used=state.running,
            waits={str(reason): n for reason, n in sorted(state.waits.items(), key=lambda item: -item[1])},
            oldest_pending=None if oldest is None else max(at - oldest, 0.0),
            pauses=_pause_lines(state),
            notes=() if trouble is None else (f"the journal cannot be written: {trouble}",),
        )

    async def limits(self, count: int) -> tuple[LimitLine, ...]:
        """Return what is used of the limits, the fullest first, at most 1000."""
        return tuple(_limit_line(use) for use in (await self._view.moments.limits())[:count])

    # ---------------------------------------------------------------- events

    async def running(self, count: int) -> tuple[EventLine, ...]:
        """Return the events that run, the longest first. O(count), in pieces of 20."""
        lines: list[EventLine] = []
        for number, found in enumerate(self._view.oldest(PROCESSING, count), 1):
            lines.append(shown_line(found))
            if number % AT_A_TIME == 0:
                await checkpoint()
        return tuple(lines)

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """Return events in memory that fit. The newest is the one whose status changed last."""
        return await self._pages.page(choice, before, count)

    async def event(self, ref: str) -> EventView:
        """Return all about an event. Its failure counts as looked at. O(1), or O(events) for the beginning of an id."""
        event = await self._find(ref)
        self._view.look_at(event)
        is_open = event.execution.status not in TERMINAL
        explanation = str(self._view.executor.explain(event)) if is_open else None
        after = self._view.after(event)
        followers, number = self._view.followers(event, MOST_OTHERS)
        return attrs.evolve(
            event_view(shown_line(self._view.found(event)), event, explanation, after),
            others=tuple(map(event_line, self._view.others(after, MOST_OTHERS))),
            followers=tuple(map(event_line, followers)),
            follower_count=number,
        )

    async def _find(self, ref: str) -> Event:
        """
        Return the event that a text means.

        Raises:
            NotFoundError: No event matches, or more than one.
        """
        text = ref.strip()
        known = [event for key in event_keys_meant(text) if (event := self._view.with_key(key)) is not None]
        try:
            event_id = UUID(text)
        except ValueError:
            known += await self._with_prefix(text.replace("-", "").lower())
        else:
            if (event := self._view.with_id(event_id)) is not None:
                known.append(event)
            elif not known:
                known.append(await self._view.executor.get(event_id))
        found = {event.id: event for event in known}
        if len(found) != 1:
            problem = "more than one event has" if found else "no event in memory has"
            raise NotFoundError(f"{problem} the id or key {ref!r}, or an id that begins so")
        return found.popitem()[1]

    async def _with_prefix(self, digits: str) -> list[Event]:
        """Return events whose id begins with some hexadecimal digits: all if there are few, and two of many."""
        if not _DIGITS.fullmatch(digits):
            return []
        number, shift = int(digits, 16), 128 - 4 * len(digits)
        found: list[Event] = []
        for status in EventStatus:
            last: UUID | None = None
            while len(found) < 2:  # noqa: PLR2004  more than one
                try:
                    ids = self._view.ids(status, last, IDS_AT_A_TIME)
                except NotFoundError:  # the last one has left the status: those behind it are not looked at
                    break
                if not ids:
                    break
                last = ids[-1]
                matching = [self._view.with_id(one) for one in ids if one.int >> shift == number]
                found += [event for event in matching if event is not None and event not in found]
                await checkpoint()
        return found

    # ---------------------------------------------------------------- what happened of late

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """
        Return the most frequent shapes of errors, the most frequent first.

        The errors of all failures since the source was made are counted, and of those that were in memory then. So an
        event that was retried and failed again counts twice. O(shapes), and once O(failed events), in pieces.
        """
        for status in BAD:
            while last := self._earlier[status]:
                await self._count_earlier(status, last[-1])
        return self._rings.shapes.largest(count)

    async def _count_earlier(self, status: EventStatus, last: UUID) -> None:
        """Count some errors from an event back, and remember where to go on."""
        event = self._view.with_id(last)
        try:
            older = self._view.ids(status, last, 100)
        except NotFoundError:
            event, older = None, []  # it was retried, or has left
        for one in (event, *map(self._view.with_id, older[:-1])):
            error = None if one is None else error_line(one.execution.error, secrets_of(one))
            if one is not None and error is not None:
                self._rings.shapes.add(status.value, error, one.id, seconds_of(one.execution.finished_at))
        self._earlier[status] = older[-1:]
        await checkpoint()

    async def ended(self, seconds: int) -> tuple[Second, ...]:
        """Return how many events ended in each of the last seconds, since the source was made, at most 3600."""
        return self._rings.ended(seconds)

    async def runs(self, seconds: float, count: int) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, since the source was made: at most 5000, and 500 that still run."""
        ids = self._view.ids(PROCESSING, None, min(count, MOST_RUNNING))
        running = [event for one in ids if (event := self._view.with_id(one)) is not None]
        return await self._rings.runs(seconds, count, running)

    # ---------------------------------------------------------------- actions

    async def act(self, action: Action) -> str:
        """
        Do what somebody asks for.

        Raises:
            LionprideError: It was refused.

        Cancellation: of several events, some may have changed.
        """
        if not self._is_writable:
            raise refused_here()
        try:
            return await self._actions.do(action, (await self._view.moments.now())[0])
        finally:
            self._view.moments.forget()


def _limit_line(use: LimitUse) -> LimitLine:
    return LimitLine(
        limit=repr(use.limit),
        key=key_text(use.key),
        used=use.used,
        amount=use.amount,
        per=use.per,
        name=use.limit.name,
    )


def _pause_lines(state: Statistics) -> tuple[PauseLine, ...]:
    keys = [
        PauseLine(key=key, seconds=seconds, reason=reason)
        for key, seconds, reason in map(pause_fields, one_for_each(state.pauses))
    ]
    return (ALL_PAUSED, *keys) if state.is_paused else tuple(keys)
