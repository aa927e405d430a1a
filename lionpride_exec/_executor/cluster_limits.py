"""
The limits of a processor, as the server of its cluster counts them for all processes together.

A limit has a bucket on the server for each of its keys. The processor counts too, but only what this process has taken.
So it asks the server for no start that is over the limit by this process alone. If the server refuses a start, other
processes have taken the rest. Then the limit is closed here until the server may allow a start. Other keys go on.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from hashlib import sha256
from math import inf, isinf
from typing import TYPE_CHECKING

from lionpride_exec._base.backend import current_time
from lionpride_exec._cluster.engine import BucketLimit
from lionpride_exec._journal.codec import encode_key
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.quota import Quota
from lionpride_exec._processing.steering import can_start, look_again
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from uuid import UUID

    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.processor import Processor
    from lionpride_exec._scheduling.limit_state import LimitState, Reservation

# Events of a key at its limit that a worker keeps. It gives the others back, until it may be their turn.
MAX_WAITING_FOR_KEY = 30

# Seconds after which the server is asked again, if a run has to end first and no message about its end has come.
SECONDS_UNTIL_ASKED_AGAIN = 0.5

# If nothing starts in this process for longer than so many seconds, the events that wait in it are given back.
SECONDS_OF_A_LONG_PAUSE = 1.0

# Seconds after which this process takes events again: they may need less of its own limit than the last event.
SECONDS_UNTIL_LOOKED_AGAIN = 10.0

# An event whose key waits for a limit of this process is offered again after a tenth of the time that the limit takes,
# and after so many seconds at most. Sooner would burden the server: this process may be the only one to take it.
MAX_SECONDS_PUT_OFF = 600.0

# Characters of the longest key that stands in the name of a bucket. For a longer one, its digest stands there.
MAX_KEY_LENGTH = 64

# What ``object.__repr__()`` says of an object besides its class: where it is in the memory of this process.
ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+\b")


class ClusterLimits:
    """
    The buckets of the limits of one processor.

    Args:
        pass_place: Has the next worker told of a bucket of which this one was told. This one cannot use it now.
    """

    def __init__(self, pass_place: Callable[[str], None]) -> None:
        self._pass_place = pass_place
        self._names: dict[int, str] = {}  # by the number of the limit; limits of this process only have none
        self._keyed: list[tuple[int, Limit]] = []  # those with keys: where a route has the key, and the limit
        self._closed: dict[str, LimitState] = {}  # by bucket: those that wait for the end of a run somewhere
        self._asking: Counter[str] = Counter()  # by bucket: the starts for which the server is being asked
        self._reopened: set[str] = set()  # buckets among them from which a run has given something back meanwhile
        self._offered: set[str] = set()  # buckets with such a place, for which the server has not been asked since
        # By the number of a limit of this process: the cost of the first event when there was one last, and that time.
        self._needed: dict[int, tuple[float, float]] = {}
        self._has_own_keys = False  # whether a limit of this process has keys
        self._processor: Processor | None = None

    def attach(self, processor: Processor) -> None:
        """
        Count the limits of a processor from now on, on the server.

        Raises:
            ConfigurationError: Each process would count one of the limits by itself. Nothing has changed.
        """
        router = processor.router
        for limit in router.limits:
            if isinstance(limit, Adaptive):
                raise ConfigurationError(
                    f"{limit!r} is not available with a cluster: each process would learn the limit of all for itself"
                )
        self._names = names_of(router.limits)
        self._has_own_keys = any(limit.scope == "process" and limit.key is not None for limit in router.limits)
        self._processor = processor
        keyed = [(number, limit) for number, limit in enumerate(router.limits, 1) if limit.key is not None]
        places = enumerate(keyed, int(router.has_partitions))  # the partition is the first key of a route
        self._keyed = [(place, limit) for place, (number, limit) in places if number in self._names]

    def check_keys(self, keys: Sequence[Hashable]) -> None:
        """
        Check that all processes count the keys of a route as one.

        Raises:
            TypeError: JSON cannot hold a key, and its ``repr()`` differs between processes.
        """
        for place, limit in self._keyed:
            key = keys[place]
            if type(key) is not str and key is not None and ADDRESS.search(_whole_text_of(key)):
                raise TypeError(
                    f"{limit!r} cannot count by the key {key!r} in a cluster, since each process shows the key "
                    "differently: use a key that JSON can hold, such as a text, or give its class a __repr__()"
                )

    def of(self, uses: Iterable[Reservation]) -> list[tuple[BucketLimit, LimitState]]:
        """Return what a run takes from the server, with the state that the limit has here."""
        return [
            (self._limit(use.state, use.cost), use.state)
            for use in uses
            if use.state.limit is not None and use.state.number in self._names
        ]

    def _limit(self, state: LimitState, cost: float) -> BucketLimit:
        limit = state.limit
        assert limit is not None
        # MessagePack has no integers of 64 bits or more. The server has floats only.
        return BucketLimit(self._bucket(state), float(state.total), limit.per * 1e6, float(cost), limit.hold)

    def _bucket(self, state: LimitState) -> str:
        name = self._names[state.number]
        return name if state.key is None else f"{name}:{_key_text(state.key)}"

    @contextmanager
    def asking(self, limits: Sequence[tuple[BucketLimit, LimitState]]) -> Iterator[None]:
        """
        Ask the server for a start in the block, and call :meth:`close` there if it refuses.

        The event may have the last slot here, although there is a place for another event. That place is passed on.

        The message that a run has ended can come before the answer that one has to end, since they have connections of
        their own. Then :meth:`close` must not wait for the message.
        """
        buckets = [limit.bucket for limit, _ in limits]
        self._asking.update(buckets)
        self._offered.difference_update(buckets)
        self._pass_unused()
        try:
            yield
        finally:
            for bucket in buckets:
                self._asking[bucket] -= 1
                if not self._asking[bucket]:
                    del self._asking[bucket]
                    self._reopened.discard(bucket)

    def close(self, limit: BucketLimit, state: LimitState, seconds: float) -> None:
        """Start no event under a limit for some seconds. ``inf``: until a run has ended, in any process."""
        if isinf(seconds):
            if limit.bucket in self._reopened:
                assert self._processor is not None
                look_again(self._processor)
                return
            self._closed[limit.bucket] = state
        until = current_time() + (SECONDS_UNTIL_ASKED_AGAIN if isinf(seconds) else seconds)
        self._deny_until(state, until)

    def reopen(self, bucket: str) -> None:
        """Have the events that wait for a bucket ask again: a run has ended. If none can, pass the place on."""
        (self._reopened if bucket in self._asking else self._offered).add(bucket)
        state = self._closed.pop(bucket, None)
        if state is not None and self._processor is not None:
            self._deny_until(state, -inf)
            look_again(self._processor)
        self._pass_unused()

    def _pass_unused(self) -> None:
        """If nothing can start here, pass on the places of which this process was told. Else an event may ask soon."""
        if self._offered and (self._processor is None or not can_start(self._processor)):
            for bucket in self._offered:
                self._pass_place(bucket)
            self._offered.clear()

    def _deny_until(self, state: LimitState, until: float) -> None:
        """Let nothing start under a limit until a time, even if it has room here. ``-inf``: let events start again."""
        assert self._processor is not None
        self._processor.queue.lanes.deny_until(state, until)

    def excess(self) -> list[tuple[BucketLimit, float, UUID]]:
        """
        Return the events that this worker gives back, because many others of their key are before them.

        Each comes with the limit that its lane waits for, and the seconds until the limit has room, inf if a run has to
        end first. O(lanes), and O(n log n) for the events of a lane that is too long.
        """
        if self._processor is None:
            return []
        now, lanes = current_time(), self._processor.queue.lanes
        found: list[tuple[BucketLimit, float, UUID]] = []
        for lane, state in lanes.parked_lanes():
            if lane.live <= MAX_WAITING_FOR_KEY or state.limit is None or state.limit.key is None:
                continue
            if state.number in self._names:
                for entry in sorted(lanes.live_entries(lane))[MAX_WAITING_FOR_KEY:]:
                    cost = entry.route.costs[state.number]
                    until = state.free_at(cost, now) - now
                    found.append((self._limit(state, cost), max(until, 0.0), entry.event_id))
        return found

    def closed_by_refusal(self, key: tuple[Hashable, ...]) -> tuple[float, list[str]]:
        """
        Return when the limits that ``RateLimited`` has closed for a key reopen, and the buckets that the server shuts.

        If no limit has a key, nothing starts in this process, and the server shuts the limits that all events share.
        """
        assert self._processor is not None
        lanes = self._processor.queue.lanes
        states, shared = lanes.closable(key), lanes.limit_states.shared
        opens_at = max((state.opens_at for state in states), default=-inf)
        shut = shared if states and states[0] in shared else states
        return opens_at, [self._bucket(state) for state in shut if state.number in self._names]

    def starts_nothing_for_long(self) -> bool:
        """
        Return whether this process starts nothing for so long that other workers should get its events.

        ``RateLimited`` pauses it, or a limit of this process that all events share has nothing to give until a time.
        """
        assert self._processor is not None
        soon = current_time() + SECONDS_OF_A_LONG_PAUSE
        shared = self._processor.queue.lanes.limit_states.shared
        return any(soon < self._opens_at(state) < inf for state in shared)

    def _opens_at(self, state: LimitState) -> float:
        """Return when an event may start under a state that all events share, as far as this process decides it."""
        limit = state.limit
        if limit is None:
            return state.closed_until
        if state.number in self._names:
            return -inf
        assert self._processor is not None
        now, front = current_time(), self._processor.queue.lanes.front()
        if front is not None:
            self._needed[state.number] = front.route.costs[state.number], now
        cost, at = self._needed.get(state.number, (0.0, now))
        if limit.cost is not None and now - at > SECONDS_UNTIL_LOOKED_AGAIN:
            cost = 0.0  # the events were given back, and others may need less
        return state.free_at(cost, now)

    def stuck(self) -> list[tuple[float, UUID]]:
        """
        Return the events whose key is at a limit of this process for long, since other workers may have room for them.

        Each comes with the seconds after which the server should offer it again. O(lanes), if there is such a limit.
        """
        if self._processor is None or not self._has_own_keys:
            return []
        now, lanes = current_time(), self._processor.queue.lanes
        found: list[tuple[float, UUID]] = []
        for lane, state in lanes.parked_lanes():
            if state.limit is None or state.number in self._names or lane.live <= 0:
                continue
            wait = state.free_at(lanes.front_of(lane).route.costs[state.number], now) - now
            if SECONDS_OF_A_LONG_PAUSE < wait < inf:
                seconds = min(max(wait / 10, SECONDS_OF_A_LONG_PAUSE), MAX_SECONDS_PUT_OFF)
                found += [(seconds, entry.event_id) for entry in lanes.live_entries(lane)]
        return found


def names_of(limits: Sequence[Limit]) -> dict[int, str]:
    """
    Return the names of the limits that all processes share, by their numbers.

    The name of a limit without ``name`` is its ``repr()``, so that equal limits of two processes have one bucket.

    Raises:
        ConfigurationError: The ``repr()`` of a limit without ``name`` differs between processes.
    """
    names: dict[int, str] = {}
    known: Counter[str] = Counter()
    for number, limit in enumerate(limits, 1):
        if limit.scope == "process":
            continue
        if isinstance(limit, Quota):
            raise ConfigurationError(
                f"{limit!r} is not available with a cluster, whose server counts in sliding windows: "
                'use a Rate, or scope="process" for an amount of each process'
            )
        if limit.name is None and ADDRESS.search(repr(limit)):
            raise ConfigurationError(f"{limit!r} is another limit in each process: give it a name, by name=")
        name = _as_utf8(limit.name or repr(limit))
        known[name] += 1
        names[number] = name if known[name] == 1 else f"{name}#{known[name]}"
    return names


def _key_text(key: Hashable) -> str:
    """Return the text of a key, or its digest if the text is long."""
    text = _whole_text_of(key)
    return text if len(text) <= MAX_KEY_LENGTH else sha256(text.encode()).hexdigest()


def _whole_text_of(key: Hashable) -> str:
    """
    Return the text of a key.

    If JSON cannot hold the key, the text is its ``repr()``. If that raises, the text is the name of its class. Nothing
    is raised here, or the event would ask for its start again and again.
    """
    try:
        return _as_utf8(encode_key(key))
    except Exception:  # noqa: BLE001  repr() of a key, which is in the message of the TypeError, can raise anything
        return _repr_of(key)


def _repr_of(key: Hashable) -> str:
    try:
        return _as_utf8(repr(key))
    except Exception:  # noqa: BLE001  as above
        return f"<{type(key).__qualname__}>"


def _as_utf8(text: str) -> str:
    """Return a text with escapes for what UTF-8 cannot hold: halves of surrogate pairs."""
    return text.encode(errors="backslashreplace").decode()
