"""
How fast the calls of a key may start again after they were refused.

When a pause is over, everything that waits could start at once, and nearly all of it would be refused again. So starts
are paced, and the pace is learned as congestion control learns the rate of a path: from what is delivered, and from
what is refused. Nothing is known of the other side's limit: it may be a window that slides or is fixed, a bucket with
tokens, a least distance between calls, or a number of calls at a time; and the pause that it asks for may be exact,
rounded up, or missing.

- *Probing*, after the first refusal. One call starts, then as many as double their number each ``d`` seconds, where
  ``d`` is two round trips, a second at most: the n-th start is at ``d * log2(n)``. That finds a limit of any size in a
  few round trips. (TCP calls it slow start.) A round trip is what a refusal takes to come back, on average, but no
  longer than any answer since: a hundred calls at a time hold each other up, and what one of them takes says little of
  the time that one takes alone.
- *Estimate.* With the next refusal the rate of the cycle is known: the calls that were accepted since the key was
  reopened, divided by the seconds until it is open again. The pause is part of that time, since the other side's limit
  recovers in it. Where all was refused at first, that was an outage, and the cycle begins with the first success. From
  there the pace doubles every quarter of a span until it is refused.
- *Holding.* A pace ``w`` that was refused is an upper bound. After the pause the pace is ``0.96 * w``, comes back to
  ``w`` within a span, stays close to it, and then goes beyond, as CUBIC (RFC 9438) does: with ``x`` spans in use,
  ``w * (1 + 0.04 * (x - 1)**3)`` up to ``x = 2``, and doubling with each span after that, since the limit has risen
  then. After several refusals in a row that each came within half a span, ``w`` was too high: it is cut by a tenth for
  each of them but the first, yet not below the estimate of the cycle.
- *In vain.* Some servers refuse one call in twenty, however fast the calls come. Cutting the pace again and again would
  then end in no pace at all, and makes nothing better: what is delivered is nearly the pace, so the pauses cost little,
  and yet each refusal comes early. After some refusals like that the pace is doubled with each of them instead, until
  pauses take a larger share of the time.

A span is 25 times the pause, 25 round trips, or the time of 60 calls, whatever is the longest. So pauses take some 4 %
of the time, and one call in 60 is refused, where the limit stays as it is.

Only time in which the pace was used counts: a key with less to do than it may do does not earn a faster pace by that.
"""

from __future__ import annotations

from math import exp2, inf, log, log2

# The first pace after a refusal, as a share of the one that was refused.
BACK_OFF = 0.96

# What a pace that is refused again and again is cut by, each time.
CUT = 0.9

# Share of a span within which a refusal says that the pace was too high from the beginning.
EARLY = 0.5

# A span is so many times the pause, and the time of so many calls.
PAUSES_IN_A_SPAN = 25
CALLS_IN_A_SPAN = 60

# An estimate needs so many calls that were accepted. Until then the key is probed again after each pause.
MIN_CALLS = 4

# How much faster than starts really followed one another the pace that was refused may have been.
FASTER = 1.25

# Where at least so much of a pace was delivered, pauses included, the pauses cost little. After so many early refusals
# at a price like that, the pace is not what is refused, and is multiplied.
CHEAP = 0.7
MAX_IN_VAIN = 6
GROWTH = 2.0

# How often the pace doubles in a span while no pace was refused yet.
DOUBLINGS_IN_A_SPAN = 4

# Seconds by which a start that came late, as by a timer, may be made up for by the next one.
SLACK = 0.01

# Seconds in which the number of calls doubles while probing, at least and at most. A refusal that takes longer to come
# back has waited behind others, on our side or the other one: a single call is not as slow.
MIN_DOUBLING = 0.02
MAX_DOUBLING = 1.0

MAX_DOUBLINGS = 100


