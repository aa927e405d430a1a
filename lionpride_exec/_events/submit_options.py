"""The options with which ``append()`` takes an event in."""

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

    from lionpride_exec._model.element import Element

    from .event import Event


@attrs.frozen
class SubmitOptions:
    """
    The options with which ``append()`` takes an event in.

    Attributes:
        priority: The priority that the caller passed. None for the default.
        until: The time of ``anyio.current_time()`` before which the event is not due. None if the event is due.
        at: The time of the wall clock that ``until`` stands for, in seconds since 1970. None if there is none.
        skew: The seconds of ``wall_skew()`` when ``until`` was computed.
        after: The events that must complete before this event is queued.
        key: The key of the event. None if it has none.
        is_urgent: Whether the event is queued even if the queue is full.
        lost: An event from ``after`` that did not complete and is only in the journal. None if there is none.
    """

    priority: float | None = None
    until: float | None = None
    after: Sequence[Event] = ()
    key: Any = None
    is_urgent: bool = False
    lost: UUID | None = None
    at: float | None = None
    skew: float = 0.0

    def follow_wall(self) -> SubmitOptions:
        """Return the options. If the wall clock was set since ``until`` was computed, correct ``until``."""
        if self.until is None or self.at is None:
            return self
        skew = wall_skew()
        return attrs.evolve(self, until=self.until - (skew - self.skew), skew=skew)

    def carry_over(self, seconds: float) -> SubmitOptions:
        """Return the options for another event loop, whose clock is ahead by ``seconds``."""
        if self.at is not None:
            return attrs.evolve(self, until=current_time() + self.at - time.time(), skew=wall_skew())
        return self if self.until is None else attrs.evolve(self, until=self.until + seconds)


PLAIN = SubmitOptions()


def priority_of(event: Element, priority: float | None) -> float:
    """Return the priority with which an event is queued: by default its time of creation, in seconds since 1970."""
    return event.created_at.timestamp() if priority is None else priority


def options_for(priority: float | None, delay: float | None, at: datetime | None, **rest: Any) -> SubmitOptions:
    """
    Return the options of an event that is due after a delay, or at a time.

    Raises:
        ValueError: Both are given, or the delay is not a valid number of seconds, or the time has no time zone.
        TypeError: ``at`` is not a datetime.
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
    """Return the options of an event that is due at a wall-clock time, in seconds since 1970. A past time means now."""
    until = current_time() + max(at - time.time(), 0.0)
    return SubmitOptions(priority, until, at=at, skew=wall_skew(), **rest)
