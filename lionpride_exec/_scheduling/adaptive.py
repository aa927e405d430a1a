"""
The pace of a key under an :class:`Adaptive` limit: additive increase, multiplicative decrease.

The limit of the other side is unknown. The pace begins at ``initial`` and doubles every :data:`DOUBLING` seconds of use
until something is refused. From then on the pace rises by the same amount with each start. It falls by a share when a
call is refused, or is answered slowly. Two things are learned besides:

- *The step.* A refusal costs a call, and a pause costs time. So the pace returns to where it was refused within a
  *span*: so many starts that one call in 100 is refused, and that pauses take 3 % of the time. After two spans without
  a refusal the limit must have risen, so the step doubles with each further span. As long as the limit is not known, a
  span lasts a few seconds only: before the second refusal, after three early refusals in a row, and after four spans.
- *The depth of a fall.* A refusal after a quarter of a span cuts the pace by 3 %. Each one that comes earlier cuts by
  more than the one before, at most by half. Where a pause was long, the limit is a number of calls in a window. Then
  the calls that were accepted, divided by the time with the pause, are what the limit allows: the pace falls below it.

What the headers of an answer tell goes before what was learned: so many calls until a time are spread evenly over that
time.

Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989.
"""

from __future__ import annotations

from math import exp2, inf
from typing import TYPE_CHECKING, Final

from .reopening import Reopening

if TYPE_CHECKING:
    from lionpride_exec._model.adaptive import Adaptive

# Before the first refusal, the pace doubles in so many seconds of use.
DOUBLING: Final = 2.0

# A fall cuts the pace to this share, and each further one that comes early to the square of the share before.
CUT: Final = 0.97
DEEPEST: Final = 0.5

# Slow answers cut the pace further until calls do not wait any more. Then the pace is this share of the refused one.
CUT_WHILE_HELD: Final = 0.8
SHARE_AFTER_HOLD: Final = 0.9

# A refusal within this share of a span is early. After so many early ones in a row the limit must have fallen.
EARLY: Final = 0.25
FALLS_UNTIL_LOST: Final = 3

# A span is at least so many starts, so many for each refusal, and so many times the length of the pause.
LEAST_SPAN: Final = 60
STARTS_FOR_A_REFUSAL: Final = 100
PAUSES_IN_A_SPAN: Final = 33

# The pace grows evenly for so many spans. If a refusal comes after more than that, the limit has risen.
EVEN_SPANS: Final = 2
SPANS_UNTIL_LOST: Final = 4

# As long as the limit is not known, a span lasts so many seconds, or as long as the last pause.
SECONDS_OF_A_SEARCH: Final = 5.0

# What was delivered counts from so many accepted calls on, after a pause of this share of the time. While the limit is
# not known, only after a longer pause. The pace is then a little below, and grows to a little above within a span.
MIN_CALLS: Final = 20
LONG_PAUSE: Final = 0.12
LONG_PAUSE_OF_A_SEARCH: Final = 0.3
BELOW: Final = 0.98
ABOVE: Final = 1.1
LEAST_SHARE: Final = 0.9
LEAST_SHARE_OF_A_SEARCH: Final = 0.1

# If a start is late, for instance by a late timer, the next start may come earlier by up to this many seconds.
SLACK: Final = 0.01

MAX_DOUBLINGS: Final = 60