class Pacing:
    """
    The pace of one key. Times are readings of ``anyio.current_time()``. O(1).

    Attributes:
        next_at: Before that, nothing starts.
    """

    __slots__ = (
        "_cycle_at", "_doubling", "_early", "_gap", "_has_accepted", "_idle", "_in_vain", "_is_bound", "_latency",
        "_mark", "_pause", "_refused", "_refused_pace", "_reopens", "_span", "_started", "_started_at",
        "_started_since", "_used", "next_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.next_at: float = -inf
        self._latency = inf  # seconds of a round trip; inf: no refusal has come back yet
        self._doubling = MIN_DOUBLING
        self._mark: float | None = None  # the pace by which the curve is drawn; None while probing
        self._is_bound = False  # whether that is one that was refused; else an estimate
        self._span = 1.0
        self._pause = 0.0  # seconds of the latest one that did not follow another
        # Since the key was reopened:
        self._reopens = True  # the next start is the first one
        self._started = 0  # calls
        self._started_at = -inf  # the latest of them
        self._used = 0.0  # seconds in which the pace was used
        self._gap = 0.0  # seconds between two starts, on average
        # The cycle: since when, how many calls it has started, how many of them were refused, and how many seconds it
        # had nothing to start.
        self._cycle_at: float | None = None
        self._started_since = 0
        self._refused = 0
        self._idle = 0.0
        self._has_accepted = False  # whether a call has succeeded after the first refusal came back
        self._refused_pace: float | None = None
        self._early = 0  # refusals in a row that came early
        self._in_vain = 0  # how many more of them came early and cost little than did not come early

    @property
    def is_in_use(self) -> bool:
        """Whether something was started since the key was reopened."""
        return not self._reopens

    def pace(self) -> float:
        """Return how many calls may start in a second; ``inf`` before the first start."""
        if self._mark is None:
            return self._started * log(2) / self._doubling if self._started else inf
        spans = self._used / self._span
        if not self._is_bound:
            return self._mark * exp2(min(spans * DOUBLINGS_IN_A_SPAN, MAX_DOUBLINGS))
        if spans <= 2:  # noqa: PLR2004  as the curve is defined
            return self._mark * (1 + (1 - BACK_OFF) * (spans - 1) ** 3)
        return self._mark * (2 - BACK_OFF) * exp2(min(spans - 2, MAX_DOUBLINGS))

    def start(self, now: float) -> None:
        """Note a start, and when the next one may follow."""
        if self._reopens:
            self._reopen(now)
        else:
            apart = now - self._started_at
            if self._gap:
                apart = min(apart, 4 * self._gap)  # one time with nothing to do says little
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
        """Note that an answer took so long to come back."""
        if seconds < self._latency:
            self._latency = seconds
            self._doubling = min(self._doubling, _doubling_of(seconds))

    def accept(self, began: float, refused_at: float) -> None:
        """Note the first success since a refusal at that time, of a call that began then."""
        is_first, self._has_accepted = not self._has_accepted, True
        if began > refused_at and (self._mark is not None or is_first):
            self._cycle_at = began
            self._started_since = self._started
            self._refused = 0
            self._idle = 0.0

    def refuse(self, began: float, now: float, *, is_news: bool) -> None:
        """
        Note a refusal.

        Args:
            began: When the call began.
            now: When the refusal has come back.
            is_news: Whether calls were accepted since the one before: then the pace of now was too high. Else the pause
                was too short.
        """
        # Others are stragglers of those that started all at once.
        if self._cycle_at is not None and began >= self._cycle_at:
            self._refused += 1
            if now - began > self._latency:
                self._latency += (now - began - self._latency) * 0.2
        self.answer(now - began)
        self._reopens = True
        if is_news and self._mark is not None:
            # A pace that nobody went at was not refused.
            self._refused_pace = min(self.pace(), FASTER / self._gap if self._gap else inf)
            self._early = self._early + 1 if self._used < EARLY * self._span else 0

    def estimate(self, until: float, pause: float | None) -> None:
        """
        Learn from a refusal, now that it is known until when the key is closed.

        Args:
            until: The end of the pause.
            pause: Its seconds. None if it follows another pause that was too short: that says less of what is needed.
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
                self._mark = None  # still probing, or again: those that were under way were refused, too
                return
            self._mark, self._is_bound = delivered, False
        else:
            self._mark, self._is_bound = self._next_mark(refused, delivered, is_first=pause is not None), True
        self._span = max(PAUSES_IN_A_SPAN * max(self._pause, self._latency), CALLS_IN_A_SPAN / self._mark)

    def _next_mark(self, refused: float, delivered: float, *, is_first: bool) -> float:
        """Return the pace that follows one that was refused."""
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
        """Follow a clock that was set."""
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
