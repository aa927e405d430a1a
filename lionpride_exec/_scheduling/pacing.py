"""
How fast the calls of a key may start again after they were refused.

After a pause all waiting calls could start at once, and nearly all of them would be refused again. So the starts are
paced. The pace is learned as congestion control learns the rate of a network path: from what is delivered and what is
refused. The limit of the other side is unknown. It may be a sliding or a fixed window, a token bucket, a least distance
between calls, or a number of concurrent calls. The pause that the other side asks for may be exact, rounded up, or
missing.

- *Probing*, after the first refusal. One call starts, and the number of started calls then doubles every ``d`` seconds:
  the n-th start is at ``d * log2(n)``. ``d`` is two round trips, at most a second. Probing finds a limit of any size in
  a few round trips. (TCP calls it slow start.) The round trip is the average time that a refusal takes to come back,
  but no longer than any later answer. A hundred concurrent calls delay each other, so the time of one of them says
  little about the time of a single call.
- *Estimate.* The next refusal gives the rate of the cycle: the calls accepted since the key was reopened, divided by
  the seconds until the key opens again. The pause is part of these seconds, because the limit of the other side
  recovers during the pause. If all calls were refused at first, there was an outage, and the cycle begins with the
  first success. The pace then starts at the estimate and doubles every quarter of a span until it is refused.
- *Holding.* A pace ``w`` that was refused is an upper bound. After the pause the pace is ``0.96 * w``. It comes back to
  ``w`` within a span, stays close to ``w``, and then rises above ``w``, as CUBIC (RFC 9438) does. With ``x`` spans in
  use the pace is ``w * (1 + 0.04 * (x - 1)**3)`` up to ``x = 2``. Then it doubles with each span, since the limit must
  have risen. If several refusals in a row each come within half a span, ``w`` was too high. So ``w`` is cut by a tenth
  for each of these refusals but the first, though never below the estimate of the cycle.
- *In vain.* Some servers refuse one call in twenty at any pace. Repeated cuts would then bring the pace to zero without
  any gain. The sign of these servers is that each refusal comes early, although the delivered rate is nearly the pace,
  so that pauses cost little. After some of these refusals, each further one doubles the pace instead, until pauses take
  a larger share of the time.

A span is the longest of 25 pauses, 25 round trips, and the time of 60 calls. So with a constant limit, pauses take
about 4 % of the time, and one call in 60 is refused.

Only the time in which the pace was used counts. A key that has fewer calls than its pace allows does not get a faster
pace by that.
"""

from __future__ import annotations

from math import exp2, inf, log, log2

# The first pace after a refusal, as a share of the refused pace.
BACK_OFF = 0.96

# The factor by which each further refusal in a row cuts the pace.
CUT = 0.9

# A refusal within this share of a span is early: the pace was too high from the beginning.
EARLY = 0.5

# A span is at least this many pauses, and at least the time of this many calls.
PAUSES_IN_A_SPAN = 25
CALLS_IN_A_SPAN = 60

# An estimate needs this many accepted calls. With fewer the key is probed again after the pause.
MIN_CALLS = 4

# A refused pace counts for at most this many times the rate of the actual starts.
FASTER = 1.25

# If at least this share of a pace was delivered, pauses included, the pauses cost little. After more than this many
# early and cheap refusals, the pace cannot be their cause, and is multiplied by this factor.
CHEAP = 0.7
MAX_IN_VAIN = 6
GROWTH = 2.0

# How often the pace doubles in a span as long as no pace has been refused.
DOUBLINGS_IN_A_SPAN = 4

# If a start is late, for instance by a late timer, the next start may come earlier by up to this many seconds.
SLACK = 0.01

# The least and the most seconds in which the number of calls doubles while probing. A refusal that takes longer has
# waited behind other calls, here or at the server: a single call is faster.
MIN_DOUBLING = 0.02
MAX_DOUBLING = 1.0

MAX_DOUBLINGS = 100


