"""The return values of ``explain()`` and ``statistics()``."""

from __future__ import annotations

from heapq import heappush, heappushpop, nlargest
from math import inf
from typing import TYPE_CHECKING, Any, Final

import attrs

from lionpride_exec._base.wording import MAX_SECONDS, counted, shown_seconds
from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._model.adaptive import Adaptive
from lionpride_exec._model.waiting import WORDS, WaitReason

from .pause_names import one_for_each

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from datetime import datetime
    from uuid import UUID

    from lionpride_exec._display.markup import Markup
    from lionpride_exec._events.event import Event
    from lionpride_exec._model.limits import Limit
    from lionpride_exec._processing.pause_records import Pause, StartPace
    from lionpride_exec._status import EventStatus

    from .schedule_policy import ScheduleState


@attrs.frozen
class Explanation:
    """
    What an event waits for at the moment.

    Attributes:
        event: The event.
        status: The status of the event.
        waits_for: The first unmet condition of the event, or of the events in front of it.
        seconds: How many seconds the event waits at least, unless a call such as ``cancel()``, ``resize()``,
            ``settle()`` or ``forward()`` changes something. 0 if it waits for nothing, None if no time is known.
        limit: The limit that has no room or is paused. None for other reasons.
        key: The key of that limit or gate. None if it has no keys.
        after: The events of ``after`` that have not completed yet, and those of ``after_any_end`` that have not ended.
        holder: In words, the watcher that holds events up, or the task and its lock; or how many tasks wait for an
            executor that nobody has started, after 5 s. None for other reasons.
        expires_in: The seconds after which the event ends SKIPPED if it has not begun. None if it does not expire.
        awaited: The first three events of ``after``, in words: each with its key, if it has one, and its status.
    """

    event: Event
    status: EventStatus
    waits_for: WaitReason
    seconds: float | None = None
    limit: Limit | None = None
    key: Hashable = None
    after: tuple[UUID, ...] = ()
    holder: str | None = None
    expires_in: float | None = None
    awaited: tuple[str, ...] = ()

    @property
    def event_id(self) -> UUID:
        """The id of the event."""
        return self.event.id

    def __str__(self) -> str:
        parts = [f"{self.event} is {self.status}"]
        if self.waits_for not in WAITS_FOR_NOTHING:
            parts.append(f"waits for {self.what}")
            if self.holder is not None:
                parts.append(self.holder)
            if self.seconds is not None:
                parts.append(_least(self.seconds))
            if self.expires_in is not None:
                parts.append(f"expires in {shown_seconds(self.expires_in)}")
        return ", ".join(parts)

    @property
    def what(self) -> str:
        """What the event waits for, in words: the reason, with the limit and the key, or with the other events."""
        parts = [self._reason]
        if self.after:
            parts = [f"{self._reason} of {self._others}"]
        if self.limit is not None:
            parts.append(limit_name(self.limit))
        if self.key is not None:
            parts.append(f"of key {self.key!r}")
        return ", ".join(parts)

    @property
    def _others(self) -> str:
        number = len(self.after)
        if number == 1 and self.awaited:
            return self.awaited[0]
        more = [f"{number - len(self.awaited):,} more"] if self.awaited and number > len(self.awaited) else []
        return ": ".join(part for part in (counted(number, "event"), ", ".join([*self.awaited, *more])) if part)

    @property
    def _reason(self) -> str:
        # An Adaptive paces its events from the first start on, before anything was refused.
        if self.waits_for is WaitReason.REFUSAL and isinstance(self.limit, Adaptive):
            return "its pace"
        return WORDS[self.waits_for].of_one

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from lionpride_exec._display.notebook import bundle, facts, frame  # noqa: PLC0415  for notebooks only

        return bundle(str(self), frame("Explanation", self.status.value, facts(self._rows())))

    def _rows(self) -> list[tuple[str, str]]:
        """Return what is known, as names and texts."""
        waits = self.waits_for not in WAITS_FOR_NOTHING
        seconds = None if self.seconds is None or not waits else _least(self.seconds)
        rows = {
            "event": str(self.event),
            "waits for": self._reason,
            "how long": seconds,
            "limit": None if self.limit is None else limit_name(self.limit),
            "key": None if self.key is None else repr(self.key),
            "after": self._others if self.awaited else ", ".join(map(str, self.after)) or None,
            "held by": self.holder,
            "expires in": None if self.expires_in is None else shown_seconds(self.expires_in),
        }
        return [(name, text) for name, text in rows.items() if text is not None]


