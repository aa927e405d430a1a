"""Faults: what can happen at a point, and what was injected."""

from __future__ import annotations

from typing import Any, Literal

import attrs


class InjectedFailure(Exception):
    """The failure that a :class:`FaultPlan` injects. Retryable, as most exceptions are."""


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
    What can happen at a point. The base class of the faults; it is no fault itself.

    Args:
        share: The share of visits that meet the fault, from 0 (none) to 1 (all). The seed decides which.
        visit: The only visit of an event that can meet the fault, 1 for the first. None for each visit.

    Raises:
        ValueError: An argument is out of its range.
    """

    share: float = attrs.field(default=1.0, validator=_valid_share)
    visit: int | None = attrs.field(default=None, validator=_valid_visit)

    @property
    def _seconds_range(self) -> tuple[float, float]:
        """The least and the most seconds that the seed chooses between."""
        return 0.0, 0.0

    def __repr__(self) -> str:
        fields = attrs.fields(type(self))
        told = [
            f"{each.name}={value!r}"
            for each in sorted(fields, key=lambda each: each.kw_only)  # the fields of the subclass first
            if (value := getattr(self, each.name)) != _default_of(each, self)
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@attrs.frozen(repr=False)
class Latency(Fault):
    """
    A delay, by the clock of the event loop. The seed chooses its length between ``shortest`` and ``longest``.

    Args:
        shortest: Seconds, 0 or more.
        longest: Seconds, at least ``shortest``, which is the default.
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
    An :class:`InjectedFailure` is raised; at "disk", a ``JournalError``.

    Only the disk and your own code can fail: :attr:`Point.fails` says at which points.
    """


@attrs.frozen(repr=False)
class Cancellation(Fault):
    """
    An event, a caller or a task is cancelled.

    Args:
        of: "event" calls ``executor.cancel()`` for the event concerned. "caller" cancels the scope
            ``with plan.cancellable():`` around the visit, if there is one. "task" calls asyncio's ``Task.cancel()``,
            which ignores scopes; on trio it does nothing.
        within: The caller is cancelled within this many seconds, 0 or more. The seed decides when.
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

    ``on_crash`` has to copy what the process leaves behind (the file of a journal), and then to cancel everything that
    runs. What happens during this cancellation does not matter, because the next process begins with the copy.
    """


@attrs.frozen
class Injected:
    """
    A fault that was injected.

    Attributes:
        point: The point, for example "gate:before".
        label: The label of the event that visited the point; "" if there was none.
        visit: The number of this visit of the event, 1 for the first.
        fault: The fault.
        seconds: The seconds that the seed has chosen: the delay, or the time until a caller is cancelled.
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
