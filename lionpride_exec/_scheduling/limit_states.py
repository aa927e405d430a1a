"""The limit states of a processor: one for each shared limit, one for each key of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limit_state import LimitState

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from lionpride_exec._model.limits import Limit, Router

# The number of limit states for keys from which on unused ones are looked for and forgotten.
MIN_STATES_TO_SWEEP = 64


class LimitStates:
    """
    The limit states of a processor: one for each limit that all share, and one for each key of the others.

    Args:
        router: Whose limits hold.
    """

    def __init__(self, router: Router) -> None:
        self._limits = (None, *router.limits)
        # The numbers of the limits that have keys, 0 for the gate. All entries share the states of the other limits.
        self._keyed = tuple(
            number
            for number, limit in enumerate(self._limits)
            if (router.has_partitions if limit is None else limit.key is not None)
        )
        self.shared: tuple[LimitState, ...] = tuple(
            LimitState(limit, number=number) for number, limit in enumerate(self._limits) if number not in self._keyed
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

    def _of(self, number: int, key: Hashable) -> LimitState:
        state = self._by_key.get((number, key))
        if state is None:
            state = self._by_key[number, key] = LimitState(self._limits[number], key, number)
        return state

    def _sweep(self, now: float) -> None:
        """Forget the limit states that nobody uses. O(1) amortised for each limit state that is made."""
        self._by_key = {at: state for at, state in self._by_key.items() if not state.is_idle(now)}
        self._sweep_at = max(MIN_STATES_TO_SWEEP, 2 * len(self._by_key))