class Pacing:
    """
    The pace of one key. Times are those of ``anyio.current_time()``. Each method costs O(1).

    Attributes:
        next_at: The time before which no call of the key starts.
    """

    __slots__ = (
        "_cycle_at", "_doubling", "_early", "_gap", "_has_accepted", "_idle", "_in_vain", "_is_bound", "_latency",
        "_mark", "_pause", "_refused", "_refused_pace", "_reopens", "_span", "_started", "_started_at",
        "_started_since", "_used", "next_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.next_at: float = -inf
        self._latency = inf  # seconds of a round trip; inf before the first answer
        self._doubling = MIN_DOUBLING
        self._mark: float | None = None  # the pace from which the curve starts; None while probing
        self._is_bound = False  # whether the mark comes from a refused pace; otherwise it is an estimate
        self._span = 1.0
        self._pause = 0.0  # seconds of the latest pause that did not follow another pause
        # Since the key was reopened:
        self._reopens = True  # the next start is the first one
        self._started = 0  # calls
        self._started_at = -inf  # the time of the latest start
        self._used = 0.0  # seconds in which the pace was used
        self._gap = 0.0  # seconds between two starts, on average
        # The cycle: when it began, how many calls it has started, how many of them were refused, and its idle seconds.
        self._cycle_at: float | None = None
        self._started_since = 0
        self._refused = 0
        self._idle = 0.0
        self._has_accepted = False  # whether a call has succeeded after the first refusal came back
        self._refused_pace: float | None = None
        self._early = 0  # refusals in a row that came early
        self._in_vain = 0  # early and cheap refusals, minus refusals that were not early

    @property
    def is_in_use(self) -> bool:
        """Whether a call has started since the key was reopened."""
        return not self._reopens

    def pace(self) -> float:
        """Return how many calls may start in a second. ``inf`` before the first start."""
        if self._mark is None:
            return self._started * log(2) / self._doubling if self._started else inf
        spans = self._used / self._span
        if not self._is_bound:
            return self._mark * exp2(min(spans * DOUBLINGS_IN_A_SPAN, MAX_DOUBLINGS))
        if spans <= 2:  # noqa: PLR2004  part of the curve
            return self._mark * (1 + (1 - BACK_OFF) * (spans - 1) ** 3)
        return self._mark * (2 - BACK_OFF) * exp2(min(spans - 2, MAX_DOUBLINGS))

    def start(self, now: float) -> None:
        """Record a start, and compute when the next call may start."""
        if self._reopens:
            self._reopen(now)
        else:
            apart = now - self._started_at
            if self._gap:
                apart = min(apart, 4 * self._gap)  # one idle time says little
            self._gap += (apart - self._gap) * (0.1 if self._gap else 1.0)
        self._started += 1
        self._started_since += 1
        self._started_at = now
        is_probing = self._mark is None
        gap = self._doubling * log2(1 + 1 / self._started) if is_probing else 1 / self.pace()
        if now - self.next_at <= max(SLACK, gap):
            self._used += gap
        else:
            self._idle += now - self.next_at
        self.next_at = max(self.next_at, now - SLACK) + gap

    def answer(self, seconds: float) -> None:
        """Record the seconds that an answer took to come back."""
        if seconds < self._latency:
            self._latency = seconds
            self._doubling = min(self._doubling, _doubling_of(seconds))

    def accept(self, began: float, refused_at: float) -> None:
        """Record the first success after a refusal at ``refused_at``, of a call that began at ``began``."""
        is_first, self._has_accepted = not self._has_accepted, True
        if began > refused_at and (self._mark is not None or is_first):
            self._cycle_at = began
            self._started_since = self._started
            self._refused = 0
            self._idle = 0.0

    def refuse(self, began: float, now: float, *, is_news: bool) -> None:
        """
        Record a refusal.

        Args:
            began: When the call began.
            now: When the refusal came back.
            is_news: Whether calls were accepted since the last refusal. If so, the current pace was too high.
                Otherwise the pause was too short.
        """
        # Calls from before the cycle started without a pace, so they do not count.
        if self._cycle_at is not None and began >= self._cycle_at:
            self._refused += 1
            if now - began > self._latency:
                self._latency += (now - began - self._latency) * 0.2
        self.answer(now - began)
        self._reopens = True
        if is_news and self._mark is not None:
            # A pace that was not reached was not refused.
            self._refused_pace = min(self.pace(), FASTER / self._gap if self._gap else inf)
            self._early = self._early + 1 if self._used < EARLY * self._span else 0

    def estimate(self, until: float, pause: float | None) -> None:
        """
        Learn from a refusal, once the end of the pause is known.

        Args:
            until: When the pause ends.
            pause: The seconds of the pause. None if the pause follows another one that was too short, since its length
                then says less about the pause that is needed.
        """
        if pause is not None:
            self._pause = pause
        if self._cycle_at is None:
            return
        calls = max(self._started_since - self._refused, 0)
        delivered = calls / max(until - self._cycle_at - self._idle, SLACK)
        refused = self._refused_pace
        if refused is None:
            if calls < MIN_CALLS:
                self._mark = None  # probe again: too few calls were accepted
                return
            self._mark, self._is_bound = delivered, False
        else:
            self._mark, self._is_bound = self._next_mark(refused, delivered, is_first=pause is not None), True
        self._span = max(PAUSES_IN_A_SPAN * max(self._pause, self._latency), CALLS_IN_A_SPAN / self._mark)

    def _next_mark(self, refused: float, delivered: float, *, is_first: bool) -> float:
        """Return the pace that follows a refused pace."""
        is_cheap = delivered >= CHEAP * refused
        if is_first and not self._early:
            self._in_vain = max(self._in_vain - 1, 0)
        elif is_first and is_cheap:
            self._in_vain = min(self._in_vain + 1, 2 * MAX_IN_VAIN)
        if is_cheap and self._in_vain > MAX_IN_VAIN:
            return refused * GROWTH
        cut = refused * CUT ** max(self._early - 1, 0)
        return min(max(delivered, cut), refused)

    def shift(self, seconds: float) -> None:
        """Add seconds to all times, for an event loop with another clock."""
        self.next_at += seconds
        self._started_at += seconds
        if self._cycle_at is not None:
            self._cycle_at += seconds

    def _reopen(self, now: float) -> None:
        self._reopens = False
        self._started = 0
        self._used = self._gap = 0.0
        self._doubling = _doubling_of(self._latency)
        self.next_at = now
        if self._cycle_at is None:
            self._cycle_at = now
            self._started_since = self._refused = 0
            self._idle = 0.0


def _doubling_of(latency: float) -> float:
    return min(max(2 * latency, MIN_DOUBLING), MAX_DOUBLING)
