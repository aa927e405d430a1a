"""
The runs of one schedule: which is the last one, and whether the next one may begin.

With a journal, the last run may be of an earlier process. So the fact of the schedule has the keys of two runs: the
last one, and one that is about to be appended. The second is written no later than its event. So the next process finds
the event, wherever the process before was killed.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import anyio

from lionpride_exec._status import HELD, TERMINAL
from lionpride_exec.errors import ExecutorClosedError

from .schedule_owner import FACT

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

    from .schedule_fact import ScheduleFact
    from .schedule_owner import ScheduleOwner
    from .schedule_policy import Overlap

logger = logging.getLogger("lionpride_exec")

# A run waits for a held one. The journal is asked for it again after this many seconds.
HELD_INTERVAL: Final = 30.0

# Whether the next run may begin. "replaced": the last run was cancelled for it, and has ended.
Way = Literal["blocked", "free", "replaced"]


class ScheduleRuns:
    """
    The runs of one schedule.

    Args:
        name: The name of the schedule.
        overlap: What happens if the last run has not ended.
        owner: The schedules of the executor.

    Attributes:
        resets: How often the schedule began anew because the clock had been ahead.
        known: The due times and the keys of the runs that may not have ended. Empty without a journal.
    """

    def __init__(self, name: str, overlap: Overlap, owner: ScheduleOwner) -> None:
        self.resets: int = 0
        self.known: tuple[tuple[float, str], ...] = ()
        self._name = name
        self._overlap = overlap
        self._owner = owner
        self._last: Event | None = None  # the last run. None if there was none, or if it is not in memory
        self._held: str | None = None  # the key of the last run, if the journal holds it

    def key_of(self, due: float) -> str | None:
        """Return the key of the run of a due time. None without a journal."""
        if not self._owner.has_journal:
            return None
        suffix = f"#{self.resets}" if self.resets else ""
        return f"{FACT}{self._name}:{datetime.fromtimestamp(due, UTC).isoformat()}{suffix}"

    async def recall(self, fact: ScheduleFact) -> set[float]:
        """Find the last run of an earlier process. Return the due times that have an event."""
        self.resets = fact.resets
        known = fact.runs
        if not known and (key := self.key_of(fact.dealt)) is not None:
            known = ((fact.dealt, key),)  # an earlier version has written the fact
        has_event: set[float] = set()
        for due, key in known:
            found = await self._owner.find_run(key)
            if found is None:
                continue
            has_event.add(due)
            self.known = ((due, key),)
            self._last = None if isinstance(found, str) else found
            self._held = key if found == HELD else None
        if self._held is not None and self._overlap != "replace":
            logger.warning("the schedule %r waits for a decision: its last run is held (%s)", self._name, self._held)
        return has_event

    def began(self, due: float, event: Event) -> None:
        """Note the event of a due time, which is the last run now."""
        self._last, self._held = event, None
        key = self.key_of(due)
        self.known = () if key is None else ((due, key),)

    async def make_way(self) -> Way:
        """
        Do what has to be done if the last run has not ended. Return whether the next one may begin.

        Cancellation: while the call waits for the end of the last run.
        """
        await self._find_held()
        if self._held is not None and self._overlap == "skip":
            return "blocked"
        while self._held is not None and self._overlap == "queue":
            await anyio.sleep(HELD_INTERVAL)
            await self._find_held()
        last = self._last
        if last is None or last.execution.status in TERMINAL or not self._owner.has(last):
            return "free"
        if self._overlap == "skip":
            return "blocked"
        if self._overlap == "replace":
            self._owner.cancel(last, f"the next run of the schedule {self._name!r} is due")
        try:
            await last.wait()
        except ExecutorClosedError:
            if self._owner.has(last):
                raise  # the executor is being left, and the event goes on at the next start
        return "free" if self._overlap == "queue" else "replaced"

    async def _find_held(self) -> None:
        """Find out what became of the last run, if the journal held it."""
        if self._held is not None:
            found = await self._owner.find_run(self._held)
            if found != HELD:
                self._last, self._held = (None if isinstance(found, str) else found), None
