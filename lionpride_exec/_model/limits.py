"""
Limits: what an executor may have started, or have running, for each key.

A limit is told by three numbers: an *amount*, how long what was taken of it stays away, and from when on. For a
:class:`Rate` that is ``per`` seconds from the start (or, with ``hold``, from the end), for a :class:`Concurrent`
until the end. So the two are one thing inside (``_scheduling.limit_state``), and an event takes of all its limits at
once or of none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.field_paths import is_inside
from lionpride_exec._base.redaction import digest_of, quotes, secrets_of
from lionpride_exec._validation import check_count, check_seconds, is_finite
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

KeyOf = str | Callable[[Any], Hashable] | None
CostOf = str | Callable[[Any], float] | None


def _valid_amount(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not is_finite(value) or value <= 0:
        raise ValueError(f"{attribute.name} must be a positive, finite number, got {value!r}")


def _valid_limit(_instance: object, _attribute: object, value: Any) -> None:
    check_count("limit", value, 1)


def _valid_per(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_seconds(attribute.name, value, zero_allowed=False)


def _valid_getter(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str) and not callable(value):
        raise ValueError(f"{attribute.name} must be the name of an attribute or a function of the event, got {value!r}")


def _shown(getter: object) -> str:
    """Return a field or a function as a person would name it."""
    return str(getattr(getter, "__qualname__", repr(getter)))


@attrs.frozen(eq=False)
class Rate:
    """
    At most ``amount`` in any window of ``per`` seconds, wherever it starts.

    It is exact: not a bucket that lets twice the amount through around a refill.

    Args:
        amount: Positive, finite. Starts, or what ``cost`` counts.
        per: Length of the window in seconds, positive.
        cost: What one event takes: the name of an attribute of the event, or a function of it that gives a finite
            number, 0 or more; default 1. Asked when the event is appended, and once more when it is queued later than
            that (at the first start, or after others). ``Event.settle()`` corrects it.
        key: For whom it holds: the name of an attribute, or a function of the event, giving a hashable; each key has
            an amount of its own. An event whose key is None is not limited by it. Default: one for all.
        hold: When what was taken comes back: False, ``per`` seconds after the start of the event; True, ``per`` seconds
            after its end. A server counts a call when it arrives, somewhere between the two: with ``hold`` it never
            sees more than ``amount`` in a window, whatever the network does, at the price of the time that calls take.

    Raises:
        ValueError: A number out of its range.
    """

    amount: float = attrs.field(validator=_valid_amount)
    per: float = attrs.field(validator=_valid_per)
    cost: CostOf = attrs.field(default=None, kw_only=True, validator=_valid_getter, repr=_shown)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=_valid_getter, repr=_shown)
    hold: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(eq=False)
class Concurrent:
    """
    At most ``limit`` running at the same time.

    Args:
        limit: 1 or more.
        key: As for :class:`Rate`.

    Attributes:
        amount: The limit, as a :class:`Rate` calls it.
        per: 0 seconds: it comes back at once, at the end.
        cost: A function of the event. None if each event takes 1.
        hold: True: it comes back after the end.

    Raises:
        ValueError: A number out of its range.
    """

    limit: int = attrs.field(validator=_valid_limit)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=_valid_getter, repr=_shown)

    # What makes it one kind with a rate: its amount comes back at once, at the end.
    amount: float = attrs.field(init=False, repr=False, default=attrs.Factory(lambda self: self.limit, takes_self=True))
    per: float = attrs.field(init=False, repr=False, default=0.0)
    cost: CostOf = attrs.field(init=False, repr=False, default=None)
    hold: bool = attrs.field(init=False, repr=False, default=True)


Limit = Rate | Concurrent


@attrs.frozen
class Route:
    """
    Where an event queues up, and what it takes.

    Attributes:
        key: Its partition and its key of each limit that has keys; events with the same key wait in one line.
        costs: What it takes of each limit, after a 0 for its gate.
    """

    key: tuple[Hashable, ...] = ()
    costs: tuple[float, ...] = (0,)


class Router:
    """
    Gives events their routes.

    Args:
        limits: Of the executor.
        partition: Returns the partition of an event. None if there is one for all.

    Raises:
        ConfigurationError: Something among the limits is none.
    """

    def __init__(
        self, limits: Iterable[Limit] | Limit = (), partition: Callable[[Any], Hashable] | None = None
    ) -> None:
        self.limits: tuple[Limit, ...] = (limits,) if isinstance(limits, Rate | Concurrent) else tuple(limits)
        for limit in self.limits:
            if not isinstance(limit, Rate | Concurrent):
                raise ConfigurationError(f"limits must be Rate or Concurrent, got {limit!r}")
        self.has_partitions: bool = partition is not None
        keys = [] if partition is None else [partition]
        # The fields that keys are read from; None if a function gives the key.
        names = [limit.key if isinstance(limit.key, str) else None for limit in self.limits if limit.key is not None]
        self._key_names: list[str | None] = [*(None for _ in keys), *names]
        self._keys = keys + [_getter(limit.key) for limit in self.limits if limit.key is not None]
        self._costs = [None if limit.cost is None else _getter(limit.cost) for limit in self.limits]
        self._has_costs = any(cost is not None for cost in self._costs)
        self.is_plain: bool = not (self._keys or self._has_costs)  # all events have the same route
        ones = (0, *(1 for _ in self.limits))
        # Of what no function has to be asked for: all events, or ids without one.
        self.plain: Route = Route((None,) * len(self._keys), ones)

    def route(self, event: object) -> Route:
        """
        Return the route of an event. Asks each ``key`` and ``cost`` once.

        Raises:
            ValueError: A cost is above the limit's amount, negative, or no finite number.
            TypeError: A key is not hashable.

        And what a function of the user raises.
        """
        if self.is_plain:
            return self.plain
        try:
            key = tuple([key_of(event) for key_of in self._keys])
            if redacted := getattr(event, "_redacted", None):
                key = self._without_secrets(key, redacted, secrets_of(event))
            hash(key)
        except Exception as exc:
            exc.add_note(
                f"asked for the key of {event!r}, by {[limit for limit in self.limits if limit.key is not None]}"
            )
            raise
        costs = self.plain.costs
        if self._has_costs:
            pairs = zip(self.limits, self._costs, strict=True)
            costs = (0, *(1 if cost_of is None else _checked(cost_of(event), limit) for limit, cost_of in pairs))
        return Route(key, costs)

    def _without_secrets(
        self, key: tuple[Hashable, ...], redacted: frozenset[str], secrets: frozenset[str]
    ) -> tuple[Hashable, ...]:
        """Return a key with digests for what nobody is to see: it is shown, and only compared."""
        return tuple(
            digest_of(value)
            if (
                value is not None and any(is_inside(name, path) for path in redacted)
                if name
                else quotes(value, secrets)
            )
            else value
            for name, value in zip(self._key_names, key, strict=True)
        )


def check_cost(cost: float, most: float = inf) -> float:
    """
    Return a cost.

    Raises:
        ValueError: It is negative, no finite number, or more than there may be.
    """
    if not is_finite(cost) or cost < 0:
        raise ValueError(f"A cost must be a finite number, 0 or more, got {cost!r}")
    if cost > most:
        raise ValueError(f"A cost of {cost!r} can never start: the limit allows {most!r}")
    return int(cost) if float(cost).is_integer() else cost  # whole numbers add up exactly


def _checked(cost: float, limit: Limit) -> float:
    try:
        return check_cost(cost, limit.amount)
    except ValueError as exc:
        raise ValueError(f"{exc} ({limit!r})") from None


def _getter(spec: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    return attrgetter(spec) if isinstance(spec, str) else spec
