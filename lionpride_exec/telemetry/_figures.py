"""
What metrics say of an executor: one table for Prometheus and for OpenTelemetry.

A key, an id or a message is never a label: there may be any number of them. What one key uses is in ``statistics()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from lionpride_exec._status import PENDING, PROCESSING, TERMINAL, EventStatus

from ._words import encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lionpride_exec._executor.telemetry_access import TelemetryAccess

    from ._durations import Durations

    # The values of the labels beside the name of the executor, and the number.
    Samples: TypeAlias = Iterator[tuple[tuple[str, ...], float]]


class ReadMetric(NamedTuple):
    """
    A metric that is read when it is collected.

    Attributes:
        name: Its name for Prometheus, without ``lionpride_`` and ``_total``.
        text: What it is.
        labels: Its labels, beside the executor.
        read: Yields its samples.
        is_counter: Whether it only grows.
        dotted: Its name for OpenTelemetry, without ``lionpride.``. Default: ``name`` with dots.
        unit: Its unit for OpenTelemetry.
    """

    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[Figures], Samples]
    is_counter: bool = False
    dotted: str = ""
    unit: str = "1"


class Figures:
    """
    The numbers of one executor at the moment.

    Args:
        access: The executor.
        durations: What is counted inside its transitions.

    Attributes:
        name: The name of the executor, as all metrics have it.
    """

    def __init__(self, access: TelemetryAccess, durations: Durations[Any]) -> None:
        self.access: TelemetryAccess = access
        self.name: str = encodable(access.name)
        self.durations: Durations[Any] = durations

    # ---------------------------------------------------------------- from any thread

    def events(self) -> Samples:
        """Yield the events that have not ended, by status."""
        counts, _ = self.access.counts()
        for status in (PENDING, PROCESSING):
            yield (status.value,), counts[status]

    def ended(self) -> Samples:
        """Yield the events that have ended, by status."""
        counts, removed = self.access.counts()
        for status in EventStatus:
            if status in TERMINAL:
                yield (status.value,), counts[status] + removed.get(status, 0)

    def repeated(self) -> Samples:
        """Yield the runs that were followed by another one, by kind and reason."""
        for counted in self.durations.kinds():
            for reason, number in tuple(counted.repeated.items()):
                yield (counted.kind, reason), number

    def oldest_pending(self) -> Samples:
        """Yield how long the event that came first has been pending."""
        yield (), self.access.oldest_pending()

    def paused(self) -> Samples:
        """Yield whether the executor is paused."""
        yield (), float(self.access.executor.is_paused)

    def missed(self) -> Samples:
        """Yield how many transitions watchers have dropped."""
        yield (), self.access.missed()

    def journal_unwritten(self) -> Samples:
        """Yield how many new events and changes are not on disk."""
        if (journal := self.access.journal()) is not None:
            yield (), journal.unwritten

    def journal_bytes(self) -> Samples:
        """Yield the size of the files of the journal."""
        if (journal := self.access.journal()) is not None:
            yield (), journal.size

    def journal_trouble(self) -> Samples:
        """Yield whether the journal cannot be written."""
        if (journal := self.access.journal()) is not None:
            yield (), float(journal.has_trouble)

    def slots(self) -> Samples:
        """Yield how many events may run."""
        if (slots := self.access.slots()) is not None:
            yield (), slots.limit

    def slots_used(self) -> Samples:
        """Yield how many events run."""
        if (slots := self.access.slots()) is not None:
            yield (), slots.used

    def queue_size(self) -> Samples:
        """Yield how many events are queued."""
        if (slots := self.access.slots()) is not None:
            yield (), slots.queued

    # ---------------------------------------------------------------- what the event loop has to find out

    def pending(self) -> Samples:
        """Yield the pending events by what they wait for."""
        if (waits := self.access.waits()) is not None:
            for reason, number in waits.items():
                yield (reason.value,), number

    def limit_used_ratio_max(self) -> Samples:
        """Yield the used part of each limit, of the key that uses most of it."""
        if (survey := self.access.survey()) is not None:
            for limit, total in survey.limits.items():
                yield (encodable(limit),), total.highest

    def limit_keys(self) -> Samples:
        """Yield how many keys use something of each limit."""
        if (survey := self.access.survey()) is not None:
            for limit, total in survey.limits.items():
                yield (encodable(limit),), total.keys

    def limit_full_keys(self) -> Samples:
        """Yield how many keys have used up each limit."""
        if (survey := self.access.survey()) is not None:
            for limit, total in survey.limits.items():
                yield (encodable(limit),), total.full


METRICS: Final = (
    ReadMetric("events", "Events that have not ended, by status.", ("status",), Figures.events),
    ReadMetric("events_ended", "Events that have ended, by status.", ("status",), Figures.ended, is_counter=True),
    ReadMetric(
        "attempts_repeated",
        "Runs that were followed by another run of the event.",
        ("kind", "reason"),
        Figures.repeated,
        is_counter=True,
    ),
    ReadMetric("pending", "Pending events by what they wait for.", ("reason",), Figures.pending),
    ReadMetric(
        "oldest_pending_seconds",
        "How long the event that came first has been pending.",
        (),
        Figures.oldest_pending,
        dotted="oldest.pending",
        unit="s",
    ),
    ReadMetric("slots", "How many events may run.", (), Figures.slots),
    ReadMetric("slots_used", "How many of the slots are used.", (), Figures.slots_used),
    ReadMetric("queue_size", "Events in the queue.", (), Figures.queue_size),
    ReadMetric(
        "limit_used_ratio_max",
        "The used part of a limit, of the key that uses most of it.",
        ("limit",),
        Figures.limit_used_ratio_max,
    ),
    ReadMetric("limit_keys", "Keys that use something of a limit.", ("limit",), Figures.limit_keys),
    ReadMetric("limit_full_keys", "Keys that have used up a limit.", ("limit",), Figures.limit_full_keys),
    ReadMetric("paused", "Whether the executor is paused.", (), Figures.paused),
    ReadMetric("watch_missed", "Transitions that watchers have dropped.", (), Figures.missed, is_counter=True),
    ReadMetric("journal_unwritten", "New events and changes that are not on disk yet.", (), Figures.journal_unwritten),
    ReadMetric(
        "journal_bytes", "The size of the journal.", (), Figures.journal_bytes, dotted="journal.size", unit="By"
    ),
    ReadMetric("journal_trouble", "Whether the journal cannot be written.", (), Figures.journal_trouble),
)
