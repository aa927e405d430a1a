"""A limit with an amount that is filled up at fixed times of the day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, time, tzinfo
from typing import Any

import attrs

from lionpride_exec._validation import check_flag

from .key_amounts import Amount, check_amount, own_amount
from .limit_fields import CostOf, KeyOf, Scope, check_positive, shown, valid_getter, valid_name, valid_scope
from .resets import Resets, time_of_day, zone_of

TimeOfDay = str | time


def _valid_amount(instance: Quota, attribute: attrs.Attribute[Any], value: object) -> None:
    check_amount(attribute.name, value, check_positive, has_key=instance.key is not None)
    if instance.cost is None and isinstance(value, int | float) and value < 1:
        raise ValueError(f"amount must be at least 1, since each event takes 1 without a cost, got {value!r}")


def _valid_flag(_: Quota, attribute: attrs.Attribute[Any], value: object) -> None:
    check_flag(attribute.name, value)


def _to_times(resets: TimeOfDay | Iterable[TimeOfDay]) -> tuple[time, ...]:
    values = list(resets) if isinstance(resets, Iterable) and not isinstance(resets, str) else [resets]
    times = tuple(sorted({time_of_day(value) for value in values}))
    if not times:
        raise ValueError("resets must be one time of the day or more, got none")
    return times


def _shown_times(times: tuple[time, ...]) -> str:
    found = [each.isoformat("minutes" if each == each.replace(second=0, microsecond=0) else "auto") for each in times]
    return repr(found[0] if len(found) == 1 else found)


@attrs.frozen(eq=False)
class Quota:
    """
    A limit of ``amount`` from one reset to the next, such as 10,000 calls a day.

    The resets are times of the wall clock. At each of them the whole amount is there again. So twice the amount may
    start around a reset: use a :class:`Rate` beside the quota if the server has one too.

    A day has 23 or 25 hours where the clocks are put forward or back. A time that a day does not have is as much later
    as the clock was put forward. A time that a day has twice counts when it comes first. If the wall clock is set, or
    the machine sleeps, the reset is corrected within 30 s.

    Args:
        amount: How many events may start between two resets, or the sum of their costs. Positive and finite. With
            ``key`` also an amount for each key, as for :class:`Rate`.
        resets: A time of the day, as a text ("00:00") or a ``datetime.time``; or several of them.
        time_zone: The time zone of the resets: its name, such as "America/Los_Angeles", or a ``tzinfo``.
        cost: As for :class:`Rate`.
        key: As for :class:`Rate`.
        hold: When an event counts no more: at the first reset after its start (False, the default), or after its end
            (True). A server counts a call when the call arrives, which may be after the reset. With ``hold`` the calls
            that run at a reset count for the time after it too.
        name: The name by which ``set_limit()`` and ``pause()`` find the limit. ``explain()``, the dashboard, ``top``,
            metrics and logs show it in place of the arguments.
        scope: "queue": the limit holds for all processes of a cluster together, which no cluster can do: such an
            executor is refused at its start. "process": each process has its own amount.

    Attributes:
        per: The mean number of seconds between two resets: 86,400 for one reset a day.
        calendar: When the resets are.

    Raises:
        ValueError: A number is out of range, a reset is no time of the day, there is no such time zone, a cost or key
            is neither a name nor a function, ``hold`` is no bool, ``name`` is no text or empty, or ``scope`` is neither
            of its two values. Or there is an amount for each key, and no ``key``.
        ConfigurationError: ``time_zone`` is one of pytz. Pass one of ``zoneinfo``, or its name.
    """

    amount: Amount = attrs.field(validator=_valid_amount, converter=own_amount, repr=shown)
    resets: tuple[time, ...] = attrs.field(converter=_to_times, repr=_shown_times)
    time_zone: tzinfo = attrs.field(default=UTC, kw_only=True, converter=zone_of, repr=str)
    cost: CostOf = attrs.field(default=None, kw_only=True, validator=valid_getter, repr=shown)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=valid_getter, repr=shown)
    hold: bool = attrs.field(default=False, kw_only=True, validator=_valid_flag)
    name: str | None = attrs.field(default=None, kw_only=True, repr=False, validator=valid_name)
    scope: Scope = attrs.field(default="queue", kw_only=True, repr=False, validator=valid_scope)

    per: float = attrs.field(init=False, repr=False)
    calendar: Resets = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        calendar = Resets(self.resets, self.time_zone)
        object.__setattr__(self, "calendar", calendar)  # the class is frozen
        object.__setattr__(self, "per", calendar.period)
