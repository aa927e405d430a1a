"""
The refusals of a key: how long its pause is, and how fast the key opens again.

``_scheduling.pacing`` computes how fast the key opens.

A pause is as long as the other side asks, but never shorter than a floor. The floor doubles with each refusal that
follows another refusal without a success in between. Calls that were already running when a pause began tell nothing
new: they belong to the same wave as the call that was refused first, and a wave counts once.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from .pacing import Pacing

# The first floor in seconds, and the highest floor that doubling can reach.
MIN_PAUSE = 0.1
MAX_GROWN_PAUSE = 60.0

# For how many seconds the refusals of a key are remembered, after its last call and after it is open again.
MEMORY = 600.0


class Pace(Protocol):
    """How fast the calls of a key may start: see ``Pacing``, and ``AdaptivePacing``."""

    next_at: float

    @property
    def is_in_use(self) -> bool:
        """Whether a call has started since the key was reopened."""
        ...

    def pace(self) -> float:
        """Return how many calls may start in a second."""
        ...

    def start(self, now: float) -> None:
        """Record a start, and compute when the next call may start."""

    def answer(self, seconds: float) -> None:
        """Record the seconds that an answer took to come back."""

    def accept(self, began: float, refused_at: float) -> None:
        """Record the first success after a refusal at ``refused_at``, of a call that began at ``began``."""

    def refuse(self, began: float, now: float, *, is_news: bool) -> None:
        """Record a refusal."""

    def estimate(self, until: float, pause: float | None) -> None:
        """Learn from a refusal, once the end of the pause is known."""

    def shift(self, seconds: float) -> None:
        """Add seconds to all times, for an event loop with another clock."""


class Reopening:
    """The refusals of one key, kept by its limit state. Times are those of ``current_time()``. Each method is O(1)."""

    __slots__ = ("last_used", "pacing", "reason", "refusals", "refused_at", "until")

    def __init__(self) -> None:
        self.refusals: int = 0  # waves without a success in between
        self.refused_at: float = -inf  # when the latest wave began; runs that began before belong to the wave
        self.until: float = -inf  # the end of the latest pause
        self.last_used: float = -inf  # when the last call was started or refused
        self.reason: str = ""  # the reason of the latest pause
        self.pacing: Pace = Pacing()

    def floor(self, began: float) -> float:
        """Return the floor, in seconds, of the pause after the refusal of a run that began at ``began``."""
        waves = self.refusals + self._is_new(began)
        return min(MIN_PAUSE * 2.0 ** min(waves - 1, 100), MAX_GROWN_PAUSE)

    @property
    def opens_at(self) -> float:
        """When the next run may start."""
        return max(self.until, self.pacing.next_at)

    def refuse(self, began: float, now: float, until: float, reason: str) -> None:
        """Record that a run was refused, and close the key until ``until``."""
        self.pacing.refuse(began, now, is_news=self._is_new(began) and not self.refusals)
        if self._is_new(began):
            self.refusals += 1
            self.refused_at = now
        self.until = max(self.until, until)
        self.reason = reason
        self.last_used = max(self.last_used, now)
        self.pacing.estimate(self.until, self.until - self.refused_at if self.refusals == 1 else None)

    def start(self, now: float) -> None:
        """Record that a run starts."""
        self.last_used = now
        self.pacing.start(now)

    def accept(self, began: float, seconds: float) -> None:
        """Record a run that succeeded after some seconds. A success resets the growth of the pauses."""
        self.pacing.answer(seconds)
        if self.refusals:
            self.refusals = 0
            self.pacing.accept(began, self.refused_at)

    def is_over(self, now: float) -> bool:
        """Return whether the refusals are too old to matter."""
        return now - max(self.last_used, self.opens_at) > MEMORY

    def shift(self, seconds: float) -> None:
        """Add seconds to all times, for an event loop with another clock."""
        self.refused_at += seconds
        self.until += seconds
        self.last_used += seconds
        self.pacing.shift(seconds)

    def _is_new(self, began: float) -> bool:
        return began > self.refused_at
