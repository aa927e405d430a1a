"""Pauses of keys: after a run was refused with ``RateLimited``, and by the program; and what is said about them."""

from __future__ import annotations

import logging
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from lionpride_exec._base.exception_groups import is_of, leaves
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._base.sentinel import UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import MAX_SECONDS, shown_seconds
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.retry import DEFAULT_MAX_PAUSE
from lionpride_exec._scheduling.adaptive import AdaptivePacing, AdaptiveReopening
from lionpride_exec._scheduling.limit_state import LimitState
from lionpride_exec._scheduling.limit_states import MIN_STATES_TO_SWEEP
from lionpride_exec._scheduling.reopening import Reopening
from lionpride_exec.errors import PauseTooLong, RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from lionpride_exec._clients.allowance import Allowance
    from lionpride_exec._scheduling.lanes import Lanes

    from .pause_records import Pause, StartPace
    from .processor_run import ProcessorRun

logger = logging.getLogger("lionpride_exec")

# A pause is logged if it makes a key wait this many seconds longer than the last logged pause did.
SECONDS_TO_TELL = 5.0

# When an event is given up because of a pause, its key is closed for the floor, but at most for this many seconds. The
# next events of the key meet the same refusal soon, but not all at once.
MAX_PAUSE_AFTER_GIVING_UP = 1.0


class Hold(NamedTuple):
    """A pause that the program asked for. The time is one of ``current_time()``."""

    until: float
    reason: str


