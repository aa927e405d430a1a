"""
The lifetimes of a journal and of its writer, as tables.

A journal is opened and closed many times during the life of its executor; each opening has one session, and each
session one writer. The state of the journal says what the executor may do. The state of the writer says what becomes of
rows::

    journal   CLOSED ─▶ OPENING ─▶ OPEN ───────────────▶ CLOSING ─▶ CLOSED
                           └───── opening failed ───────────▲
    writer              IDLE ─▶ WRITING ─▶ DRAINING ─▶ CLOSING ─▶ CLOSED

The journal is CLOSING from the moment the writer is: nothing is written any more, but the file is not closed yet.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.state_machine import StateMachine, transition_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec._base.state_machine import Notifiable


class JournalState(Enum):
    """What the executor may do with its journal."""

    CLOSED = "closed"
    """The file is not open. An end that comes now is written at the next start."""
    OPENING = "opening"
    """The file is opened, and open events are restored. Nothing can be recorded yet."""
    OPEN = "open"
    """What happens to events is recorded."""
    CLOSING = "closing"
    """Nothing is recorded any more. The file is closed by the task that wrote it."""


JOURNAL_TRANSITIONS: Final[Mapping[JournalState, frozenset[JournalState]]] = transition_table(
    {
        JournalState.CLOSED: {JournalState.OPENING},
        JournalState.OPENING: {JournalState.OPEN, JournalState.CLOSING},  # CLOSING: opening failed
        JournalState.OPEN: {JournalState.CLOSING},
        JournalState.CLOSING: {JournalState.CLOSED},
    }
)


class WriterState(Enum):
    """What becomes of the rows of one session."""

    IDLE = "idle"
    """Rows are gathered. No task writes them yet."""
    WRITING = "writing"
    """A task commits the rows that are gathered."""
    DRAINING = "draining"
    """No new event is taken in. What is gathered is still committed."""
    CLOSING = "closing"
    """Nothing is committed any more. The file is being closed."""
    CLOSED = "closed"
    """The file is closed, and each task that waited for a commit has been told."""


WRITER_TRANSITIONS: Final[Mapping[WriterState, frozenset[WriterState]]] = transition_table(
    {
        # CLOSING without a task: opening failed, or the task was cancelled before its first step.
        WriterState.IDLE: {WriterState.WRITING, WriterState.DRAINING, WriterState.CLOSING},
        # CLOSING without DRAINING: the event loop ends, or this process is a child of the owner.
        WriterState.WRITING: {WriterState.DRAINING, WriterState.CLOSING},
        WriterState.DRAINING: {WriterState.CLOSING},
        WriterState.CLOSING: {WriterState.CLOSED},
        WriterState.CLOSED: frozenset(),
    }
)


class JournalLifecycle(StateMachine[JournalState]):
    """
    The lifetime of the journal of one executor: the only place that says whether it is open.

    Args:
        condition: Is notified after each change. None if no task waits for one.
    """

    __slots__ = ()

    def __init__(self, condition: Notifiable | None = None) -> None:
        super().__init__("journal", JOURNAL_TRANSITIONS, JournalState.CLOSED, condition)


class WriterLifecycle(StateMachine[WriterState]):
    """The lifetime of the writer of one session."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("journal writer", WRITER_TRANSITIONS, WriterState.IDLE)

    @property
    def accepts_inserts(self) -> bool:
        """Whether a new event can still be taken in."""
        return self.state is WriterState.IDLE or self.state is WriterState.WRITING

    @property
    def commits(self) -> bool:
        """Whether what is recorded now is still committed."""
        return self.state is not WriterState.CLOSING and self.state is not WriterState.CLOSED
