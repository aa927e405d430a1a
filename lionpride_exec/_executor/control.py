"""What a user may do to events, and to the executor, while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._model.element import to_uuid
from lionpride_exec._status import EventStatus
from lionpride_exec._tracking.subscriptions import Watchers
from lionpride_exec._validation import MIN_REFRESH_TIME, check_bounds
from lionpride_exec.errors import EventCancelled, NotFoundError, Skip

from .explain import PAUSED, Explanation, Statistics, explain, statistics
from .lifetime import Lifetime

if TYPE_CHECKING:
    from uuid import UUID

    from lionpride_exec._events.event import Event

    from .agenda import Agenda


class Control(Lifetime):
    """The part of an executor that is told what to do with what it has, and tells about it."""

    _agenda: Agenda

    def _is_coming(self, event: Event) -> bool:
        """Whether an event is stored, but not to be queued yet."""
        raise NotImplementedError

    def _count_coming(self) -> int:
        """Return how many PENDING events are stored, but not to be queued yet."""
        raise NotImplementedError

    def __init__(self, config: dict[str, Any], *, strict: bool, name: str) -> None:
        super().__init__(config, strict=strict, name=name)
        self._watchers: Watchers = Watchers(self)

    # ---------------------------------------------------------------- events

    def cancel(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """
        End an event CANCELLED: at once if it waits, by cancelling its run if it runs.

        Its error is an ``EventCancelled`` with the reason; it is not run again. A run that catches the cancellation
        and returns all the same ends COMPLETED. While somebody holds a lock on the progressions, an event that waits
        ends when they let go; with a strict journal, when that is on disk. It does not start before.

        Args:
            event: In this executor; or its id. With a journal also an event that has ended and left memory: the event
                itself, or the id of one of the last 10,000.
            reason: For its record.

        Returns:
            Whether it ends, or is on its way to; False if it had ended. So a second call does nothing.

        Raises:
            NotFoundError: There is no such event. (Also a KeyError.)
        """
        return self._end(self._known(event), EventStatus.CANCELLED, EventCancelled(reason))

    def skip(self, event: Event | UUID | str, reason: str | None = None) -> bool:
        """
        End an event SKIPPED, as one that raises :class:`Skip` does; in all else, the reason too, like :meth:`cancel`.

        Raises:
            NotFoundError: There is no such event.
        """
        return self._end(self._known(event), EventStatus.SKIPPED, Skip(reason))

    def explain(self, event: Event | UUID | str) -> Explanation:
        """
        Say what an event waits for, and for how long at least. Cheap; changes nothing.

        An event that could start but for those in front of it waits for what these wait for. Call it in the event loop.
        For the bare id of an event that has ended and left memory, as with a journal, ``Explanation.event`` is a plain
        ``Event`` with that id and status; ``await executor.get(id)`` reads the event itself.

        Raises:
            NotFoundError: There is no such event.
            RuntimeError: No event loop runs.
        """
        return explain(self, self._known(event))

    def _known(self, event: Event | UUID | str) -> Event:
        known = self.states.items.get(to_uuid(event), None) or self._known_ended(event)
        if known is None:
            raise NotFoundError(f"There is no {event!r} in {self!r}{self._where_else()}")
        return known

    def _known_ended(self, event: Event | UUID | str) -> Event | None:  # noqa: ARG002  for subclasses
        """Return an event that has ended and left memory, if that is known without a look at the disk."""
        return None

    def _where_else(self) -> str:
        """Return what a message says about events that are not in memory."""
        return ""

    # ---------------------------------------------------------------- the executor

    async def forward(self) -> None:
        """
        Run one batch now: up to ``queue_capacity`` queued events, without waiting for the capacity window.

        Returns when they, and what was running already, have ended; at once if there is no processor yet. Works
        when stopped. A denied event is asked again. Any number of calls may overlap.

        Cancellation: what this call started ends CANCELLED, what has not begun stays PENDING and queued.
        """
        if self._processor is not None:
            if self._processor._has_own_enqueue:
                await self._hand_over_late(self._processor)
            await self._processor.process()

    def statistics(self) -> Statistics:
        """
        Give a snapshot: events by status, pending ones by what they wait for, what is used of the limits.

        O(what is delayed, or waits for a limit or gate). Call it in the event loop.

        Raises:
            RuntimeError: No event loop runs.
        """
        return statistics(self)

    @property
    def is_paused(self) -> bool:
        """Whether :meth:`pause` was called, and :meth:`resume` not since."""
        return PAUSED in self._held_back

    def pause(self) -> None:
        """
        Start nothing more until :meth:`resume`; what runs goes on. Idempotent.

        Unlike after ``stop()``, everybody goes on waiting: ``join()``, and the block that is being left. ``stop()`` and
        ``start()`` do not change it.
        """
        self._hold_back(PAUSED)

    def resume(self) -> None:
        """Go on after :meth:`pause`, at once. Idempotent."""
        self._let_start(PAUSED)

    def resize(self, *, concurrency_limit: int | None = None, queue_capacity: int | None = None) -> None:
        """
        Change how many may run at the same time, and how many may start in a window, up or down, also while it runs.

        What runs already goes on, and what was started counts.

        Args:
            concurrency_limit: At least 1; None: as it is.
            queue_capacity: 1 to 10,000; None: as it is.

        Raises:
            ValueError: A number out of its bounds. Nothing has changed.
        """
        given = {"concurrency_limit": concurrency_limit, "queue_capacity": queue_capacity}
        changes = {name: number for name, number in given.items() if number is not None}
        check_bounds(capacity_refresh_time=MIN_REFRESH_TIME, **({"queue_capacity": 1} | changes))
        self._reconfigure(changes)

    # ---------------------------------------------------------------- inside

    def _hold_back(self, token: object) -> None:
        """Start nothing new, until this token and all others are given back; also before there is a processor."""
        self._held_back.add(token)

    def _let_start(self, token: object) -> None:
        """Give a token back; with the last one, events start at once."""
        self._held_back.discard(token)
        if self._processor is not None:
            self._processor._let_start(token)

    def _let_start_soon(self, token: object) -> None:
        """Do as :meth:`_let_start`, from any thread and within anything."""
        self._held_back.discard(token)
        if self._processor is not None:
            self._processor._let_start_soon(token)

    def _reconfigure(self, changes: dict[str, int]) -> None:
        """Change numbers of the processor, also of one that is still to be made."""
        self.processor_config: dict[str, Any] = self.processor_config | changes
        if self._processor is not None:
            self._processor.resize(**changes)
