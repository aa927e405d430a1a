"""What the starts of events take of the limits, and give back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from .entry import Entry
    from .limit_state import LimitState, Reservation


class Amounts:
    """
    Takes the costs of entries from their limit states. Each change is noted where lanes wait for the limit state.

    Args:
        stops: A function that returns the limit states of a key.
        touched: The limit states that the lanes look at next, since there may be room for a parked lane.
    """

    def __init__(
        self, stops: Callable[[tuple[Hashable, ...]], tuple[LimitState, ...]], touched: list[LimitState]
    ) -> None:
        self._stops = stops
        self._touched = touched

    def take(self, entry: Entry, now: float, *, has_begun: bool = True) -> list[Reservation]:
        """Take the costs of an entry from all its limits. If the event has not begun yet, :meth:`begin` follows."""
        costs, uses = entry.route.costs, []
        for state in self._stops(entry.route.key):
            if state.number:
                uses.append(state.take(costs[state.number], now, has_begun=has_begun))  # noqa: PERF401  a frame less
        return uses

    def begin(self, uses: Iterable[Reservation], now: float) -> None:
        """Note that the event of these reservations begins now."""
        for use in uses:
            use.state.begin(use, now)
            if use.state.parked:
                self._touched.append(use.state)

    def release(self, uses: Iterable[Reservation], now: float) -> None:
        """Note the end of the event of these reservations."""
        for use in uses:
            state = use.state
            state.release(use, now)
            if state.parked:
                self._touched.append(state)

    def undo(self, uses: Iterable[Reservation], now: float) -> None:
        """Give back reservations of an event that does not begin after all."""
        for use in uses:
            use.state.undo(use, now)
            if use.state.parked:
                self._touched.append(use.state)

    def settle(self, use: Reservation, actual: float) -> None:
        """Correct the cost of a reservation."""
        use.state.settle(use, actual)
        if use.state.parked:
            self._touched.append(use.state)
