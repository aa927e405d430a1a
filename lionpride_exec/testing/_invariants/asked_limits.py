"""What a program has asked of its limits: by ``set_limit()``, ``pause()`` and ``resume()``, as a trace has seen it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._model.key_amounts import Terms, own_amount
from lionpride_exec._model.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from lionpride_exec import Executor, Processor
    from lionpride_exec._model.key_amounts import Amount
    from lionpride_exec.testing._processor_view import LimitState

# The key of a limit, None for a limit without keys; or a partition, and None for the limit.
Place = tuple["Hashable", "Limit | None"]


class AskedLimits:
    """
    The amounts that a program has asked for, and the pauses of keys.

    The limit states of the executor say the same, if the executor has not made a mistake.

    Args:
        executor: The executor that is followed.
        terms: What ``set_limit()`` has made of limits before.
    """

    def __init__(self, executor: Executor, terms: Mapping[Limit, Terms]) -> None:
        self._executor = executor
        self._terms = dict(terms)
        self._pauses: dict[Place, float] = {}  # the times until which they last, as readings of the clock

    # ---------------------------------------------------------------- amounts

    def change(self, limit: Limit | str, amount: Amount | None, per: float | None) -> None:
        """Record a ``set_limit()`` that was not refused."""
        found = self._find(limit)
        before = self._terms.get(found) or Terms(found.amount, found.per)
        changed = before.amount if amount is None else own_amount(amount)
        self._terms[found] = Terms(changed, before.per if per is None else per)

    def amount(self, state: LimitState) -> float:
        """Return the amount of a limit for a key. What a function of the user has returned is taken as it is."""
        limit = state.limit
        if limit is None:
            return inf
        amount = self._terms[limit].amount if limit in self._terms else limit.amount
        if isinstance(amount, Mapping):
            return cast("float", amount.get(state.key, amount.get(..., state.total)))
        return state.total if callable(amount) else amount

    def per(self, state: LimitState) -> float:
        """Return the seconds after which a taken amount comes back."""
        limit = state.limit
        return self._terms[limit].per if limit in self._terms else state.per

    # ---------------------------------------------------------------- pauses

    def pause(self, key: Hashable, limit: Limit | str | None, until: float) -> None:
        """Record the pause of a key, or of a limit, that was not refused."""
        for place in self._places(key, limit):
            self._pauses[place] = until

    def resume(self, key: Hashable, limit: Limit | str | None) -> None:
        """Record the end of a pause."""
        for place in self._places(key, limit):
            self._pauses.pop(place, None)

    def find_pause(self, processor: Processor, key: tuple[Hashable, ...], now: float) -> Place | None:
        """Return a place of a route that is paused. None if none is."""
        if not self._pauses:
            return None
        return next((place for place in _places_of(processor, key) if self._pauses.get(place, -inf) > now), None)

    def forget_times(self) -> None:
        """Forget the readings of a clock that has ended. A pause that ends by ``resume()`` goes on."""
        self._pauses = {place: until for place, until in self._pauses.items() if until == inf}

    # ---------------------------------------------------------------- limits

    def _limits(self) -> Iterable[Limit]:
        processor = self._executor.processor
        if processor is not None:
            return processor.router.limits
        limits: Any = self._executor.processor_config.get("limits", ())
        return (limits,) if isinstance(limits, Limit) else limits

    def _find(self, limit: Limit | str) -> Limit:
        return next(each for each in self._limits() if each is limit or each.name == limit)

    def _places(self, key: Hashable, limit: Limit | str | None) -> Iterator[Place]:
        """Yield the places that a pause is of. A key is that of all limits with keys, and a partition."""
        if limit is not None:
            yield key, self._find(limit)
            return
        yield key, None
        for each in self._limits():
            if each.key is not None:
                yield key, each


def _places_of(processor: Processor, key: tuple[Hashable, ...]) -> Iterator[Place]:
    """Yield the places of an event with this key: its partition, and each of its limits."""
    router, parts = processor.router, iter(key)
    if router.has_partitions:
        yield next(parts), None
    for limit in router.limits:
        yield (None if limit.key is None else next(parts)), limit
