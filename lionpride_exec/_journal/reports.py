"""What a journal tells of itself: lines in the log, and how long its commits take."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.log_fields import log_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lionpride_exec._events.event import Event
    from lionpride_exec.errors import JournalError

logger = logging.getLogger("lionpride_exec.journal")

# Seconds between two lines in the log that say that the journal is behind.
SECONDS_BETWEEN_WARNINGS = 60.0


class Named(Protocol):
    """The executor, as its journal names it in the log."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class JournalReports:
    """
    Tells what happens to the journal of one executor.

    Args:
        path: The file.
        executor: The executor.

    Attributes:
        commit_observers: Called with the seconds that each commit took, in the event loop.
    """

    def __init__(self, path: Path, executor: Named) -> None:
        self.commit_observers: list[Callable[[float], None]] = []
        self._path = path
        self._executor = executor
        self._behind_at = -inf  # when it was told last that the journal is behind, by the wall clock

    def committed(self, seconds: float) -> None:
        """Tell how long a commit took, whether it succeeded or not."""
        for observer in tuple(self.commit_observers):
            observer(seconds)

    def trouble(self, error: JournalError) -> None:
        """Tell that the journal cannot be written."""
        logger.error(
            "%s cannot be written; nothing starts until it can: %s", self._path, error, extra=self._fields(error=error)
        )

    def works_again(self) -> None:
        """Tell that the journal can be written again."""
        logger.warning("%s can be written again", self._path, extra=self._fields())

    def behind(self, changes: int) -> None:
        """Tell that the journal is behind, at most once a minute."""
        now = wall_clock.seconds()
        if abs(now - self._behind_at) >= SECONDS_BETWEEN_WARNINGS:
            self._behind_at = now
            logger.warning(
                "%s is behind: nothing starts until half of %s changes are written", self._path, changes,
                extra=self._fields() | {"lionpride.count": changes},
            )  # fmt: skip

    def lost(self, changes: int, error: JournalError | None) -> None:
        """Tell how many changes could not be written before the journal was closed."""
        logger.error(
            "%s changes of %s could not be written: %s", changes, self._path, error,
            extra=self._fields(error=error) | {"lionpride.count": changes},
        )  # fmt: skip

    def unread(self, seq: int, error: Exception) -> None:
        """Tell that a row cannot be read."""
        logger.warning(
            "event %s cannot be read and stays in %s: %s", seq, self._path, error, extra=self._fields(error=error)
        )

    def held(self, event: Event, crashes: int) -> None:
        """Tell that an event ran when the process died, and waits for a decision."""
        logger.warning(
            "%s ran when the process died and is held in %s", event, self._path, extra=self._of_crash(event, crashes)
        )

    def given_up(self, event: Event, crashes: int) -> None:
        """Tell that an event ran when the process died, and does not run again."""
        logger.warning(
            "%s ran when the process died and is given up, crash %s", event, crashes,
            extra=self._of_crash(event, crashes),
        )  # fmt: skip

    def left(self, counts: Mapping[str, int]) -> None:
        """Tell which events stay in the file as they are, by the reason."""
        told = ", ".join(f"{number} {why}" for why, number in counts.items())
        logger.warning(
            "events that stay in %s as they are: %s", self._path, told,
            extra=self._fields() | {"lionpride.count": sum(counts.values())},
        )  # fmt: skip

    def ended_while_closed(self, event: Event) -> None:
        """Tell that an event has ended while its journal was closed."""
        logger.warning(
            "%s has ended while its journal was closed: only a next start of this executor writes that", event,
            extra=self._fields(event),
        )  # fmt: skip

    def _of_crash(self, event: Event, crashes: int) -> dict[str, Any]:
        return self._fields(event) | {"lionpride.count": crashes}

    def _fields(self, event: Event | None = None, error: BaseException | None = None) -> dict[str, Any]:
        return log_fields(self._executor.name, event, error) | {"lionpride.journal.path": str(self._path)}
