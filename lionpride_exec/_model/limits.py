"""
Limits: how many events of each key may start in a time, or run at the same time.

Three values describe a limit: the *amount*, how long a taken amount stays away, and when that time begins. For a
:class:`Rate` the time is ``per`` seconds from the start of the event, or from its end with ``hold``. A
:class:`Concurrent` gets its amount back at the end of the event. So one implementation serves both
(``_scheduling.limit_state``). An event takes from all its limits at once, or from none.
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
    A limit of ``amount`` in any window of ``per`` seconds.

    The limit is exact: the window slides. A token bucket would let twice the amount through around a refill.

    Args:
        amount: How many events may start in a window, or the sum of their costs. Positive and finite.
        per: Length of the window in seconds, positive.
        cost: What one event takes from the amount: the name of an attribute of the event, or a function of the event
            that returns a finite number, 0 or more. The default is 1. The cost is read when the event is appended. It
            is read again if the event is queued later (at the first start, or after other events).
            ``Event.settle()`` corrects the cost.
        key: The name of an attribute, or a function of the event. The value must be hashable, and each value has its
            own amount. The limit does not apply to an event whose key is None. By default, all events share one amount.
        hold: When the amount comes back: ``per`` seconds after the start of the event (False, the default), or
            ``per`` seconds after its end (True). A server counts a call when the call arrives, which is between start
            and end. With ``hold`` a server never sees more than ``amount`` in a window, however slow the network is.
            The price is throughput: the duration of a call adds to ``per``.

    Raises:
        ValueError: A number is out of range, or a cost or key is neither a name nor a function.
    """

    amount: float = attrs.field(validator=_valid_amount)
    per: float = attrs.field(validator=_valid_per)
    cost: CostOf = attrs.field(default=None, kw_only=True, validator=_valid_getter, repr=_shown)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=_valid_getter, repr=_shown)
    hold: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen(eq=False)
class Concurrent:
    """
    A limit on how many events run at the same time.

    Args:
        limit: How many events may run at once, 1 or more.
        key: As for :class:`Rate`.

    Attributes:
        amount: The same number as ``limit``, under the name that a :class:`Rate` uses.
        per: Always 0 seconds: an event gives its part of the limit back as soon as it ends.
        cost: Always None: each event takes 1.
        hold: Always True: the limit counts an event until its end.

    Raises:
        ValueError: The limit is not an int of 1 or more, or the key is neither a name nor a function.
    """

    limit: int = attrs.field(validator=_valid_limit)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=_valid_getter, repr=_shown)

    # The attributes of a rate, so that one implementation serves both: the amount comes back as soon as an event ends.
    amount: float = attrs.field(init=False, repr=False, default=attrs.Factory(lambda self: self.limit, takes_self=True))
    per: float = attrs.field(init=False, repr=False, default=0.0)
    cost: CostOf = attrs.field(init=False, repr=False, default=None)
    hold: bool = attrs.field(init=False, repr=False, default=True)


Limit = Rate | Concurrent


@attrs.frozen
class Route:
    """
    The lane of an event, and the costs of the event.

    Attributes:
        key: The partition of the event, then its key for each limit that has keys. Events with equal keys share a lane.
        costs: 0 for the gate, then what the event takes from each limit.
    """

    key: tuple[Hashable, ...] = ()
    costs: tuple[float, ...] = (0,)


class Router:
    """
    Finds the route of each event.

    Args:
        limits: The limits of the executor.
        partition: Returns the partition of an event. None if all events share one partition.

    Raises:
        ConfigurationError: One of the limits is neither a Rate nor a Concurrent.
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
        # The names of the fields that hold the keys. None if a function returns the key.
        names = [limit.key if isinstance(limit.key, str) else None for limit in self.limits if limit.key is not None]
        self._key_names: list[str | None] = [*(None for _ in keys), *names]
        self._keys = keys + [_getter(limit.key) for limit in self.limits if limit.key is not None]
        self._costs = [None if limit.cost is None else _getter(limit.cost) for limit in self.limits]
        self._has_costs = any(cost is not None for cost in self._costs)
        self.is_plain: bool = not (self._keys or self._has_costs)  # all events have the same route
        ones = (0, *(1 for _ in self.limits))
        # The route where no function has to be called: for all events, or for ids without an event.
        self.plain: Route = Route((None,) * len(self._keys), ones)

    def route(self, event: object) -> Route:
        """
        Return the route of an event. Each ``key`` and ``cost`` is read once.

        An exception of a user's function is passed on. If the function was a ``key``, the exception gets a note that
        names the event.

        Raises:
            ValueError: A cost is negative, not a finite number, or above the amount of its limit.
            TypeError: A key is not hashable.
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
        """Return the key with digests in place of secrets. Keys are shown to people, and otherwise only compared."""
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
    Return a cost, as an int if it is a whole number.

    Raises:
        ValueError: The cost is negative, not a finite number, or above ``most``.
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
