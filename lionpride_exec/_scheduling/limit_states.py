"""The limit states of a processor: one for each shared limit, one for each key of the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lionpride_exec._model.quota import Quota

from .limit_state import LimitState
from .quota_state import QuotaState

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from lionpride_exec._model.limits import Limit, Router

logger = logging.getLogger("lionpride_exec")

# The number of limit states for keys from which on unused ones are looked for and forgotten.
MIN_STATES_TO_SWEEP = 64


class LimitStates:
    """
    The limit states of a processor: one for each limit that all share, and one for each key of the others.

    Args:
        router: Whose limits hold.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._limits = (None, *router.limits)
        # The numbers of the limits that have keys, 0 for the gate. All entries share the states of the other limits.
        self._keyed = tuple(
            number
            for number, limit in enumerate(self._limits)
            if (router.has_partitions if limit is None else limit.key is not None)
        )
        self.shared: tuple[LimitState, ...] = tuple(
            self._make(number, None) for number in range(len(self._limits)) if number not in self._keyed
        )
        self._by_key: dict[tuple[int, Hashable], LimitState] = {}
        self._sweep_at = MIN_STATES_TO_SWEEP
        self.has_keys: bool = bool(self._keyed)
        self.has_limits: bool = bool(router.limits)

    def __iter__(self) -> Iterator[LimitState]:
        yield from self._by_key.values()
        yield from self.shared

    def sort_uses(self) -> None:
        """Sort the reservations of each limit state by the time at which they come back."""
        for state in self:
            state.sort_uses()

    @property
    def limits(self) -> Sequence[Limit]:
        """The limits, in the order of their numbers."""
        return [limit for limit in self._limits if limit is not None]

    def path(self, key: tuple[Hashable, ...], now: float) -> tuple[LimitState, ...]:
        """Return the limit states of the parts of a key. A limit is left out if its part is None, a gate is not."""
        if len(self._by_key) >= self._sweep_at:
            self._sweep(now)
        parts = zip(self._keyed, key, strict=True)
        return tuple([self._of(number, part) for number, part in parts if part is not None or number == 0])

    def gate(self, path: tuple[LimitState, ...]) -> LimitState:
        """Return the gate of a path."""
        return path[0] if 0 in self._keyed else self.shared[0]

    def of_key(self, key: Hashable, limit: Limit | None, now: float) -> LimitState:
        """
        Return the limit state of a key.

        Args:
            key: The key. None for a limit without keys.
            limit: One of the limits. None for the partition ``key``.
            now: The time.
        """
        if len(self._by_key) >= self._sweep_at:
            self._sweep(now)
        number = next(number for number, each in enumerate(self._limits) if each is limit)
        if number in self._keyed:
            return self._of(number, key)
        return next(state for state in self.shared if state.number == number)

    def _of(self, number: int, key: Hashable) -> LimitState:
        state = self._by_key.get((number, key))
        if state is None:
            state = self._by_key[number, key] = self._make(number, key)
        return state

    def _make(self, number: int, key: Hashable) -> LimitState:
        if not number:
            return LimitState(None, key)
        limit, amount = self._limits[number], self._amount(number, key, 1.0)
        if isinstance(limit, Quota):
            return QuotaState(limit, key, number, amount)
        state = LimitState(limit, key, number, amount)
        state.per = self._router.terms[number - 1].per
        return state

    def _amount(self, number: int, key: Hashable, otherwise: float) -> float:
        """Return the amount of a limit for a key. The key has had one when its event was appended, or ``otherwise``."""
        try:
            return self._router.amount(number - 1, key)
        except Exception:
            logger.exception("%r has no amount for the key %r any more: %s holds", self._limits[number], key, otherwise)
            return otherwise

    def change(self, number: int, now: float) -> list[LimitState]:
        """Let the new terms of a limit hold. Return its limit states. O(limit states and reservations)."""
        states = [state for state in self if state.number == number]
        for state in states:
            state.change(self._amount(number, state.key, state.total), self._router.terms[number - 1].per, now)
        return states

    def _sweep(self, now: float) -> None:
        """Forget the limit states that nobody uses. O(1) amortised for each limit state that is made."""
        self._by_key = {at: state for at, state in self._by_key.items() if not state.is_idle(now)}
        self._sweep_at = max(MIN_STATES_TO_SWEEP, 2 * len(self._by_key))
