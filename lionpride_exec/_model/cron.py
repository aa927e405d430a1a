"""
Due times by a crontab expression.

The package cronsim reads the expression and finds the next matching time of a clock that is never set. This module
finds where the clocks of a time zone are set, and asks cronsim about the time between two of these changes. The
treatment of time zones in cronsim is not used: it treats six fields unlike five, and supposes changes of whole hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from math import floor
from typing import Final

from lionpride_exec._base.wording import install_command

EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  times without a zone are counted from it
DAY: Final = 86_400


class Cron:
    """
    Due times by a crontab expression, in a time zone.

    If neither the hours nor the minutes begin with a star, each matching time counts once. A time that is left out
    when the clocks are put forward is due at that moment. A time that comes twice when the clocks are put back is due
    when it comes first. All other expressions are due whenever the clocks show a matching time.

    Args:
        expression: Five fields, or six with the seconds first, as the package cronsim reads them.
        zone: The time zone.

    Raises:
        ValueError: The expression is not valid, or no time matches it.
        ModuleNotFoundError: The package cronsim is not installed.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        try:
            from cronsim import CronSim, CronSimError  # noqa: PLC0415  an extra
        except ModuleNotFoundError as exc:
            raise ModuleNotFoundError(
                f"cron= needs the package cronsim: {install_command('schedule')}", name="cronsim"
            ) from exc
        self._make = CronSim
        self._expression = expression
        self._zone = zone
        try:
            found = self._matching(floor(datetime(2026, 1, 1, tzinfo=UTC).timestamp()))
        except (CronSimError, TypeError, AttributeError) as exc:
            raise ValueError(f"cron must be a crontab expression of five fields, got {expression!r}: {exc}") from exc
        if found is None:
            raise ValueError(f"cron matches no time in the next 50 years: {expression!r}")
        minutes, hours = expression.split()[-5:-3]
        self._counts_once = not minutes.startswith("*") and not hours.startswith("*")

    def __str__(self) -> str:
        return f"cron {self._expression!r} {self._zone}"

    def after(self, moment: float) -> float | None:
        """
        Return the first due time after a moment. None if there is none in the next 50 years.

        O(days until then), a microsecond for each.
        """
        start = floor(moment)
        shown = start + self._offset(start)
        if self._counts_once:
            shown = max(shown, self._end_of_repetition(start) - 1)
        while True:
            ahead = self._offset(start)
            if (found := self._matching(shown)) is None:
                return None
            if (change := self._first_change(start, found - ahead)) is None:
                return found - ahead
            behind = self._offset(change)
            skipped = range(change + ahead, change + behind)  # what the clocks do not show. Empty if they are put back
            if self._counts_once and found in skipped:
                return change
            start, shown = change, change + (max(ahead, behind) if self._counts_once else behind) - 1

    def _matching(self, shown: int) -> int | None:
        """Return the first matching time after what a clock shows, if the clock is not set. Seconds since 1970."""
        found: datetime | None = next(self._make(self._expression, EPOCH + timedelta(seconds=shown)), None)
        return None if found is None else floor((found - EPOCH).total_seconds())

    def _offset(self, moment: int) -> int:
        """Return by how many seconds the clocks are ahead of UTC at a moment."""
        offset = datetime.fromtimestamp(moment, self._zone).utcoffset()
        assert offset is not None  # of a time with a zone
        return floor(offset.total_seconds())

    def _first_change(self, start: int, end: int) -> int | None:
        """Return the first moment after ``start``, until ``end``, from which the clocks show another time."""
        offset = self._offset(start)
        while start < end:
            until = min(start + DAY, end)
            if self._offset(until) != offset:
                while until - start > 1:
                    middle = (start + until) // 2
                    start, until = (middle, until) if self._offset(middle) == offset else (start, middle)
                return until
            start = until
        return None

    def _end_of_repetition(self, moment: int) -> int:
        """Return until when the clocks show times again at a moment, as they show it. 0 if they do not."""
        change = self._first_change(moment - DAY, moment)
        return 0 if change is None else change + self._offset(change - 1)
