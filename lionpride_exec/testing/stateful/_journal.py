"""Rules that kill the process and go on from the journal."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
from anyio.lowlevel import checkpoint
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lionpride_exec._base.wall_clock import utc_now
from lionpride_exec._status import TERMINAL, EventStatus
from lionpride_exec.errors import JournalError, NotFoundError

from ._base import MachineBase, own
from ._promises import require

if TYPE_CHECKING:
    from pathlib import Path

    from lionpride_exec._events.event import Event


class JournalRules(MachineBase):
    """Rules that kill the process, and decide about the events that it held."""

    @precondition(lambda self: self.executor.journal is not None)
    @rule(event=st.none() | own("events"), steps=st.integers(0, 8))
    def kill_and_resume(self, event: Event | None, steps: int) -> None:
        """
        Kill the process, and go on in a new event loop from the file that it leaves behind.

        Args:
            event: An event that is being appended when the process is killed, and may not be acknowledged yet. None if
                there is none.
            steps: How many steps of the event loop before the kill the append has begun, 0 or more.

        Raises:
            ValueError: ``make_executor()`` has made a journal with another path than ``journal_path``.
        """
        source = self.journal_path
        self._deaths += 1
        self.call(self._die, event, steps, source, self.journal_path)
        moment = None if self.wall_start is None else utc_now()
        self._loop.close()
        strict_finals = self.confirmed_finals
        on_disk = _statuses(self.journal_path)
        self.finals: dict[UUID, EventStatus] = {
            one: EventStatus(status) for one, status in on_disk.items() if status in TERMINAL
        }
        self._open_executor(moment)
        self.call(self._resume, strict_finals)

    @precondition(lambda self: self._view.journal_session is not None)
    @rule()
    def release_held_events(self) -> None:
        """Call ``executor.release()`` for all events that are held after a crash (``on_crash="hold"``)."""

        async def main() -> None:
            """Release the held events, unless the journal is being closed."""
            with suppress(JournalError):  # the journal is being closed
                for event in await self.executor.held_events():
                    self._remember([await self.executor.release(event)])

        self.call(main)

    async def _die(self, event: Event | None, steps: int, source: Path, target: Path) -> None:
        async with anyio.create_task_group() as group:
            if event is not None:
                group.start_soon(self._append_as_it_dies, event)
                for _ in range(steps):
                    await checkpoint()
            self._stop_observing()
            _copy(source, target)
            group.cancel_scope.cancel()
        await self.executor.stop(grace=0)  # the machine observes nothing from here on

    async def _append_as_it_dies(self, event: Event) -> None:
        try:
            await self.executor.append(event)
        except self.refusals:
            return
        self._remember([event])

    async def _resume(self, strict_finals: set[UUID]) -> None:
        """Start the executor, and compare its events with those known before the kill."""
        executor = self.executor
        await executor.start()
        self.cleaned.difference_update({event.id for event in executor.states.items})  # removal not on disk yet
        lost = strict_finals - self.finals.keys() - self.cleaned
        assert executor.journal is not None
        if executor.journal.retain:
            lost.clear()
        require(not lost, "ended_stays_ended", f"{len(lost)} had ended", *(self.taken[one] for one in lost))
        for known in list(self.taken.values()):
            if known.id not in self.cleaned:
                await self._compare(known)
        self._remember(executor.states.items)  # also an event that was being appended

    async def _compare(self, known: Event) -> None:
        executor = self.executor
        assert executor.journal is not None
        try:
            found = await executor.get(known.id)
        except NotFoundError:
            may_be_gone = executor.journal.retain and known.id not in executor
            require(may_be_gone, "acknowledged_survives", "this is gone", known)
            return
        if found.status not in TERMINAL and self.current(known) is None:  # it is held, or cannot be read
            require(executor.journal.left, "nothing_is_lost", "this stays in the journal, and nobody says so", known)
            del self.taken[known.id]
            return
        final = self.finals.get(known.id)
        if final is not None and found is not self.current(known.id):
            require(found.status is final, "ended_stays_ended", f"it was {final} and is {found.status}", found)
        self._remember([found])


def _copy(source: Path, target: Path) -> None:
    """
    Copy the file as it is now, as a process that is killed at this moment would leave it.

    No other code writes meanwhile: the event loop stands still, and the journal has no thread (``SlowDisk``).
    """
    for suffix in ("-wal", ""):
        if (part := source.with_name(source.name + suffix)).exists():
            shutil.copy(part, target.with_name(target.name + suffix))


def _statuses(path: Path) -> dict[UUID, Any]:
    """Return the statuses in a journal file before an executor opens it."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            rows = connection.execute("SELECT id, status FROM event").fetchall()
        except sqlite3.OperationalError:  # the process was killed before the table was made
            return {}
    return {UUID(bytes=event_id): status for event_id, status in rows}