def limit_name(limit: Limit) -> str:
    """Return the name of a limit, or how it was made if it has no name."""
    return limit.name or repr(limit)


def _least(seconds: float) -> str:
    return "for ever" if seconds > MAX_SECONDS else f"at least {shown_seconds(seconds)}"


# Limits and pauses that a notebook names, the fullest first; and events of a cluster that are waited for.
NAMED: Final = 5

# Events of ``after`` that an explanation describes.
DESCRIBED: Final = 3

WAITS_FOR_NOTHING: Final = frozenset({WaitReason.RUNNING, WaitReason.FINAL})


@attrs.frozen
class RemoteExplanation:
    """
    Where an event of a cluster is at the moment, as the server knows it.

    Attributes:
        event_id: The id of the event.
        status: The status of the event.
        waits_for: What the event waits for. ``CLUSTER`` if it could start: a worker has to take it, or ``worker`` holds
            it and begins it when its slots and limits allow.
        since: Since when the event has its status (UTC), by the clock of the server.
        attempt: How often the event has begun.
        seconds: How many seconds the event waits at least, if its time has not come. 0 if it waits for nothing, None if
            no time is known.
        worker: The name of the worker that holds or runs the event. "" if none does.
        process: The host and the process of this worker. "" if it is not known.
        renewed: Seconds since this worker has renewed its lease of the event. None if no worker holds it.
        limit: The limit, with its key, at which the event stands in line. "" if it does not.
        after: The events of ``after`` that have not completed yet.
    """

    event_id: UUID
    status: EventStatus
    waits_for: WaitReason
    since: datetime
    attempt: int = 0
    seconds: float | None = None
    worker: str = ""
    process: str = ""
    renewed: float | None = None
    limit: str = ""
    after: tuple[UUID, ...] = ()

    def __str__(self) -> str:
        parts = [f"event {self.event_id} is {self.status} since {self.since.isoformat(timespec='seconds')}"]
        if self.waits_for not in WAITS_FOR_NOTHING:
            reason = WaitReason.TURN if self.waits_for is WaitReason.LIMIT else self.waits_for
            parts.append(f"waits for {WORDS[reason].of_one}")
            if self.after:
                shown = [*map(str, self.after[:NAMED]), *(["more"] if len(self.after) > NAMED else [])]
                parts[-1] += f" of {counted(len(self.after), 'event')}: {', '.join(shown)}"
            if self.limit:
                parts.append(f"at limit {self.limit}")
            if self.seconds is not None:
                parts.append(f"at least {shown_seconds(self.seconds)}")
        if self.worker:
            parts.append(f"held by worker {self.worker}{self.process and f' ({self.process})'}")
        return ", ".join(parts)


@attrs.frozen
class LimitUse:
    """
    How much of a limit is used at the moment.

    Attributes:
        limit: The limit.
        key: The key. None if the limit has no keys.
        used: The used part of the limit's amount.
        amount: The amount for this key, as ``set_limit()`` has left it.
        per: The seconds after which what is used comes back. 0 for a :class:`Concurrent`.
    """

    limit: Limit
    key: Hashable
    used: float
    amount: float
    per: float


