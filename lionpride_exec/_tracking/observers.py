"""Functions that are called at each transition."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event
    from lionpride_exec._status import EventStatus

    Observer: TypeAlias = Callable[[Event, EventStatus, EventStatus], None]

logger = logging.getLogger("lionpride_exec")


class Observers:
    """
    The functions that an executor calls at each transition, in this order.

    Args:
        executor: The executor, for messages.

    Attributes:
        callbacks: The functions. While there are none, a transition costs nothing more.
        depth: How many calls of :meth:`tell` are in progress: an observer may cause a transition itself.
    """

    __slots__ = ("_executor", "callbacks", "depth")

    def __init__(self, executor: object) -> None:
        self.callbacks: list[Observer] = []
        self.depth: int = 0
        self._executor = executor

    def add(self, observer: Observer) -> Callable[[], None]:
        """Add an observer as the last one. Return a function that removes it."""
        self.callbacks.append(observer)

        def end() -> None:
            """Remove the observer. Another call does nothing."""
            if observer in self.callbacks:
                self.callbacks.remove(observer)

        return end

    def tell(self, event: Event, previous: EventStatus, target: EventStatus) -> None:
        """Call each observer. An ``Exception`` of an observer is logged; any other exception is raised."""
        self.depth += 1
        try:
            for observer in tuple(self.callbacks):
                try:
                    observer(event, previous, target)
                except Exception:
                    logger.exception("an observer of %r failed at %s", self._executor, event)
        finally:
            self.depth -= 1
