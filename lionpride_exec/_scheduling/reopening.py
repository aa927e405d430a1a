"""
What is known of a key whose calls were refused: how long its pause is, and how fast it opens again.

How fast is reckoned by ``_scheduling.pacing``.

A pause lasts as long as the other side asks for, but never less than a floor. The floor doubles with each refusal that
follows the one before without a success in between. Calls that were running when a pause began say nothing new: they
are of one wave with the call that was refused first, and the wave counts once.
"""

from __future__ import annotations

from math import inf

from .pacing import Pacing

# Seconds of the shortest pause, and up to how many seconds it doubles.
MIN_PAUSE = 0.1
MAX_GROWN_PAUSE = 60.0

# Seconds after the last call of a key, and after it is open again, for which it is remembered that it was refused.
MEMORY = 600.0


class Reopening:
    """The refusals of one key, as its limit state remembers them. Times are readings of ``current_time()``. O(1)."""

    __slots__ = ("last_used", "pacing", "reason", "refusals", "refused_at", "until")

    def __init__(self) -> None:
        self.refusals: int = 0  # waves without a success in between
        self.refused_at: float = -inf  # when the latest wave began; runs that began until then belong to it
        self.until: float = -inf  # the end of the latest pause
        self.last_used: float = -inf  # when a call was last started or refused
        self.reason: str = ""  # of the latest pause
        self.pacing: Pacing = Pacing()

    def floor(self, began: float) -> float:
        """Return the least seconds of the pause that follows the refusal of a run that began at that time."""
        waves = self.refusals + self._is_new(began)
        return min(MIN_PAUSE * 2.0 ** min(waves - 1, 100), MAX_GROWN_PAUSE)

    @property
    def opens_at(self) -> float:
        """When the next run may start."""
        return max(self.until, self.pacing.next_at)

    def refuse(self, began: float, now: float, until: float, reason: str) -> None:
        """Note that a run was refused, and that the key is closed until then."""
        self.pacing.refuse(began, now, is_news=self._is_new(began) and not self.refusals)
        if self._is_new(began):
            self.refusals += 1
            self.refused_at = now
        self.until = max(self.until, until)
        self.reason = reason
        self.last_used = max(self.last_used, now)
        self.pacing.estimate(self.until, self.until - self.refused_at if self.refusals == 1 else None)

    def start(self, now: float) -> None:
        """Note that a run starts."""
        self.last_used = now
        self.pacing.start(now)

    def accept(self, began: float, seconds: float) -> None:
        """Note that a run that took so long has succeeded, which ends the growth of the pauses."""
        self.pacing.answer(seconds)
        if self.refusals:
            self.refusals = 0
            self.pacing.accept(began, self.refused_at)

    def is_over(self, now: float) -> bool:
        """Whether all that is remembered is too old to matter."""
        return now - max(self.last_used, self.opens_at) > MEMORY

    def shift(self, seconds: float) -> None:
        """Follow a clock that was set."""
        self.refused_at += seconds
        self.until += seconds
        self.last_used += seconds
        self.pacing.shift(seconds)

    def _is_new(self, began: float) -> bool:
        return began > self.refused_at
