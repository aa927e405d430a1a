"""What a schedule does when it cannot keep its times, and what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import attrs

from lionpride_exec._validation import check_flag, check_priority, check_seconds

if TYPE_CHECKING:
    from datetime import datetime

Overlap = Literal["skip", "queue", "replace"]


@attrs.frozen(kw_only=True)
class Policy:
    """
    What a schedule does when it cannot keep its times.

    Attributes:
        misfire: The seconds by which a run may be late when its event is appended. A later run is missed. A timer that
            wakes up to a second late makes no run late. None: a run is never too late.
        coalesce: Whether several due times that are dealt with at once become one run, that of the last of them.
        overlap: What happens if the last run has not ended: the new run is left out ("skip"), begins after it
            ("queue"), or the last run is cancelled, and the new one begins after its end ("replace").
        jitter: A run is up to this many seconds later than its due time, by chance.
        priority: The priority of the events. None for the default.
    """

    misfire: float | None = None
    coalesce: bool = True
    overlap: Overlap = "skip"
    jitter: float = 0.0
    priority: float | None = None

    def check(self) -> None:
        """
        Check the values.

        Raises:
            ValueError: One of them is out of range.
        """
        if self.misfire is not None:
            check_seconds("misfire", self.misfire)
        check_seconds("jitter", self.jitter)
        check_flag("coalesce", self.coalesce)
        if self.overlap not in get_args(Overlap):
            raise ValueError(f"overlap must be 'skip', 'queue' or 'replace', got {self.overlap!r}")
        if self.priority is not None:
            check_priority(self.priority)


@attrs.frozen
class ScheduleState:
    """
    A schedule at one moment.

    Attributes:
        name: The name of the schedule.
        trigger: When its runs are due, in words.
        next_at: The next due time (UTC), or the time at which a run with jitter begins. None if there is none, if the
            executor does not run, or if a function was not asked yet. With a journal, what was missed may be due first.
        last_at: The last due time for which an event was appended (UTC), with a journal also by an earlier process.
            None if there was none.
        runs: How many events it has appended.
        missed: How many due times have passed without an event: nothing ran, others came at once, or the run would
            have been too late. Of a crontab or a function, at most 100,000 are counted at one time.
        skipped: How many runs were left out because the last run had not ended.
        failed: How many events could not be made or appended. The log has each error.
    """

    name: str
    trigger: str
    next_at: datetime | None = None
    last_at: datetime | None = None
    runs: int = 0
    missed: int = 0
    skipped: int = 0
    failed: int = 0
