"""The log of the times in which a server is not reached."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from anyio import current_time

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import MAX_SECONDS

logger = logging.getLogger("lionpride_exec")

# A server that has answered before may be away for so many seconds before the log has it. This is also the least time
# for which a call has to go on trying: of a shorter one, the error comes soon.
SECONDS_UNTOLD: Final = 1.0


class Outage:
    """
    Logs that a server is not reached, and that it is reached again.

    Otherwise a program that starts before its server would be silent for as long as its patience lasts.

    Args:
        shown_url: The URL without user and password.
    """

    def __init__(self, shown_url: str) -> None:
        self._shown_url = shown_url
        self._since: float | None = None  # loop time of the first failure. None while the server answers
        self._has_answered = False
        self._is_told = False

    def note_failure(self, error: Exception, deadline: float) -> None:
        """
        Note that a call has not reached the server, and tries again.

        Args:
            error: Why the server was not reached.
            deadline: The loop time until which the call tries.
        """
        now = current_time()
        self._since = now if self._since is None else self._since
        is_short = self._has_answered and now - self._since < SECONDS_UNTOLD
        if self._is_told or is_short or deadline - now < SECONDS_UNTOLD:
            return
        self._is_told = True
        until, seconds = "it is reached", deadline - now
        if seconds <= MAX_SECONDS:  # there may be no date for a later time
            until = f"{wall_clock.now() + timedelta(seconds=seconds):%H:%M:%S} UTC ({seconds:.0f} s)"
        # The text alone: the error has the frames of the connection, and a handler may keep the record.
        logger.warning("%s is not reached, trying until %s: %s", self._shown_url, until, str(error))

    def note_answer(self) -> None:
        """Note that the server has answered."""
        if self._is_told and self._since is not None:
            logger.warning("%s is reached again, after %.1f s", self._shown_url, current_time() - self._since)
        self._since, self._has_answered, self._is_told = None, True, False
