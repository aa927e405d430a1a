"""Functions that are called at each transition, and at each entry of an event."""

from __future__ import annotations

import logging
from traceback import print_exc
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from lionpride_exec._events.event import Event
from lionpride_exec._events.intake import Intake
from lionpride_exec._events.log_fields import log_fields
from lionpride_exec._status import PENDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._status import EventStatus

    Observer: TypeAlias = Callable[[Event, EventStatus, EventStatus], None]
    EntryObserver: TypeAlias = Callable[[Event, EventStatus | None, EventStatus], None]

logger = logging.getLogger("lionpride_exec")


class Named(Protocol):
    """The executor, as lines in the log name it."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class Observers:
    """
    The functions that an executor calls at each transition, in this order.

    Args:
        executor: The executor, for messages.

    Attributes:
        callbacks: The functions. While there are none, a transition costs nothing more.
        entries: Those of them that are told of entries too. While there are none, an entry costs nothing more.
        blind: Those of them that only count or export. A failure of which only they are told was not looked at.
        depth: How many calls of :meth:`tell` are in progress: an observer may cause a transition itself.
    """

    __slots__ = ("_executor", "blind", "callbacks", "depth", "entries")

    def __init__(self, executor: Named) -> None:
        self.callbacks: list[Observer] = []
        self.entries: list[EntryObserver] = []
        self.blind: list[Observer] = []
        self.depth: int = 0
        self._executor = executor

    def add(
        self, observer: Observer | EntryObserver, *, entries: bool = False, is_blind: bool = False
    ) -> Callable[[], None]:
        """Add an observer as the last one. Return a function that removes it."""
        chosen = ((self.callbacks, True), (self.entries, entries), (self.blind, is_blind))
        lists: list[list[Any]] = [cast("list[Any]", each) for each, is_chosen in chosen if is_chosen]
        for each in lists:
            each.append(observer)

        def end() -> None:
            """Remove the observer. Another call does nothing."""
            while lists:
                lists.pop().remove(observer)

        return end

    def add_to_entries(self, observer: EntryObserver) -> Callable[[], None]:
        """Add an observer that is told of entries only. Return a function that removes it, to be called once."""
        self.entries.append(observer)
        return lambda: self.entries.remove(observer)

    def keep_times(self) -> Callable[[], None]:
        """Keep when each new event comes in. Return a function that ends this, to be called once."""
        return self.add_to_entries(_ignore)

    def mark_awaited(self, event: Event) -> None:
        """Note that the caller, who is about to append an event, will wait for its end. For observers of entries."""
        if self.entries and isinstance(cast("object", event), Event) and event._intake is None:  # else it is refused
            event._set("_intake", Intake(is_awaited=True))

    def tell_of_entry(self, event: Event, now: float) -> None:
        """
        Tell the observers of entries that a new event comes in, before anything of it is kept or written.

        Args:
            event: The event, which is in no executor yet.
            now: The time of the event loop.
        """
        intake = event._intake
        if intake is None or intake.since is not None:  # an event that was removed may come in again
            intake = Intake()
            object.__setattr__(event, "_intake", intake)  # Event._set(), without the call
        intake.since = now
        self.depth += 1
        try:
            for observer in tuple(self.entries):
                try:
                    observer(event, None, PENDING)
                except Exception as exc:  # noqa: BLE001  of the user's function
                    self._complain(event, exc)
        finally:
            self.depth -= 1

    def tell(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Call each observer. An ``Exception`` of an observer is logged; any other exception is raised."""
        if target is PENDING and event._intake is not None and event._host is not None:
            event._intake.since = event._host.clock()
        self.depth += 1
        try:
            for observer in tuple(self.callbacks):  # as above: a function for both would cost a call each time
                try:
                    observer(event, previous, target)
                except Exception as exc:  # noqa: BLE001  of the user's function
                    self._complain(event, exc)
        finally:
            self.depth -= 1

    def _complain(self, event: Event, error: Exception) -> None:
        """Log the error of an observer."""
        try:
            logger.error(
                "an observer of %r failed at %s", self._executor, event, exc_info=error,
                extra=log_fields(self._executor.name, event, error),
            )  # fmt: skip
        except Exception:  # noqa: BLE001  of a handler: it must not become the end of the event
            print_exc()  # as logging itself does with the errors of its own handlers


def _ignore(*_: object) -> None:
    """Be told of an entry. While somebody is, the time of the entry is kept."""
