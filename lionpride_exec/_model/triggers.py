"""
When the runs of a schedule are due.

All times are seconds since 1970, or of whichever clock the caller counts by. A trigger knows no clock: it answers which
time comes after another one. So the same rules hold for the next run and for runs that were missed.
"""

from __future__ import annotations

import logging
from collections import deque
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from math import floor, inf
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import attrs
from anyio.lowlevel import checkpoint

from lionpride_exec._base.wording import MAX_SECONDS
from lionpride_exec._validation import check_seconds, seconds_of

from .cron import Cron
from .resets import zone_of

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("lionpride_exec")

# The shortest distance of due times, in seconds. Event loops sleep for no less.
SHORTEST: Final = 0.001

# The due times that become runs of their own after a time in which nothing ran.
MAX_DUE: Final = 1000

# The due times that are counted one by one. If there are more, at least this number have passed.
MAX_COUNT: Final = 100_000

# After so many due times, other tasks have their turn.
STEPS: Final = 200

# How far back the last due times are looked for, if there are too many to look at all of them.
WINDOWS: Final = (60.0, 3600.0, 2 * 86_400.0, 32 * 86_400.0, 400 * 86_400.0, inf)


class Trigger(Protocol):
    """Says when runs are due."""

    def after(self, moment: float) -> float | None:
        """Return the first due time after a moment. None if there is none."""


class Every:
    """Due times at equal distances."""

    def __init__(self, seconds: float) -> None:
        self.seconds: float = float(seconds)
        self.anchor: float = 0.0  # the due times are the anchor, and whole numbers of distances from it

    def __str__(self) -> str:
        return f"every {repr(self.seconds).removesuffix('.0')} s"

    def after(self, moment: float) -> float | None:
        """Return the first due time after a moment."""
        number = floor((moment - self.anchor) / self.seconds)  # the quotient is rounded: it may be one off
        while self._at(number) > moment:
            number -= 1
        while (due := self._at(number)) <= moment:
            number += 1
        return due

    def _at(self, number: int) -> float:
        """Return a due time by its number. No due time is made in another way, so each is one float."""
        return self.anchor + number * self.seconds


class Custom:
    """Due times by a function of the user, which returns the first time after a time (UTC), or None."""

    def __init__(self, function: Callable[[datetime], datetime | None]) -> None:
        self._function = function

    def __str__(self) -> str:
        return f"trigger {_text_of(self._function)}"

    def after(self, moment: float) -> float | None:
        """
        Return the first due time after a moment.

        Raises:
            TypeError: The function returned no datetime.
            ValueError: The time has no time zone, or is not after the moment.
        """
        asked = datetime.fromtimestamp(moment, UTC)
        found: Any = self._function(asked)
        if found is None:
            return None
        if not isinstance(found, datetime):
            raise TypeError(f"{self} must return a datetime or None, got {found!r}")
        if found.utcoffset() is None:
            raise ValueError(f"{self} must return a datetime with a time zone, got {found!r}")
        if found <= asked:
            raise ValueError(f"{self} must return a time after {asked}, got {found}")
        return found.timestamp()


def make_trigger(
    every: float | timedelta | None, cron: str | None, trigger: object, time_zone: str | tzinfo | None
) -> Every | Cron | Custom:
    """
    Return the trigger that was asked for.

    Raises:
        ValueError: Not exactly one of the three is given, or it is not valid, or there is no such time zone, or a
            time zone is given without ``cron``.
        TypeError: ``trigger`` is no function.
        ModuleNotFoundError: ``cron`` needs a package that is not installed.
    """
    given = [name for name, value in (("every", every), ("cron", cron), ("trigger", trigger)) if value is not None]
    if len(given) != 1:
        raise ValueError(f"a schedule needs one of every, cron and trigger, got {', '.join(given) or 'none'}")
    if time_zone is not None and cron is None:
        raise ValueError(f"time_zone is for cron=, and would change nothing of {given[0]}=, got {time_zone!r}")
    if every is not None:
        seconds: float = seconds_of(every)
        check_seconds("every", seconds, zero_allowed=False)
        if not SHORTEST <= seconds <= MAX_SECONDS:
            raise ValueError(f"every must be {SHORTEST} s to {MAX_SECONDS:g} s, got {every!r}")
        return Every(seconds)
    if cron is not None:
        if not isinstance(cast("object", cron), str):
            raise ValueError(f"cron must be a crontab expression of five fields, got {cron!r}")
        return Cron(cron, zone_of("UTC" if time_zone is None else time_zone))
    if not callable(trigger):
        raise TypeError(f"trigger must be a function of a datetime, got {trigger!r}")
    return Custom(cast("Callable[[datetime], datetime | None]", trigger))


