"""
What is left of a limit for one key, and the lanes that wait for it: the two halves of one data structure.

A rate, a limit of concurrency and the gate of a partition are one kind of thing: an amount that entries take and that
comes back later. A gate has no amount and only opens and closes.

Invariants:

- ``used`` is the sum of the costs of all reservations that are not back; ``uses`` is their number.
- A reservation with a known time stands in ``_uses``, the earliest first. Its ``back`` is ``inf`` while the time is not
  known, and ``-inf`` once the amount is back.
- ``parked`` holds a place for each lane that is parked here or has a claim here. Outdated places may stand beside
  them (``_scheduling.lanes`` says when a place counts).
- Time alone only makes more room. So the answer of :meth:`LimitState.free_at` is kept until something else changes.
"""

from __future__ import annotations

from collections import deque
from math import inf, nextafter
from operator import attrgetter
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lionpride_exec._model.limits import Limit

    from .entry import Entry
    from .reopening import Reopening

# No cost is known that has to wait.
NOTHING_KNOWN: Final = (-1.0, -inf)

# Where a lane stands among others: the priority of its first entry, its turn, and itself.
Place = tuple[float, int, "Lane"]


class Reservation:
    """What one event has taken of a limit state, until it is back."""

    __slots__ = ("back", "cost", "state")

    def __init__(self, state: LimitState, cost: float, back: float) -> None:
        self.state: LimitState = state
        self.cost: float = cost
        self.back: float = back  # when the amount comes back; inf if not known yet, -inf once it is back