class Pauses:
    """
    The keys of which a run was refused, and those that the program has paused.

    Args:
        lanes: The lanes, whose limit states are closed and reopened.

    Attributes:
        holds: The limit states that the program has paused, and perhaps some whose pause is over.
        limit_states: The limit states that remember a refusal. While there are none, nothing else here is used.
        rate_limited: How many runs ended with ``RateLimited``.
        runs: Returns the runs by the numbers of their events. Set by the runner.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.runs: Callable[[], Mapping[int, ProcessorRun]] = dict  # returns the runs; set by the runner
        self.limit_states: dict[LimitState, Reopening] = {}
        self.holds: dict[LimitState, Hold] = {}
        self._sweep_at = MIN_STATES_TO_SWEEP
        self.rate_limited: int = 0
        self._learns = any(isinstance(limit, Adaptive) for limit in lanes.limit_states.limits)
        if self._learns:  # starts and ends are to be noted from the first on; this one is never forgotten
            self.limit_states[LimitState()] = Reopening()

    def refuse(self, run: ProcessorRun, error: BaseException, *, now: float, max_pause: float) -> float:
        """
        Close the keys of a run that was refused.

        Args:
            run: The run.
            error: A ``RateLimited``, or a group that has some. The longest of their times counts.
            now: The time.
            max_pause: How many seconds a pause may last.

        Returns:
            When the pause ends.

        Raises:
            PauseTooLong: The pause would be longer than ``max_pause``. The keys are closed for a moment only.
        """
        self.rate_limited += 1
        request = max((leaf for leaf in leaves(error) if is_of(leaf, RateLimited)), key=_seconds_of)
        closed = [(state, self._reopening_of(state, now)) for state in self._closable(run.entry.route.key)]
        floor = max(reopening.floor(run.began) for _, reopening in closed)
        seconds = max(request.retry_after, floor)
        is_too_long = seconds > max_pause
        until = now + (min(floor, MAX_PAUSE_AFTER_GIVING_UP, max_pause) if is_too_long else seconds)
        reason = mask(request.message, secrets_of(run.event))
        self._tell([state for state, _ in closed], until, now, reason)
        for state, reopening in closed:
            reopening.refuse(run.began, now, until, reason)
            state.closed_until = max(state.closed_until, until)
        if is_too_long:
            raise PauseTooLong(
                _too_long(request, seconds, max_pause), retry_after=seconds, max_pause=max_pause, cause=error
            )
        return until

    def start(self, key: tuple[Hashable, ...], now: float) -> None:
        """Note a start. The next start of a key that was refused follows at the pace of the key."""
        for state in self._closable(key):
            reopening = self._known_of(state, now)
            if reopening is None and isinstance(state.limit, Adaptive):
                reopening = self._reopening_of(state, now)
            if reopening is not None:
                reopening.start(now)
                state.closed_until = max(state.closed_until, reopening.opens_at)

    def accept(self, run: ProcessorRun) -> None:
        """Note that a run has succeeded."""
        seconds = run.event.execution.duration
        took = inf if isinstance(seconds, UnsetType) else seconds
        for state in self._closable(run.entry.route.key):
            if state.reopening is not None:
                state.reopening.accept(run.began, took)
                self._read_headers(run, state)

    def hold(self, state: LimitState, hold: Hold, now: float) -> None:
        """Start nothing under a limit state until a time. An earlier hold of the same limit state ends."""
        self.release(state)
        for other in [other for other, each in self.holds.items() if each.until <= now]:
            self.release(other)
        if hold.until > now:
            self.holds[state] = hold
            state.paused_until = hold.until
            state.closed_until = max(state.closed_until, hold.until)

    def release(self, state: LimitState) -> None:
        """End the hold of a limit state. A pause after a refusal goes on. Idempotent."""
        if self.holds.pop(state, None) is not None:
            state.paused_until = -inf
            state.closed_until = -inf if state.reopening is None else state.reopening.opens_at

    def current(self, now: float) -> Iterator[Pause]:
        """Yield the pauses that hold now."""
        from .pause_records import Pause  # noqa: PLC0415  slow to import, for those who ask only

        for state, hold in self.holds.items():
            if (seconds := hold.until - now) > 0:
                until = wall_clock.now() + timedelta(seconds=min(seconds, MAX_SECONDS))
                yield Pause(limit=state.limit, key=state.key, seconds=seconds, until=until, reason=hold.reason)
        for state, reopening in self.limit_states.items():
            seconds = reopening.until - now
            if seconds > 0:
                yield Pause(
                    limit=state.limit,
                    key=state.key,
                    seconds=seconds,
                    until=wall_clock.now() + timedelta(seconds=min(seconds, MAX_SECONDS)),
                    reason=reopening.reason,
                    refusals=reopening.refusals,
                )

    def paces(self, now: float) -> Iterator[StartPace]:
        """
        Yield the paces of the keys that were reopened and are in use now.

        A pace grows as long as nothing is refused, also beyond the rates of its key and the rates without a key. Then
        these rates decide how fast runs start, and the pace is left out.
        """
        from .pause_records import StartPace  # noqa: PLC0415  slow to import, for those who ask only

        open_again = [
            (state, reopening.pacing)
            for state, reopening in self.limit_states.items()
            if reopening.until <= now and reopening.pacing.is_in_use and not reopening.is_over(now)
        ]
        of_all = min((state.starts_per_second for state in self._lanes.limit_states.shared), default=inf)
        rates: dict[Hashable, float] = {}  # a refusal closes all limits of a key, and a concurrency is no rate
        for state, _ in open_again:
            rates[state.key] = min(rates.get(state.key, of_all), state.starts_per_second)
        for state, pacing in open_again:
            if (per_second := pacing.pace()) < rates[state.key]:
                seconds = max(pacing.next_at - now, 0.0)
                yield StartPace(limit=state.limit, key=state.key, per_second=per_second, seconds=seconds)

    def shift(self, seconds: float) -> None:
        """Carry all times over to a clock that is ahead by so many seconds. The limit states carry their own over."""
        for reopening in self.limit_states.values():
            reopening.shift(seconds)
        self.holds = {state: hold._replace(until=hold.until + seconds) for state, hold in self.holds.items()}

    def observe(self, run: ProcessorRun, allowance: Allowance, running: Iterable[ProcessorRun], now: float) -> None:
        """
        Let the adaptive limits of a run know how many calls are left, and until when.

        A reset that is further away than the longest pause by default says nothing: the next call is made, and refused
        if the answer was right.

        Args:
            run: The run that got the answer.
            allowance: What the answer says.
            running: All runs. Those that began after ``run`` are not in the answer.
            now: The time.
        """
        left, seconds = allowance
        if seconds > DEFAULT_MAX_PAUSE:
            logger.warning(
                "the headers of an answer to %s are ignored: they say %d left for %s", run.event, left,
                shown_seconds(seconds),
            )  # fmt: skip
            return
        for state in self._closable(run.entry.route.key):
            pacing = None if state.reopening is None else state.reopening.pacing
            if isinstance(pacing, AdaptivePacing) and run.began >= pacing.told_by:
                later = sum(each.began > run.began and any(use.state is state for use in each.uses) for each in running)
                pacing.tell(max(left - later, 0), seconds, run.began, now)
                self._tell([state], pacing.next_at, now, f"an answer says {left} left for {shown_seconds(seconds)}")
                state.closed_until = max(state.paused_until, state.reopening.opens_at if state.reopening else -inf)
                self._lanes._touch((state,))

    def _read_headers(self, run: ProcessorRun, state: LimitState) -> None:
        """Read the headers in the response of a run, if the limit says where they are."""
        limit = state.limit
        if not isinstance(limit, Adaptive) or limit.from_headers is None:
            return
        from lionpride_exec._clients.allowance import allowance_of  # noqa: PLC0415  few programs need it

        try:
            answer = limit.from_headers(run.event.execution.response)
            allowance = None if answer is None else allowance_of(answer)
        except Exception:
            logger.exception("from_headers of %r failed for the response of %s", limit, run.event)
            return
        if allowance is not None:
            self.observe(run, allowance, self.runs().values(), run.clock())

    def _closable(self, key: tuple[Hashable, ...]) -> Sequence[LimitState]:
        """Return the limit states that a refusal closes: adaptive ones, which stand for the other side's limit."""
        if self._learns:
            learners = [state for state in self._lanes.stops(key) if isinstance(state.limit, Adaptive)]
            if learners:
                return learners
        return self._lanes.closable(key)

    def _reopening_of(self, state: LimitState, now: float) -> Reopening:
        reopening = self._known_of(state, now)
        if reopening is None:
            self._sweep(now)
            limit = state.limit
            reopening = AdaptiveReopening(limit) if isinstance(limit, Adaptive) else Reopening()
            self.limit_states[state] = state.reopening = reopening
        return reopening

    def _known_of(self, state: LimitState, now: float) -> Reopening | None:
        """Return what is remembered of a key. None if there is nothing, or if it is too old: then it is forgotten."""
        reopening = state.reopening
        if reopening is None or not reopening.is_over(now):
            return reopening
        del self.limit_states[state]
        state.reopening = None
        return None

    def _sweep(self, now: float) -> None:
        """Forget the keys that were not used for long. O(1) amortised for each key that was refused."""
        if len(self.limit_states) >= self._sweep_at:
            for state in tuple(self.limit_states):
                self._known_of(state, now)
            self._sweep_at = max(MIN_STATES_TO_SWEEP, 2 * len(self.limit_states))

    def _tell(self, states: Sequence[LimitState], until: float, now: float, reason: str) -> None:
        """Log a long pause once, not for each run that was refused."""
        told = [state for state in states if until - max(state.closed_until, now) > SECONDS_TO_TELL]
        if told:
            logger.warning("%s for %s: %s", _shown_keys(told), shown_seconds(until - now), reason)


def _shown_keys(states: Iterable[LimitState]) -> str:
    keys = ", ".join(repr(state.key) for state in states if state.key is not None)
    return f"Nothing of key {keys} starts" if keys else "Nothing starts"


def _seconds_of(error: RateLimited) -> float:
    return error.retry_after


def _too_long(request: RateLimited, seconds: float, max_pause: float) -> str:
    asked = f"asked for a pause of {request.retry_after:.6g} s"
    grown = f" and it has grown to {seconds:.6g} s" if seconds > request.retry_after else ""
    return f"The other side {asked}{grown}; Retry(max_pause=) allows {max_pause:.6g} s: {request.message}"