def _text_of(value: object) -> str:
    """Return a text that tells a function, or an argument of one, from others, also in another process."""
    if isinstance(value, partial):
        given = [_text_of(each) for each in value.args]
        given += [f"{name}={_text_of(each)}" for name, each in value.keywords.items()]
        return f"{_text_of(value.func)}({', '.join(given)})"
    if isinstance(value, MethodType):
        return f"{_text_of(value.__self__)}.{value.__name__}"
    if isinstance(name := getattr(value, "__qualname__", None), str):
        return name
    has_repr = type(value).__repr__ is not object.__repr__  # the one of object has an address in memory
    return repr(value) if has_repr else type(value).__qualname__


class Answers:
    """
    What a trigger has answered. It is asked once for what comes after a time, since it may answer otherwise later.

    Args:
        trigger: The trigger.
        name: The name of the schedule, for the log.

    Attributes:
        has_failed: Whether the trigger raised an error when it was asked last. The log has the error.
    """

    def __init__(self, trigger: Trigger, name: str) -> None:
        self._trigger = trigger
        self._name = name
        self._known: dict[float, float | None] = {}
        self.has_failed: bool = False

    def after(self, moment: float) -> float | None:
        """
        Return the first due time after a moment. None if there is none, or if the trigger has failed.

        O(1) if the answer is known.
        """
        if moment in self._known:
            return self._known[moment]
        try:
            found = self._trigger.after(moment)
        except Exception:
            logger.exception("The trigger of the schedule %r has failed", self._name)
            self.has_failed = True
            return None
        self.has_failed = False
        self._known[moment] = found
        return found

    def forget_before(self, moment: float) -> None:
        """Forget what comes after earlier times, which nobody asks for any more."""
        for known in [known for known in self._known if known < moment]:
            del self._known[known]


@attrs.frozen
class Passed:
    """
    Due times that have passed.

    Attributes:
        count: How many there are. If there are more than ``MAX_COUNT``, and they are not at equal distances, that.
        last: The last of them, in order: at most ``MAX_DUE``, and the one before these.
    """

    count: int
    last: list[float]


async def due_times(trigger: Trigger, since: float, until: float) -> Passed:
    """
    Return the due times after a moment until another.

    O(number of due times) up to ``MAX_COUNT``, with checkpoints. For ``Every``, O(``MAX_DUE``).

    Cancellation: at a checkpoint, after each ``STEPS`` due times. Nothing has changed.
    """
    if isinstance(trigger, Every):
        _, last = await _walk(trigger, max(since, until - (MAX_DUE + 2) * trigger.seconds), until, inf)
        first = trigger.after(since)
        return Passed(0 if first is None or not last else round((last[-1] - first) / trigger.seconds) + 1, last)
    count, last = await _walk(trigger, since, until, MAX_COUNT)
    if count < MAX_COUNT:
        return Passed(count, last)
    for window in WINDOWS:
        _, found = await _walk(trigger, max(since, until - window), until, inf)
        last = found or last
        if len(found) > MAX_DUE:
            break
    return Passed(count, last)


async def _walk(trigger: Trigger, since: float, until: float, limit: float) -> tuple[int, list[float]]:
    """Return how many due times there are, up to a limit, and the last of those."""
    last: deque[float] = deque(maxlen=MAX_DUE + 1)
    count = 0
    due = trigger.after(since)
    while due is not None and due <= until and count < limit:
        last.append(due)
        count += 1
        if count % STEPS == 0:
            await checkpoint()
        due = trigger.after(due)
    return count, list(last)
