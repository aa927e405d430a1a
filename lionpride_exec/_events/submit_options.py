"""The options with which ``append()`` takes an event in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, cast

import attrs

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.loop_time import wall_skew
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import shown_seconds
from lionpride_exec._validation import check_seconds, seconds_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from uuid import UUID

    from lionpride_exec._model.element import Element

    from .event import Event


# For how long a key is taken: while its event is open, or for ever.
Unique: TypeAlias = Literal["ever", "open"]

# Why no event of a cluster can expire.
NO_EXPIRES: Final = "expires= is not available with a cluster: its workers may begin an event at any time"


class SubmitArguments(TypedDict):
    """The arguments of ``Executor.append()`` beside the event, its priority and ``wait``."""

    delay: float | None
    at: datetime | None
    after: Event | UUID | Iterable[Event | UUID]
    after_any_end: Event | UUID | Iterable[Event | UUID]
    key: Hashable
    expires: float | timedelta | datetime | None
    unique: Unique


@attrs.frozen
class Expiry:
    """
    When an event ends SKIPPED if it has not begun.

    Attributes:
        until: The time of ``anyio.current_time()``.
        at: The time of the wall clock that ``until`` stands for, in seconds since 1970. None if the caller has said
            after how many seconds.
        limit: The end of the sentence "It expired: it had not begun".
    """

    until: float
    at: float | None
    limit: str

    def wall_time(self) -> float:
        """Return the time of the wall clock, in seconds since 1970."""
        return wall_clock.seconds() + self.until - current_time() if self.at is None else self.at


@attrs.frozen
class SubmitOptions:
    """
    The options with which ``append()`` takes an event in.

    Attributes:
        priority: The priority that the caller passed. None for the default.
        until: The time of ``anyio.current_time()`` before which the event is not due. None if the event is due.
        at: The time of the wall clock that ``until`` stands for, in seconds since 1970. None if there is none.
        skew: The seconds of ``wall_skew()`` when ``until`` was computed.
        expiry: When the event ends if it has not begun. None if it waits for as long as it takes.
        after: The events that must complete before this event is queued, or end if they are in ``any_end``.
        key: The key of the event. None if it has none.
        unique_open: Whether the event may take the key from an event that has ended, or that makes the call.
        submitted: The number of the row by which another process has submitted the event. None if none has.
        is_urgent: Whether the event is queued even if the queue is full.
        comes_after: All events of ``append(after=)``, in this order; an event that was passed by its id as its id.
        any_end: The ids of the events that may end in any way, those that have ended included.
        lost: An event from ``after`` that did not complete and is only in the journal. None if there is none.
    """

    priority: float | None = None
    until: float | None = None
    after: Sequence[Event] = ()
    key: Any = None
    is_urgent: bool = False
    lost: UUID | None = None
    comes_after: tuple[Event | UUID, ...] = ()
    any_end: frozenset[UUID] = frozenset()
    at: float | None = None
    skew: float = 0.0
    expiry: Expiry | None = None
    unique_open: bool = False
    submitted: int | None = None

    def due_wall(self) -> float | None:
        """Return the time before which the event is not due, in seconds since 1970. None if it is due."""
        if self.at is not None or self.until is None:
            return self.at
        return wall_clock.seconds() + self.until - current_time()

    def follow_wall(self) -> SubmitOptions:
        """Return the options. If the wall clock was set since ``until`` was computed, correct ``until``."""
        if self.until is None or self.at is None:
            return self
        skew = wall_skew()
        return attrs.evolve(self, until=self.until - (skew - self.skew), skew=skew)

    def carry_over(self, seconds: float) -> SubmitOptions:
        """Return the options for another event loop, whose clock is ahead by ``seconds``."""
        if self.at is not None:
            return attrs.evolve(self, until=current_time() + self.at - wall_clock.seconds(), skew=wall_skew())
        return self if self.until is None else attrs.evolve(self, until=self.until + seconds)


PLAIN = SubmitOptions()


def has_options(how: SubmitArguments) -> bool:
    """Return whether one of the arguments was given."""
    is_timed = how["delay"] is not None or how["at"] is not None or how["expires"] is not None
    comes_after = how["after"] != () or how["after_any_end"] != ()
    return is_timed or how["key"] is not None or comes_after or how["unique"] != "ever"


def is_unique_open(unique: Unique, key: Hashable) -> bool:
    """
    Return whether a key is free again once its event has ended.

    Raises:
        ValueError: The value is neither "ever" nor "open", or is "open" without a key.
    """
    if unique not in {"ever", "open"}:
        raise ValueError(f"unique must be 'ever' or 'open', got {unique!r}")
    if unique == "open" and key is None:
        raise ValueError("unique='open' needs a key: append(event, key=..., unique='open')")
    return unique == "open"


def priority_of(event: Element, priority: float | None) -> float:
    """Return the priority with which an event is queued: by default its time of creation, in seconds since 1970."""
    return event.created_at.timestamp() if priority is None else priority


def options_for(
    priority: float | None,
    delay: float | None,
    at: datetime | None,
    *,
    expires: float | timedelta | datetime | None = None,
    **rest: Any,
) -> SubmitOptions:
    """
    Return the options of an event that is due after a delay, or at a time, and may expire.

    Raises:
        ValueError: Both are given, or the delay is not a valid number of seconds, or a time has no time zone; or the
            event expires before it is due.
        TypeError: ``at`` is not a datetime.
    """
    options = _due_options(priority, delay, at, **rest)
    if expires is None:
        return options
    expiry = expiry_of(expires)
    if options.until is not None and options.until > current_time() and expiry.until <= options.until:
        raise ValueError(f"The event expires before it is due, so it could not begin: expires is {expires!r}")
    return attrs.evolve(options, expiry=expiry)


def check_expires(expires: float | timedelta | datetime | None) -> None:
    """
    Check an argument ``expires``.

    Raises:
        ValueError: It is no positive, finite number of seconds, no positive ``timedelta``, or a time without a zone.
    """
    if isinstance(expires, datetime):
        if expires.utcoffset() is None:
            raise ValueError(f"expires must have a time zone, got {expires!r}: use utc_now() or .astimezone()")
    elif expires is not None:
        check_seconds("expires", seconds_of(expires), zero_allowed=False)


def expiry_of(expires: float | timedelta | datetime) -> Expiry:
    """
    Return the expiry of an event that is appended now.

    Raises:
        ValueError: As for :func:`check_expires`.
    """
    check_expires(expires)
    if isinstance(expires, datetime):
        return expiry_at(expires.timestamp(), expires.isoformat())
    seconds: float = seconds_of(expires)
    return Expiry(current_time() + seconds, None, f"within {shown_seconds(seconds)}")


def expiry_at(at: float, shown: str | None = None) -> Expiry:
    """Return the expiry at a wall-clock time, in seconds since 1970."""
    try:
        text = datetime.fromtimestamp(at, UTC).isoformat() if shown is None else shown
    except (OverflowError, ValueError, OSError):  # a time after the year 9999
        text = f"{at:g} seconds after 1970"
    return Expiry(current_time() + at - wall_clock.seconds(), at, f"by {text}")


def _due_options(priority: float | None, delay: float | None, at: datetime | None, **rest: Any) -> SubmitOptions:
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
    until = current_time() + max(at - wall_clock.seconds(), 0.0)
    return SubmitOptions(priority, until, at=at, skew=wall_skew(), **rest)
