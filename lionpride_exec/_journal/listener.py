"""What the writer of a journal tells its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lionpride_exec.errors import JournalError

    from .rows import Batch
    from .store import CommitResult


class WriterListener(Protocol):
    """What a writer tells. No method may wait."""

    def committed(self, batch: Batch, result: CommitResult) -> None:
        """Learn that a batch is on disk."""

    def before_commit(self) -> None:
        """Record more rows for the next commit. The writer makes the commit right after this call, if it has rows."""

    def trouble_changed(self, error: JournalError | None) -> None:
        """Learn that a commit has failed, or, with None, that one has succeeded again."""

    def writing_ended(self) -> None:
        """Learn that nothing is committed any more. Called once."""
