"""
Limits: how many events of each key may start in a time, or run at the same time.

Three values describe a limit: the *amount*, how long a taken amount stays away, and when that time begins. For a
:class:`Rate` the time is ``per`` seconds from the start of the event, or from its end with ``hold``. A
:class:`Concurrent` gets its amount back at the end of the event, and a :class:`Quota` at the next of its resets. So one
implementation serves all (``_scheduling.limit_state``). An event takes from all its limits at once, or from none.
"""

from __future__ import annotations

from itertools import count
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from lionpride_exec._base.field_paths import is_inside
from lionpride_exec._base.redaction import digest_of, quotes, secrets_of
from lionpride_exec._validation import check_count, check_seconds, is_finite
from lionpride_exec.errors import ConfigurationError

from .adaptive import Adaptive
from .key_amounts import Amount, Count, Terms, amount_of, check_amount, own_amount, own_count
from .limit_fields import CostOf, KeyOf, Scope, check_positive, shown, valid_getter, valid_name, valid_scope
from .quota import Quota

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable


def _check_limit(name: str, value: Any) -> None:
    check_count(name, value, 1)


def _valid_amount(instance: Rate, attribute: attrs.Attribute[Any], value: object) -> None:
    check_amount(attribute.name, value, check_positive, has_key=instance.key is not None)
    if instance.cost is None and isinstance(value, int | float) and value < 1:
        raise ValueError(f"amount must be at least 1, since each event takes 1 without a cost, got {value!r}")


def _valid_limit(instance: Concurrent, attribute: attrs.Attribute[Any], value: object) -> None:
    check_amount(attribute.name, value, _check_limit, has_key=instance.key is not None)


def _valid_per(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_seconds(attribute.name, value, zero_allowed=False)


@attrs.frozen(eq=False)
class Rate:
    """
    A limit of ``amount`` in any window of ``per`` seconds.

    The limit is exact: the window slides. A token bucket would let twice the amount through around a refill.

    Args:
        amount: How many events may start in a window, or the sum of their costs. Positive and finite. With ``key``
            also an amount for each key: a mapping, such as ``{"small": 1500, "large": 900, ...: 100}``, where ``...``
            stands for all other keys; or a function of the key, which returns the same for the same key. An event whose
            key has no amount is refused when it is appended (``ValueError``).
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
        name: The name of the limit. ``explain()``, the dashboard, ``top``, metrics and logs show the name in place of
            the arguments, and ``set_limit()`` and ``pause()`` find the limit by it. In a cluster, all processes take
            from limits of one name together; there, the default name is made of all the other arguments.
        scope: "queue": in a cluster, the limit holds for all processes together. "process": each has its own amount.

    Raises:
        ValueError: A number is out of range, a cost or key is neither a name nor a function, ``name`` is no text or
            empty, or ``scope`` is neither of its two values. Or there is an amount for each key, and no ``key``.
    """

    amount: Amount = attrs.field(validator=_valid_amount, converter=own_amount, repr=shown)
    per: float = attrs.field(validator=_valid_per)
    cost: CostOf = attrs.field(default=None, kw_only=True, validator=valid_getter, repr=shown)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=valid_getter, repr=shown)
    hold: bool = attrs.field(default=False, kw_only=True)
    name: str | None = attrs.field(default=None, kw_only=True, repr=False, validator=valid_name)
    scope: Scope = attrs.field(default="queue", kw_only=True, repr=False, validator=valid_scope)


@attrs.frozen(eq=False)
class Concurrent:
    """
    A limit on how many events run at the same time.

    Args:
        limit: How many events may run at once, 1 or more. With ``key`` also a number for each key, as for
            :class:`Rate`.
        key: As for :class:`Rate`.
        name: As for :class:`Rate`.
        scope: As for :class:`Rate`.

    Attributes:
        amount: The same number as ``limit``, under the name that a :class:`Rate` uses.
        per: Always 0 seconds: an event gives its part of the limit back as soon as it ends.
        cost: Always None: each event takes 1.
        hold: Always True: the limit counts an event until its end.

    Raises:
        ValueError: The limit is not an int of 1 or more, the key is neither a name nor a function, ``name`` is no text
            or empty, or ``scope`` is neither of its two values. Or there is a limit for each key, and no ``key``.
    """

    limit: Count = attrs.field(validator=_valid_limit, converter=own_count, repr=shown)
    key: KeyOf = attrs.field(default=None, kw_only=True, validator=valid_getter, repr=shown)
    name: str | None = attrs.field(default=None, kw_only=True, repr=False, validator=valid_name)
    scope: Scope = attrs.field(default="queue", kw_only=True, repr=False, validator=valid_scope)

    # The attributes of a rate, so that one implementation serves both: the amount comes back as soon as an event ends.
    amount: Count = attrs.field(init=False, repr=False, default=attrs.Factory(lambda self: self.limit, takes_self=True))
    per: float = attrs.field(init=False, repr=False, default=0.0)
    cost: CostOf = attrs.field(init=False, repr=False, default=None)
    hold: bool = attrs.field(init=False, repr=False, default=True)