class AdaptivePacing:
    """
    The pace of one key. Times are those of ``anyio.current_time()``. Each method costs O(1).

    Attributes:
        next_at: The time before which no call of the key starts.
        told_by: When the call began whose answer has told last how many calls are left.
        is_held: Whether the pace does not grow, since calls that wait at the other side may still be answered slowly.
    """

    __slots__ = (
        "_accepted", "_cycle_at", "_falls", "_has_started", "_idle", "_is_known", "_left", "_limit", "_low",
        "_pause_at", "_refused", "_resets_at", "_span", "_started", "_top", "_used", "is_held", "next_at",
        "told_by",
    )  # fmt: skip

    def __init__(self, limit: Adaptive) -> None:
        self.next_at: float = -inf
        self.told_by: float = -inf
        self.is_held: bool = False
        self._limit = limit
        self._low = limit.initial / limit.per  # the pace after the last fall, in starts a second
        self._top: float | None = None  # the pace that was refused last; None before the first refusal
        self._is_known = False  # whether the limit is about there
        self._span = float(LEAST_SPAN)
        self._has_started = False
        self._started = 0  # calls since the last fall, while the pace was used
        self._used = 0.0  # seconds of use
        self._falls = 0  # falls in a row, the first of which was not early
        self._refused = 0  # refusals since that one
        self._pause_at = -inf  # when the latest pause began that followed a success
        # The cycle: from the first success after a pause to the next. What was accepted, and the seconds without use.
        self._cycle_at: float | None = None
        self._accepted = 0
        self._idle = 0.0
        self._left = 0  # calls that may start until _resets_at, as an answer has said
        self._resets_at = -inf

    @property
    def is_in_use(self) -> bool:
        """Whether a call has started."""
        return self._has_started

    def pace(self) -> float:
        """Return how many calls may start in a second, apart from what headers have told."""
        limit = self._limit
        if self._top is None:
            learned = self._low * exp2(min(self._used / DOUBLING, MAX_DOUBLINGS))
        else:
            spans = self._started / self._span
            steps = spans if spans <= EVEN_SPANS else 1 + exp2(min(spans - EVEN_SPANS, MAX_DOUBLINGS))
            learned = self._low + (self._top - self._low) * steps
        return min(max(learned, limit.minimum / limit.per), limit.maximum / limit.per)

    def start(self, now: float) -> None:
        """Record a start, and compute when the next call may start."""
        gap, late = 1 / self.pace(), now - self.next_at
        if self._cycle_at is None:
            self._cycle_at = now
        if late <= max(SLACK, gap):  # only a pace that is used grows
            self._used += gap
            self._started += not self.is_held
        elif self._has_started:
            self._idle += late
        else:
            self.next_at = now
        self._has_started = True
        if now < self._resets_at:
            self._left = max(self._left - 1, 0)
            self.next_at = now + self._gap_of(self._left, self._resets_at - now)
        else:
            self.next_at = max(self.next_at, now - SLACK) + gap

    def answer(self, seconds: float) -> None:  # noqa: ARG002  a ``Pacing`` learns the time of a round trip
        """Record a success. The seconds that it took do not matter."""
        self._accepted += 1

    def accept(self, began: float, refused_at: float) -> None:
        """Record the first success after a refusal at ``refused_at``, of a call that began at ``began``."""
        if began <= refused_at or self._cycle_at is None:
            return
        pause, cycle = max(began - self._pause_at, 0.0), max(began - self._cycle_at - self._idle, SLACK)
        pace = BELOW * self._accepted / cycle
        is_long = pause > (LONG_PAUSE if self._is_known else LONG_PAUSE_OF_A_SEARCH) * cycle
        if is_long and self._accepted >= MIN_CALLS and pace < self._low:
            self._low *= max(pace / self._low, LEAST_SHARE if self._is_known else LEAST_SHARE_OF_A_SEARCH)
            self._top = min(self._top or inf, self._low * ABOVE)
        self._set_span(pause)
        self._cycle_at, self._accepted, self._idle = began, 0, 0.0

    def refuse(self, began: float, now: float, *, is_news: bool) -> None:  # noqa: ARG002  as for ``Pacing``
        """
        Record a refusal.

        Args:
            began: When the call began.
            now: When the refusal came back.
            is_news: Whether calls were accepted since the last refusal. Otherwise the pause was too short.
        """
        self._resets_at = -inf
        if not is_news:
            self._refused += 1
            return
        if self._top is not None and self._started < EARLY * self._span:
            self._falls += 1
            self._refused += 1
            self._is_known = self._is_known and self._falls < FALLS_UNTIL_LOST
        else:
            self._falls = self._refused = 1
            self._is_known = self._top is not None and self._started <= SPANS_UNTIL_LOST * self._span
        self._top = self.pace()
        self._low = self._top * max(CUT ** exp2(self._falls - 1), DEEPEST)
        self._started = 0
        self._pause_at = now

    def estimate(self, until: float, pause: float | None) -> None:
        """
        Learn when the pause ends after a refusal.

        Args:
            until: When the pause ends.
            pause: The seconds of the pause. None if it follows another one that was too short.
        """
        self.next_at = max(self.next_at, until)
        self._set_span(until - self._pause_at if pause is None else pause)

    def slow_down(self, now: float, seconds: float) -> None:
        """Fall without a pause: a call that began after the last fall was answered slowly, after so many seconds."""
        if self.is_held:  # calls wait in a queue that has yet to become short
            self._low *= CUT_WHILE_HELD
            return
        self.refuse(now, now, is_news=True)
        self._set_span(seconds)
        self.is_held = True

    def end_hold(self) -> None:
        """Let the pace grow again: a call that began after the last fall was answered in time."""
        self.is_held = False
        if self._top is not None:
            self._low = max(self._low, SHARE_AFTER_HOLD * self._top)

    def tell(self, left: int, seconds: float, began: float, now: float) -> None:
        """
        Learn from an answer that so many calls may start until a time.

        Args:
            left: How many calls, without those that are under way.
            seconds: The seconds until that time.
            began: When the call began that was answered. Answers of earlier calls are out of date.
            now: The time.
        """
        self.told_by, self._left, self._resets_at = began, left, now + seconds
        self.next_at = now + self._gap_of(left, seconds)

    def shift(self, seconds: float) -> None:
        """Add seconds to all times, for an event loop with another clock."""
        self.next_at += seconds
        self.told_by += seconds
        self._pause_at += seconds
        self._resets_at += seconds
        if self._cycle_at is not None:
            self._cycle_at += seconds

    def _gap_of(self, left: int, seconds: float) -> float:
        """Return the seconds to the next start, if so many calls are left for so many seconds."""
        gap = seconds / (left + 1)  # the last of them is as far from the reset as from the one before
        return max(gap, self._limit.per / self._limit.maximum) if left else gap

    def _set_span(self, pause: float) -> None:
        """Set the length of a span, after a fall with a pause of so many seconds."""
        if self._is_known:
            by_cost = max(STARTS_FOR_A_REFUSAL * self._refused, PAUSES_IN_A_SPAN * pause * self._low)
        else:
            by_cost = max(SECONDS_OF_A_SEARCH, pause) * self._low
        self._span = max(LEAST_SPAN, by_cost)


class AdaptiveReopening(Reopening):
    """The refusals of one key under an :class:`Adaptive` limit, kept from its first call on."""

    __slots__ = ("_adaptive", "_slow")

    def __init__(self, limit: Adaptive) -> None:
        super().__init__()
        self.pacing = self._adaptive = AdaptivePacing(limit)
        self._slow = limit.slow

    def accept(self, began: float, seconds: float) -> None:
        """Record a run that succeeded after some seconds. If that was slow, the pace falls."""
        super().accept(began, seconds)
        if self._slow is not None and seconds > self._slow and self._is_new(began):
            self.refused_at = began + seconds
            self._adaptive.slow_down(self.refused_at, seconds)
        elif self._adaptive.is_held and self._is_new(began):
            self._adaptive.end_hold()
