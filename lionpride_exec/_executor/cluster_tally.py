"""What the worker of a process could not run or report, for its log and its last line."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.backend import current_time

if TYPE_CHECKING:
    from lionpride_exec._events.lifecycle import EventLifecycle
    from lionpride_exec._status import EventStatus
    from lionpride_exec.errors import ClusterError

logger = logging.getLogger("lionpride_exec")

# Why an event cannot be run here. Clients and commands know these words too.
UNTRUSTED: Final = "untrusted"
UNREADABLE: Final = "unreadable"

# What to look at, for the log.
HINTS: Final = {UNTRUSTED: ". Do the client of the event and its worker have the same secret?"}

# Why an end here does not count: another worker has taken the event over.
TAKEN_OVER = "taken over"

# Why an end does not count: the server was not reached in time, or has refused it.
NOT_RECORDED = "not recorded"

# The server offers an event again and again. Of so many events, each is counted only once.
MAX_KNOWN: Final = 100_000

# Clients are told again after so many seconds that their events cannot be run here, and of so many events at most.
SECONDS_BETWEEN_REPORTS: Final = 60.0
MAX_REPORTED: Final = 1000


class ClusterTally:
    """
    Counts the events that this process could not run or report, so that other workers have to run them.

    Attributes:
        passed_on: How many events other workers have to run, by reason.
        unrecorded: How many ends of this process the server has not recorded, by status.
    """

    def __init__(self) -> None:
        self.passed_on: Counter[str] = Counter()
        self.unrecorded: Counter[EventStatus] = Counter()
        self._told: set[tuple[str, type[Exception]]] = set()  # the reasons and kinds of errors that were logged
        self._known: set[tuple[str, str]] = set()  # reasons and ids that were counted
        self._reported: set[str] = set()  # ids of which clients were told lately
        self._reported_since = 0.0  # loop time

    def pass_on(self, event_id: str, why: str, error: Exception, *, is_fault: bool = False) -> None:
        """
        Note that an event cannot be run here. The first one of a reason and a kind of error is logged.

        An event that is offered again does not count again.

        Args:
            event_id: Its id.
            why: The reason, for people.
            error: What prevents it.
            is_fault: Whether the error is not expected, so that the log should have its traceback.
        """
        if (why, type(error)) not in self._told:
            self._told.add((why, type(error)))
            message = "event %s is %s and is given back for other workers; further ones are only counted: %s%s"
            logger.warning(message, event_id, why, error, HINTS.get(why, ""), exc_info=error if is_fault else None)
        if (why, event_id) in self._known:
            return
        if len(self._known) < MAX_KNOWN:
            self._known.add((why, event_id))
        self.passed_on[why] += 1

    def reports(self, event_id: str) -> bool:
        """Return whether to tell clients now that an event cannot be run here. It counts as told then."""
        if current_time() - self._reported_since >= SECONDS_BETWEEN_REPORTS:
            self._reported, self._reported_since = set(), current_time()
        if event_id in self._reported or len(self._reported) >= MAX_REPORTED:
            return False
        self._reported.add(event_id)
        return True

    def lose(self, status: EventStatus) -> None:
        """Note that an event ends here with a status, and that another worker has it."""
        self._note(status, TAKEN_OVER)

    def note_unrecorded(self, event: EventLifecycle, status: EventStatus, error: ClusterError) -> None:
        """Note that the server has not confirmed the end of an event."""
        logger.warning("the end of %s was not recorded%s: %s", event, what_follows(error), error)
        self._note(status, NOT_RECORDED)

    def _note(self, status: EventStatus, why: str) -> None:
        self.passed_on[why] += 1
        self.unrecorded[status] += 1


def what_follows(error: ClusterError) -> str:
    """Return what becomes of an event whose step was not recorded. "" if the server refuses for good."""
    return ", so another worker takes the event over after its lease" if error.retryable else ""
