"""How an event is to be taken in: what ``append()`` was told about it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.loop_time import wall_skew
from lionpride_exec._validation import check_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from .event import Event


@attrs.define
class SubmitOptions:
    """
    How an event is to be taken in.

    Attributes:
        priority: As given; None: the default.
        until: A reading of ``anyio.current_time()`` before which it is not due; None: it is.
        at: The time by the wall clock that this stands for, in seconds since 1970. None if it was given as a delay.
        skew: How far the wall clock was ahead then, by ``wall_skew()``.
        after: The events that have to complete before it is queued.
        key: By which it is known; None: by none.
        is_urgent: Whether it is queued whatever room there is.
        lost: An event that it comes after, too, that is in the journal only and did not complete; None: there is none.
    """

    priority: float | None = None
    until: float | None = None
    after: Sequence[Event] = ()
    key: Any = None
    is_urgent: bool = False
    lost: UUID | None = None
    at: float | None = None
    skew: float = 0.0

    def follow_wall(self) -> None:
        """Correct the time by the wall clock, if that was set since it was given."""
        if self.until is not None and self.at is not None:
            before, self.skew = self.skew, wall_skew()
            self.until -= self.skew - before

    def carry_over(self, seconds: float) -> None:
        """Carry the time over to another event loop, whose clock is so far ahead."""
        if self.at is not None:
            self.until, self.skew = current_time() + self.at - time.time(), wall_skew()
        elif self.until is not None:
            self.until += seconds


PLAIN = SubmitOptions()


def options_for(priority: float | None, delay: float | None, at: datetime | None, **rest: Any) -> SubmitOptions:
    """
    Return the options of an event that is due after a delay, or at a time.

    Raises:
        ValueError: Both are given, or what is given is no time, or a time without a time zone.
        TypeError: ``at`` is no datetime.
    """
    if at is None:
        until = None if delay is None else current_time() + check_seconds("delay", delay)
        return SubmitOptions(priority, until, **rest)
    if delay is not None:
        raise ValueError("delay and at exclude each other")
    if not isinstance(cast("object", at), datetime):
        raise TypeError(f"at must be a datetime, got {at!r}")
    if at.utcoffset() is None:
        raise ValueError(
            f"at must have a time zone, got {at!r}: use datetime.now(UTC) instead of datetime.now() or utcnow(), "
            "or at.astimezone() for a local time"
        )
    return options_at(priority, at.timestamp(), **rest)


def options_at(priority: float | None, at: float, **rest: Any) -> SubmitOptions:
    """Return the options of an event that is due at a time of the wall clock, in seconds since 1970; past is now."""
    until = current_time() + max(at - time.time(), 0.0)
    return SubmitOptions(priority, until, at=at, skew=wall_skew(), **rest)
