"""
Fixed times of the day in a time zone, at which something begins anew.

A day has 23 or 25 hours where the clocks are put forward or back. A time that a day does not have (02:30 on the night
in which 02:00 becomes 03:00) is as much later as the clock was put forward: 03:30. A time that a day has twice counts
once, when it comes first. These are the rules of ``zoneinfo`` for ``fold=0``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

# A day of 25 hours, and a margin: some zones have left out a whole day, or moved by less or more than an hour.
LONGEST_DAY: Final = 50 * 3600.0


def zone_of(time_zone: str | tzinfo) -> tzinfo:
    """
    Return a time zone by its name, such as "Europe/Berlin".

    Raises:
        ValueError: There is no such time zone here.
        ConfigurationError: It is a time zone of pytz. They do not do what others do in ``datetime.combine()`` and
            ``datetime.replace()``, and are wrong by hours or minutes there.
    """
    if isinstance(time_zone, tzinfo):
        if type(time_zone).__module__.partition(".")[0] == "pytz":
            raise ConfigurationError(
                f"time_zone cannot be a time zone of pytz, which is wrong where the clocks are set: "
                f"pass zoneinfo.ZoneInfo({str(time_zone)!r}), or the name {str(time_zone)!r}"
            )
        return time_zone
    if time_zone == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # noqa: PLC0415  slow to import, and few programs need it

    try:
        return ZoneInfo(time_zone)
    except Exception as exc:  # a name may be a text of any kind, and the file of a zone may be damaged
        raise ValueError(
            f"time_zone must be the name of a time zone, such as 'Europe/Berlin', or a tzinfo, got {time_zone!r} "
            "(on a machine without time zones: pip install tzdata)"
        ) from exc


def time_of_day(value: str | time) -> time:
    """
    Return a time of the day, given as one or as a text: "00:00", "06:30:15".

    Raises:
        ValueError: It is neither, or it has a time zone of its own. A ``datetime`` is none.
    """
    try:
        found = time.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, time) or found.tzinfo is not None:
        raise ValueError(f"resets must be a time of the day without a zone, such as '00:00', got {value!r}")
    return found


class Resets:
    """
    The times of the day at which something begins anew.

    Args:
        times: The times of the day, one or more.
        zone: Their time zone.
    """

    def __init__(self, times: Iterable[time], zone: tzinfo) -> None:
        self._times = sorted(set(times))
        self._zone = zone

    @property
    def period(self) -> float:
        """The mean number of seconds between two resets."""
        return 86_400 / len(self._times)

    def after(self, moment: float) -> float:
        """Return the first reset after a moment. Both in seconds since 1970."""
        day = datetime.fromtimestamp(moment, self._zone).date() - timedelta(days=1)
        while True:
            # Two days at once: where a day was left out, or the clock was put back, the order of the two may differ.
            later = [at for at in (*self._of_day(day), *self._of_day(day + timedelta(days=1))) if at > moment]
            if later:
                return min(later)
            day += timedelta(days=1)

    def _of_day(self, day: date) -> list[float]:
        return [datetime.combine(day, at, self._zone).timestamp() for at in self._times]