Limit = Rate | Concurrent | Quota | Adaptive


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
        ConfigurationError: One of the limits is neither a Rate, a Quota, a Concurrent nor an Adaptive.

    Attributes:
        limits: The limits.
        terms: What holds of each limit now, in the order of the limits.
    """

    def __init__(
        self, limits: Iterable[Limit] | Limit = (), partition: Callable[[Any], Hashable] | None = None
    ) -> None:
        self.limits: tuple[Limit, ...] = (limits,) if isinstance(limits, Limit) else tuple(limits)
        for limit in self.limits:
            if not isinstance(cast("object", limit), Limit):
                raise ConfigurationError(f"limits must be Rate, Quota, Concurrent or Adaptive, got {limit!r}")
        # An Adaptive has no window.
        self.terms: list[Terms] = [
            Terms(limit.amount, 0.0 if isinstance(limit, Adaptive) else limit.per) for limit in self.limits
        ]
        self.has_partitions: bool = partition is not None
        keys = [] if partition is None else [partition]
        # The names of the fields that hold the keys. None if a function returns the key.
        names = [limit.key if isinstance(limit.key, str) else None for limit in self.limits if limit.key is not None]
        self._key_names: list[str | None] = [*(None for _ in keys), *names]
        self._keys = keys + [_getter(limit.key) for limit in self.limits if limit.key is not None]
        self._costs = [None if limit.cost is None else _getter(limit.cost) for limit in self.limits]
        self._has_costs = any(cost is not None for cost in self._costs)
        places = count(int(self.has_partitions))
        # For each limit, the place of its key in a route. None if it has no keys.
        self._places = [None if limit.key is None else next(places) for limit in self.limits]
        self.is_plain: bool = not (self._keys or self._has_costs)  # all events have the same route
        self._has_key_amounts = any(_is_by_key(limit.amount) for limit in self.limits)
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
            key = plain = tuple([key_of(event) for key_of in self._keys])
            if redacted := getattr(event, "_redacted", None):
                key = self._without_secrets(key, redacted, secrets_of(event))
            hash(key)
        except Exception as exc:
            if isinstance(exc, AttributeError):
                self._check_attributes(event, exc, "key")
            exc.add_note(
                f"asked for the key of {event}, by {[limit for limit in self.limits if limit.key is not None]}"
            )
            raise
        costs = self.plain.costs
        if self._has_costs or self._has_key_amounts:
            costs = (0, *[self._cost(number, event, plain, key) for number in range(len(self.limits))])
        return Route(key, costs)

    def keys_of(self, event: object) -> list[Hashable]:
        """
        Return the key of an event for each limit. None for a limit without keys, and for one that does not apply.

        Raises:
            Exception: As :meth:`route`.
        """
        key = self.route(event).key
        return [None if place is None else key[place] for place in self._places]

    def places(self) -> list[tuple[Limit, int]]:
        """Return each limit that has keys, with the place of its key in a route."""
        return [(limit, place) for limit, place in zip(self.limits, self._places, strict=True) if place is not None]

    def amount(self, number: int, key: Hashable) -> float:
        """
        Return the amount of the limit with this index now, for a key.

        Raises:
            ValueError: There is no amount for the key.
        """
        limit = self.limits[number]
        return amount_of(
            self.terms[number].amount, key, _check_limit if isinstance(limit, Concurrent) else check_positive
        )

    def set_terms(self, number: int, terms: Terms) -> None:
        """Change what holds of the limit with this index. O(1)."""
        self.terms[number] = terms
        self._has_key_amounts = any(_is_by_key(each.amount) for each in self.terms)

    def check_route(self, number: int, route: Route) -> None:
        """
        Check that an event with this route can start under the limit with this index, as far as the amount goes.

        Raises:
            ValueError: The event takes more than the amount, or its key has none.
        """
        place = self._places[number]
        key = None if place is None else route.key[place]
        if place is None or key is not None:
            _checked(route.costs[number + 1], self.amount(number, key), self.limits[number])

    def _cost(self, number: int, event: object, plain: tuple[Hashable, ...], key: tuple[Hashable, ...]) -> float:
        """Return what an event takes of a limit. ``plain`` is its key with the secrets that ``key`` has digests for."""
        cost_of, place, limit = self._costs[number], self._places[number], self.limits[number]
        try:
            cost = 1 if cost_of is None else cost_of(event)
        except AttributeError as exc:
            self._check_attributes(event, exc, "cost")
            raise
        if place is None or not _is_by_key(self.terms[number].amount):
            return 1 if cost_of is None else _checked(cost, self.amount(number, None), limit)
        if plain[place] is None:
            return check_cost(cost)
        if plain[place] != key[place]:
            raise ValueError(f"{limit!r} cannot have an amount for each key: the key is redacted")
        return _checked(cost, self.amount(number, key[place]), limit)

    def _check_attributes(self, event: object, error: AttributeError, name: Literal["key", "cost"]) -> None:
        """
        Check that an event has the attributes that limits read, after an error.

        Args:
            event: The event.
            error: The error. It may come from a function of the user.
            name: What was read.

        Raises:
            AttributeError: An attribute is missing. The message names the limit and the remedy.
        """
        for limit in self.limits:
            spec = limit.key if name == "key" else limit.cost
            if not isinstance(spec, str):
                continue
            try:
                attrgetter(spec)(event)
            except AttributeError:
                kind = type(event).__name__
                other = "None, and the limit does not apply to it" if name == "key" else "0, and it takes nothing"
                raise AttributeError(
                    f"{kind} has no attribute {spec!r}, which {limit!r} reads as the {name} of each event. Give the "
                    f"class such a field or property ({other}), or the limit a function of the event: "
                    f"{name}=lambda event: getattr(event, {spec!r}, {'None' if name == 'key' else '0'})"
                ) from error

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


def _is_by_key(amount: Amount) -> bool:
    return not isinstance(amount, int | float)


def _checked(cost: float, most: float, limit: Limit) -> float:
    try:
        return check_cost(cost, most)
    except ValueError as exc:
        raise ValueError(f"{exc} ({limit!r})") from None


def _getter(spec: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    return attrgetter(spec) if isinstance(spec, str) else spec
