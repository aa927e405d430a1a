"""Faults: what may happen at a point, and what was injected."""

from __future__ import annotations

from typing import Any, Literal

import attrs


class InjectedFailure(Exception):
    """What a :class:`FaultPlan` has something fail with. Retryable, as most exceptions are."""


def _valid_share(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be within 0 and 1, got {value!r}")


def _valid_seconds(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{attribute.name} must be finite seconds, 0 or more, got {value!r}")


def _valid_visit(_instance: object, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, or None, got {value!r}")


def _valid_longest(instance: Latency, attribute: attrs.Attribute[Any], value: float) -> None:
    _valid_seconds(instance, attribute, value)
    if value < instance.shortest:
        raise ValueError(f"longest must be no less than shortest, {instance.shortest!r}, got {value!r}")


def _valid_of(_instance: object, _attribute: object, value: str) -> None:
    if value not in {"event", "caller", "task"}:
        raise ValueError(f"of must be 'event', 'caller' or 'task', got {value!r}")


@attrs.frozen(kw_only=True, repr=False)
class Fault:
    """
    What may happen at a point. The base of the others; by itself it is none.

    Args:
        share: How many of the visits meet it, from 0 (none) to 1 (all); the seed decides which.
        visit: Only this visit of an event may meet it, 1 for its first; None: each may.

    Raises:
        ValueError: An argument out of its range.
    """

    share: float = attrs.field(default=1.0, validator=_valid_share)
    visit: int | None = attrs.field(default=None, validator=_valid_visit)

    @property
    def _seconds_range(self) -> tuple[float, float]:
        """Between which numbers of seconds the seed chooses."""
        return 0.0, 0.0

    def __repr__(self) -> str:
        fields = attrs.fields(type(self))
        told = [
            f"{each.name}={value!r}"
            for each in sorted(fields, key=lambda each: each.kw_only)  # those of the kind of fault first
            if (value := getattr(self, each.name)) != _default_of(each, self)
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@attrs.frozen(repr=False)
class Latency(Fault):
    """
    It takes a while: between ``shortest`` and ``longest`` seconds of the event loop's clock, as the seed decides.

    Args:
        shortest: Seconds, 0 or more.
        longest: Seconds, at least the shortest; default: as that.
    """

    shortest: float = attrs.field(validator=_valid_seconds)
    longest: float = attrs.field(
        default=attrs.Factory(lambda self: self.shortest, takes_self=True), validator=_valid_longest
    )

    @property
    def _seconds_range(self) -> tuple[float, float]:
        return self.shortest, self.longest


@attrs.frozen(repr=False)
class Failure(Fault):
    """
    It raises an :class:`InjectedFailure`; "disk" a ``JournalError``.

    Only where the disk, or code of yours, may fail: :attr:`Point.fails` says where.
    """


@attrs.frozen(repr=False)
class Cancellation(Fault):
    """
    Somebody is cancelled at this moment.

    Args:
        of: "event": ``executor.cancel()`` of the event concerned. "caller": the scope ``with plan.cancellable():`` that
            the point is visited in, if there is one. "task": the task, by asyncio's own ``Task.cancel()``, past all
            scopes; on trio, which has no such thing, nothing.
        within: A caller is cancelled by so many seconds from now at the latest, 0 or more; the seed decides when.
    """

    of: Literal["event", "caller", "task"] = attrs.field(default="event", validator=_valid_of)
    within: float = attrs.field(default=0.0, validator=_valid_seconds)

    @property
    def _seconds_range(self) -> tuple[float, float]:
        return 0.0, self.within


@attrs.frozen(repr=False)
class Crash(Fault):
    """
    The process dies here: ``on_crash`` is called, and nothing more is injected.

    ``on_crash`` is to copy what a process leaves behind (the file of a journal) at this moment, and to cancel all that
    runs. What that does while it is being cancelled is of no importance: the next life begins with the copy.
    """


@attrs.frozen
class Injected:
    """
    A fault that was injected.

    Attributes:
        point: Where, such as "gate:before".
        label: Which event was there; "" if none.
        visit: How often that event had been there, this time included.
        fault: Which one.
        seconds: How many seconds the seed has chosen: of latency, or until a caller is cancelled.
    """

    point: str
    label: str
    visit: int
    fault: Fault
    seconds: float = 0.0

    def __str__(self) -> str:
        drawn = f" {self.seconds:.3f} s" if self.seconds else ""
        return f"{self.point} {self.label or '-'} #{self.visit}: {type(self.fault).__name__}{drawn}"


def _default_of(field: attrs.Attribute[Any], fault: Fault) -> object:
    default: Any = field.default
    return default.factory(fault) if hasattr(default, "takes_self") else default
