"""Pauses: what the processor does when a run is refused with ``RateLimited``, and what it says about the pause."""

from __future__ import annotations

import logging
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING

from lionpride_exec._base.exception_groups import is_of, leaves
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._base.sentinel import UnsetType
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._base.wording import MAX_SECONDS, shown_seconds
from lionpride_exec._scheduling.limit_states import MIN_STATES_TO_SWEEP
from lionpride_exec._scheduling.reopening import Reopening
from lionpride_exec.errors import PauseTooLong, RateLimited

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from lionpride_exec._scheduling.lanes import Lanes
    from lionpride_exec._scheduling.limit_state import LimitState

    from .pause_records import Pause, StartPace
    from .processor_run import ProcessorRun

logger = logging.getLogger("lionpride_exec")

# A pause is logged if it makes a key wait this many seconds longer than the last logged pause did.
SECONDS_TO_TELL = 5.0

# When an event is given up because of a pause, its key is closed for the floor, but at most for this many seconds. The
# next events of the key meet the same refusal soon, but not all at once.
MAX_PAUSE_AFTER_GIVING_UP = 1.0


class Pauses:
    """
    The keys of which a run was refused.

    Args:
        lanes: The lanes, whose limit states are closed and reopened.

    Attributes:
        limit_states: The limit states that remember a refusal. While there are none, nothing else here is used.
        rate_limited: How many runs ended with ``RateLimited``.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.limit_states: dict[LimitState, Reopening] = {}
        self._sweep_at = MIN_STATES_TO_SWEEP
        self.rate_limited: int = 0

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
        closed = [(state, self._reopening_of(state, now)) for state in self._lanes.closable(run.entry.route.key)]
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
        for state in self._lanes.closable(key):
            reopening = self._known_of(state, now)
            if reopening is not None:
                reopening.start(now)
                state.closed_until = max(state.closed_until, reopening.opens_at)

    def accept(self, run: ProcessorRun) -> None:
        """Note that a run has succeeded."""
        seconds = run.event.execution.duration
        took = inf if isinstance(seconds, UnsetType) else seconds
        for state in self._lanes.closable(run.entry.route.key):
            if state.reopening is not None:
                state.reopening.accept(run.began, took)

    def current(self, now: float) -> Iterator[Pause]:
        """Yield the pauses that hold now."""
        from .pause_records import Pause  # noqa: PLC0415  slow to import, for those who ask only

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
        """Yield the paces of the keys that were reopened and are in use now."""
        from .pause_records import StartPace  # noqa: PLC0415  slow to import, for those who ask only

        for state, reopening in self.limit_states.items():
            pacing = reopening.pacing
            if reopening.until <= now and pacing.is_in_use and not reopening.is_over(now):
                yield StartPace(
                    limit=state.limit,
                    key=state.key,
                    per_second=pacing.pace(),
                    seconds=max(pacing.next_at - now, 0.0),
                )

    def shift(self, seconds: float) -> None:
        """Carry all times over to a clock that is ahead by so many seconds. The limit states carry their own over."""
        for reopening in self.limit_states.values():
            reopening.shift(seconds)

    def _reopening_of(self, state: LimitState, now: float) -> Reopening:
        reopening = self._known_of(state, now)
        if reopening is None:
            self._sweep(now)
            reopening = self.limit_states[state] = state.reopening = Reopening()
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
