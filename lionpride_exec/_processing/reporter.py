"""Telling the executor of the starts and ends of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lionpride_exec._base.coordination import ReportHost
    from lionpride_exec._events.event import Event
    from lionpride_exec._status import EventStatus


class ReportOwner(Protocol):
    """
    A processor, as its reporter sees it.

    Attributes:
        executor: The executor that is told. None if nobody is told. Any object with an ``_update_progression()``.
    """

    executor: Any


class Reporter:
    """
    Reports starts and ends to an executor that does not follow its events itself.

    Args:
        owner: The processor. A user may give it another executor at any time.

    Attributes:
        host: The executor, once the processor is attached to it. None before that, and for an executor to which the
            processor was only given.
        files: Gets the reports in place of the executor. None if the executor gets them.
    """

    __slots__ = ("_owner", "files", "host")

    def __init__(self, owner: ReportOwner) -> None:
        self._owner = owner
        self.host: ReportHost | None = None
        self.files: ReportHost | None = None

    def is_needless(self) -> bool:
        """
        Return whether nothing has to be reported, since the executor follows the transitions of its events.

        Each worker pool asks this when it begins. An executor to which the processor is not attached gets all reports.
        """
        return self._owner.executor is None if self.host is None else not self.host._wants_reports()

    async def report(self, event: Event, status: EventStatus | None = None) -> None:
        """
        Tell the executor about an event.

        Args:
            event: The event.
            status: The status that the event is about to get. None if the event has moved already.
        """
        executor = self._owner.executor if self.files is None else self.files
        if executor is None:
            return
        if status is None:
            await executor._update_progression(event)
        else:
            await executor._update_progression(event, status)