@attrs.frozen
class Statistics:
    """
    An executor at one moment.

    With a cluster, the statuses and ``waits`` are about the events of the executor, wherever they are. All else is
    about the events that this process works on.

    Attributes:
        status_counts: The number of events in each of the seven statuses.
        waits: The number of pending events by what they wait for, without zeros. Events with the same keys are counted
            with the first of them.
        running: The number of events that run, of ``concurrency_limit``.
        concurrency_limit: The limit of the executor. 0 before the first start.
        queued: The number of events in the queue, of ``max_queue_size``.
        max_queue_size: The bound of the executor. 0 before the first start.
        available_capacity: The starts that the window allows now, of ``queue_capacity``.
        queue_capacity: The capacity of the executor. 0 before the first start.
        limits: What is used of each limit and key, without zeros.
        is_running: Whether events are started.
        is_paused: Whether ``pause()`` was called for all events, and ``resume()`` was not called since.
        pauses: The keys that are closed by ``RateLimited`` or ``pause(key=...)``. The key that opens last comes first.
        paces: The keys that have opened again, and how fast their runs may start. A key whose pace has grown to what
            its rates allow is left out.
        rate_limited: The number of runs that have ended with ``RateLimited``.
        retries: The number of failed runs that were followed by another run. Runs that ended with ``RateLimited`` and
            runs that were interrupted do not count.
        working: The number of plain functions that work now, by place: "thread", "process", "interpreter", without
            zeros. A thread whose event was cancelled counts until its function returns, and under "abandoned" too.
        schedules: The schedules that are not over, in the order in which they were made.
    """

    status_counts: Mapping[str, int]
    waits: Mapping[WaitReason, int]
    running: int = 0
    concurrency_limit: int = 0
    queued: int = 0
    max_queue_size: int = 0
    available_capacity: int = 0
    queue_capacity: int = 0
    limits: tuple[LimitUse, ...] = ()
    is_running: bool = False
    is_paused: bool = False
    pauses: tuple[Pause, ...] = ()
    paces: tuple[StartPace, ...] = ()
    rate_limited: int = 0
    retries: int = 0
    schedules: tuple[ScheduleState, ...] = ()
    working: Mapping[str, int] = attrs.field(factory=dict)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from lionpride_exec._display.notebook import bundle, facts, frame  # noqa: PLC0415  for notebooks only

        state = "paused" if self.is_paused else "running" if self.is_running else "stopped"
        html = frame("Statistics", state, counts_bar(self.status_counts), facts(statistics_rows(self)))
        return bundle(repr(self), html)


def counts_bar(counts: Mapping[str, int]) -> Markup | None:
    """Return a bar of the events by status, for a notebook: those that have ended, that run, that are pending."""
    from lionpride_exec._display.notebook import bar  # noqa: PLC0415  for notebooks only

    rest = {status: counts.get(status, 0) for status in ("processing", "pending")}
    ended = {status: number for status, number in counts.items() if status not in rest}
    return bar(ended | rest, {"processing": "running"})


def statistics_rows(statistics: Statistics) -> list[tuple[str, str]]:
    """Return slots, waits, the fullest limits and the pauses, as names and texts."""
    rows: list[tuple[str, str]] = []
    if statistics.concurrency_limit:
        rows.append(("slots", f"{statistics.running:,} of {statistics.concurrency_limit:,} used"))
        rows.append(("queue", f"{statistics.queued:,} of {statistics.max_queue_size:,}"))
    waits = sorted(statistics.waits.items(), key=lambda wait: -wait[1])
    if waits:
        rows.append(("waiting for", ", ".join(f"{reason} ({number:,})" for reason, number in waits)))
    rows += [("limit", _use(use)) for use in fullest(statistics, NAMED)]
    if len(statistics.limits) > NAMED:
        rows.append(("", f"{counted(len(statistics.limits) - NAMED, 'more limit')} in use"))
    rows += [
        ("pause", f"{pause.key!r}: {shown_seconds(pause.seconds)}") for pause in one_for_each(statistics.pauses)[:NAMED]
    ]
    repeats = {"retries": statistics.retries, "rate limited": statistics.rate_limited}
    rows += [(name, f"{number:,}") for name, number in repeats.items() if number]
    return rows + [(f"in {place}", f"{number:,}") for place, number in statistics.working.items()]


def fullest(statistics: Statistics, count: int) -> list[LimitUse]:
    """Return the uses of the fullest limits, the fullest first. A use of a limit of 0 comes before all others."""
    return nlargest(count, statistics.limits, key=_fullness)


class Fullest:
    """
    The uses of the fullest limits, of any number that is added: as :func:`fullest` would return them.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, LimitUse]] = []
        self._added = 0

    def add(self, use: LimitUse) -> None:
        """Add a use. O(log of what is kept)."""
        self._added += 1
        item = (_fullness(use), -self._added, use)
        if len(self._heap) < self._most:
            heappush(self._heap, item)
        else:
            heappushpop(self._heap, item)

    def uses(self) -> tuple[LimitUse, ...]:
        """Return what is kept, the fullest first."""
        return tuple(use for _, _, use in sorted(self._heap, reverse=True))


def _fullness(use: LimitUse) -> float:
    return use.used / use.amount if use.amount else inf


def _use(use: LimitUse) -> str:
    key = "" if use.key is None else f" of key {use.key!r}"
    per = f" in {shown_seconds(use.per)}" if use.per else ""
    return f"{limit_name(use.limit)}{key}: {use.used:g} of {use.amount:g}{per}"


publish_classes(Explanation, LimitUse, RemoteExplanation, Statistics, WaitReason)
