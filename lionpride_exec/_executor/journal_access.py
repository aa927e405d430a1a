"""
What a run of the command needs of an executor with a journal, beyond its public methods.

The command compares its INPUT with the journal before anything starts, and writes each result once its end is on disk.
This module is the only place where the command depends on how an executor uses its journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from lionpride_exec._journal.facts import KEPT_RUNS, RUNS, read_facts
from lionpride_exec._status import EventStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event
    from lionpride_exec._journal import Journal

    from .executor import Executor

# Why nothing starts before INPUT was compared with the journal. explain() shows these words.
COMPARING: Final = "INPUT is compared with the journal"


class JournalAccess:
    """
    Access to the open journal of an executor.

    Args:
        executor: The executor. It has a journal. It must have been started for all methods except :meth:`tag`,
            :meth:`hold` and :meth:`watch_retries`.
    """

    def __init__(self, executor: Executor) -> None:
        link = executor._link
        assert link is not None
        self.journal: Journal = link.journal
        self._link = link
        self._executor = executor

    def hold(self) -> None:
        """Start no event, and do nothing for other processes, until :meth:`release`."""
        self._executor._coordination.hold(COMPARING)
        self._link.inbox.hold()

    def release(self) -> None:
        """End :meth:`hold`."""
        self._link.inbox.release()
        self._executor._coordination.release_hold(COMPARING)

    async def wait_submissions(self) -> None:
        """Wait until the events that others have submitted so far are taken in, or none are taken in now."""
        await self._link.inbox.wait_submissions()

    async def catch_up(self) -> None:
        """
        Wait until all ends that follow from the state of the journal are on disk.

        An event that comes after a failed event ends when the journal is opened, and so do the events after it.

        Raises:
            JournalError: The journal was closed before the ends were written.

        Cancellation: while the call waits. Nothing has changed.
        """
        session = self._link.open_session()
        await session.writer.wait_committed()
        while self._executor._coordination.deferred_ends:
            await session.writer.wait_committed()

    def watch_retries(self, callback: Callable[[EventStatus, float | None], None]) -> None:
        """
        Call a function for each event that runs again, also because another process has asked for it.

        Args:
            callback: Called with the status that the event had, and with the time of its end, in seconds since 1970.
        """
        from .journal_retrying import JournalRetrying  # noqa: PLC0415  few runs need it

        retrying = self._executor._retrying
        assert isinstance(retrying, JournalRetrying)
        retrying.watch = lambda row: callback(EventStatus(row.status), row.finished)

    async def note_run(self, given: str) -> None:
        """
        Have the journal keep what was given to this run. Of earlier runs, the last 19 are kept.

        Raises:
            JournalError: The file cannot be read.

        Cancellation: while the file is read. Nothing has changed.
        """
        session = self._link.open_session()
        earlier: dict[str, str] = await session.lookup.in_thread(
            lambda: session.store.read(lambda connection: read_facts(connection, RUNS))
        )
        for name in sorted(earlier)[: 1 - KEPT_RUNS]:
            session.writer.next.record_fact(RUNS + name, None)
        session.writer.next.record_fact(f"{RUNS}{session.store.generation:010}", given)

    def tag(self) -> str:
        """Return the tag under which the journal stores events of the executor's type."""
        return self.journal._tag_for(self._executor.event_type)

    def key_of(self, event: Event) -> str | None:
        """Return the key of an event in the form that it has in the journal. None if the event has no key."""
        key = self._executor._parts.keys.of(event.id)
        return key if isinstance(key, str) else None

    def find(self, key: str) -> Event | None:
        """Return the event in memory with a key. None if there is none."""
        return self._executor._parts.keys.find(self._link.key_of(key))

    def is_here(self, event_id: bytes) -> bool:
        """Whether an event is in memory. Any thread may ask as long as :meth:`hold` is in force."""
        return UUID(bytes=event_id) in self._executor._parts.index.items

    def drop(self, event: Event) -> bool:
        """
        Remove a pending event from memory and from the journal, and free its key.

        Return whether it was removed: an event that others come after stays.
        """
        if self._executor._parts.dependencies.followers.get(event.id):
            return False
        self._executor._submissions.remove(event)
        return True

    def leave_on_disk(self, event: Event) -> None:
        """Remove a pending event from memory. It stays in the journal, unchanged, for a later run."""
        session = self._link.open_session()
        self._executor._submissions.forget(event)
        session.forget(event)

    def committed_outcome(self, event: Event) -> tuple[bool, bytes | None]:
        """
        Return whether the end of an event is on disk, and the outcome as it is stored there.

        The first is False if the journal was closed without the end. The outcome is None if it is not at hand.
        """
        return self._link.committed_outcome(event)