class LimitState:
    """
    An amount of which events take. Times are readings of ``anyio.current_time()``.

    All methods are O(1) amortised, with one exception: after each change, the next :meth:`free_at` that has to wait is
    O(reservations).

    Args:
        limit: The limit that sets the amount. None for a gate, which only opens and closes.
        key: The key that the amount is for.
        number: The index of the cost that an entry takes here.
        amount: The amount, which the limit may have for each key. By default that of the limit, which is a number.

    Attributes:
        total: The amount. ``inf`` for a gate.
        highest: The highest amount that there was. What runs goes on when the amount is lowered.
        per: The seconds after which a taken amount comes back.
    """

    __slots__ = (
        "_hold", "_known", "_out", "_uses", "amount", "closed_until", "denied_until", "highest", "key", "lanes",
        "limit",
        "number", "parked", "paused_until", "per", "reopening", "total", "used",
        "wakes_at",
    )  # fmt: skip

    def __init__(
        self, limit: Limit | None = None, key: Hashable = None, number: int = 0, amount: float | None = None
    ) -> None:
        self.limit: Limit | None = limit
        self.key: Hashable = key
        self.number: int = number
        if amount is None:
            amount = inf if limit is None else cast("float", limit.amount)
        self.total: float = amount
        self.highest: float = amount
        self.amount: float = _with_slack(amount)
        self.per: float = 0.0 if limit is None or amount == inf else limit.per
        self._hold: bool = False if limit is None else limit.hold
        self.used: float = 0
        self._out: int = 0  # reservations that are not back
        self._uses: deque[Reservation] = deque()  # reservations that come back at a known time, the earliest first
        # The last cost that had to wait, and the time until which it waits. Valid until anything but time changes. The
        # first lane asks again and again, and computing the answer costs O(reservations).
        self._known: tuple[float, float] = NOTHING_KNOWN
        self.closed_until: float = -inf  # the end of a pause, after RateLimited or by the program
        self.paused_until: float = -inf  # the end of a pause by the program; closed_until is not earlier
        self.reopening: Reopening | None = None  # the recent refusals of the key; None if there are none
        self.denied_until: float = -inf  # the end of the time for which a gate is closed
        self.lanes: int = 0  # the number of lanes whose path contains this limit state
        self.parked: list[Place] = []  # a heap of the places of the lanes that wait here
        self.wakes_at: float = inf  # when the parked lanes are checked next

    def __repr__(self) -> str:
        return f"LimitState({self.limit!r}, key={self.key!r}, used={self.used!r})"

    def is_idle(self, now: float) -> bool:
        """Return whether the limit state can be forgotten without any effect."""
        self.refresh(now)
        return not (
            self.lanes or self._out or self.opens_at > now or (self.reopening and not self.reopening.is_over(now))
        )

    def used_at(self, now: float) -> float:
        """Return the used amount at the time ``now``."""
        self.refresh(now)
        return self.used

    @property
    def uses(self) -> int:
        """How many reservations have not come back yet."""
        return self._out

    def returns(self) -> list[tuple[float, float]]:
        """Return the time and the cost of each known return, the earliest first. O(reservations)."""
        return [(use.back, use.cost) for use in self._uses]

    @property
    def starts_per_second(self) -> float:
        """How many events may start in a second in the long run, if they cost what those before did. ``inf``: any."""
        if not self.per:
            return inf
        each = self.used / self._out if self._out else 1.0
        return self.total / self.per / each if each else inf

    @property
    def opens_at(self) -> float:
        """Until when the key is closed, however much of the amount is free. ``-inf`` if it was never closed."""
        return max(self.closed_until, self.denied_until)

    def free_at(self, cost: float, now: float) -> float:
        """Return when this cost may be taken: at once if not after ``now``, and when a run ends if ``inf``."""
        closed = self.closed_until if self.closed_until > self.denied_until else self.denied_until  # noqa: FURB136  faster
        if self.used + cost <= self.amount:
            return closed
        known_cost, until = self._known
        if known_cost != cost or until <= now:
            self.refresh(now)
            until = self._free_at(self.used + cost - self.amount)
            self._known = cost, until
        return max(until, closed)

    def _free_at(self, excess: float) -> float:
        """Return the time by which an amount of ``excess`` will have come back. ``inf`` if a run must end first."""
        if excess <= 0:
            return -inf
        for use in self._uses:
            excess -= use.cost
            if excess <= 0:
                return use.back
        # Running events hold the rest, so the time is unknown. Otherwise only a rounding error is left. If nothing is
        # taken, the amount was lowered since: the event waits until the amount is raised.
        return inf if self._out > len(self._uses) or not self._uses else self._uses[-1].back

    def looks_at(self, until: float, _now: float) -> float:
        """Return when an entry that waits until a time is looked at again."""
        return until

    def take(self, cost: float, now: float, *, has_begun: bool = True) -> Reservation:
        """Take a cost, even above the amount. If the event has not begun yet, :meth:`begin` follows."""
        uses = self._uses
        if uses and uses[0].back <= now:
            self.refresh(now)
        self.used += cost
        self._out += 1
        self._known = NOTHING_KNOWN
        if self._hold or not has_begun:
            return Reservation(self, cost, inf)
        use = Reservation(self, cost, self._later(now))
        uses.append(use)
        return use

    def begin(self, use: Reservation, now: float) -> None:
        """Note that the event of a reservation begins now."""
        if use.back == inf and not self._hold:
            self._known = NOTHING_KNOWN
            use.back = self._later(now)
            self._uses.append(use)

    def bring_back(self, cost: float, began: float, ended: float, now: float) -> None:
        """
        Take what an earlier run, in another process, has taken, unless it has come back since.

        :meth:`sort_uses` has to follow.

        Args:
            cost: What the run has taken.
            began: When the run began, not later than ``now``.
            ended: When the run ended, not later than ``now``.
            now: The time.
        """
        back = self._later(ended if self._hold else began)
        if self.limit is None or not self.per or back <= now:
            return
        self.used += cost
        self._out += 1
        self._uses.append(Reservation(self, cost, back))

    def sort_uses(self) -> None:
        """Sort the reservations by the time at which they come back."""
        self._uses = deque(sorted(self._uses, key=attrgetter("back")))
        self._known = NOTHING_KNOWN

    def release(self, use: Reservation, now: float) -> None:
        """Note the end of the event of a reservation."""
        if not self._hold:
            if use.back == inf:  # cut off before the run began; count the start, since the journal counts it too
                self.begin(use, now)
            return
        self._known = NOTHING_KNOWN
        if self.per:
            use.back = self._later(now)
            self._uses.append(use)
        else:
            use.back = -inf
            self._give_back(use)

    def undo(self, use: Reservation, now: float) -> None:
        """Give back a reservation of an event that does not begin after all. O(1) if :meth:`begin` was not called."""
        self.refresh(now)
        if use.back == -inf:
            return
        if use.back != inf:
            self._uses.remove(use)
        use.back = -inf
        self._known = NOTHING_KNOWN
        self._give_back(use)

    def settle(self, use: Reservation, actual: float) -> None:
        """Correct the cost of a reservation. Do nothing if it is back."""
        if use.back != -inf:
            self.used += actual - use.cost
            use.cost = actual
            self._known = NOTHING_KNOWN

    def refresh(self, now: float) -> None:
        """Take back the reservations that are due."""
        uses = self._uses
        while uses and uses[0].back <= now:
            use = uses.popleft()
            use.back = -inf
            self._give_back(use)

    def change(self, amount: float, per: float, now: float) -> None:
        """
        Change the amount, and the seconds after which it comes back. O(reservations) if the seconds change.

        What is taken stays taken. What is to come back at a known time comes back ``per`` seconds after its start or
        end. What has come back does not count again, also if ``per`` grows.
        """
        self.refresh(now)
        self.total, self.amount, self.highest = amount, _with_slack(amount), max(self.highest, amount)
        if per != self.per:
            later, self.per = per - self.per, per
            for use in self._uses:
                # Two numbers further: neither of the two roundings may make the time earlier than it is.
                use.back = nextafter(nextafter(use.back + later, inf), inf)
            self.refresh(now)
        self._known = NOTHING_KNOWN

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self.closed_until += seconds
        self.paused_until += seconds
        self.denied_until += seconds
        self._known = NOTHING_KNOWN
        for use in self._uses:
            use.back += seconds

    def _give_back(self, use: Reservation) -> None:
        self._out -= 1
        self.used = self.used - use.cost if self._out else 0  # 0 exactly: the difference may leave a rounding error

    def _later(self, now: float) -> float:
        back = now + self.per
        # If the sum were rounded down, two starts could be closer together than a period.
        return back if back - now >= self.per else nextafter(back, inf)


def _with_slack(amount: float) -> float:
    """Return a little more than an amount, so that rounded sums of fractional costs do not keep the last one out."""
    return amount + min(amount * 1e-12, 1e-6)


class Lane:
    """The queued entries of one route."""

    __slots__ = ("claims", "heap", "key", "live", "parked_at", "passed", "path", "turn")

    def __init__(self, key: tuple[Hashable, ...], path: tuple[LimitState, ...], turn: int) -> None:
        self.key: tuple[Hashable, ...] = key
        self.path: tuple[LimitState, ...] = path
        self.turn: int = turn
        self.heap: list[Entry] = []
        self.live: int = 0  # entries that are not stale
        self.parked_at: LimitState | None = None
        # How often the lane found a limit of its path taken since it was last served. Once that is too often, the lane
        # claims its other limits (``claims``): no later lane takes from a claimed limit first.
        self.passed: int = 0
        self.claims: tuple[LimitState, ...] = ()

    def __lt__(self, other: Lane) -> bool:
        return False  # two places of one lane in a heap are equal
