"""
Metrics for Prometheus, by a collector of our own.

A metric object of ``prometheus_client`` costs a microsecond and more for each label that is looked up. So counts are
read when they are collected, and only durations are counted inside the transitions, in rows of plain integers.

A key, an id or a message is never a label: there may be any number of them. What one key uses is in ``statistics()``.
"""

from __future__ import annotations

from itertools import accumulate
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._status import PENDING, PROCESSING, TERMINAL, EventStatus

from ._durations import BUCKETS, Durations, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lionpride_exec._executor.executor import Executor
    from lionpride_exec._executor.explanation import LimitUse, Statistics

# Seconds for which a snapshot of an executor is good: with thousands of keys it takes milliseconds.
GOOD_FOR: Final = 1.0

_BOUNDS: Final = (*(str(bound) for bound in BUCKETS), "+Inf")


class PrometheusCollector:
    """
    Collects the metrics of executors: ``REGISTRY.register(PrometheusCollector(executor))``.

    Use one collector for all executors of a registry, since a metric must be listed once. It counts durations from its
    construction on. A collection costs some 100 microseconds, and milliseconds with thousands of keys of limits. It may
    be made in any thread, as ``start_http_server()`` does. What has to be asked in the event loop is left out there:
    what events wait for, the slots, the queue and the limits. So a server in the event loop, as by
    ``make_asgi_app()``, tells more.

    Args:
        executors: The executors, one or more. The label ``executor`` is their ``name``.

    Raises:
        ValueError: There is no executor, or two of them have the same name.
    """

    def __init__(self, *executors: Executor) -> None:
        names = [executor.name for executor in executors]
        if not executors:
            raise ValueError("PrometheusCollector() needs an executor")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two executors have the name {name!r}: pass name= to Executor")
        self._sources = [_Source(executor) for executor in executors]

    def close(self) -> None:
        """Count no more durations. Idempotent. The collector can still be read: unregister it first."""
        for source in self._sources:
            source.durations.end()

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values, so that a registry can see which names are taken."""
        return _families().values()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. O(kinds + limits), plus the cost of ``statistics()`` once a second."""
        families = _families()
        for source in self._sources:
            source.fill(families)
        yield from families.values()


class _Source:
    """What is collected of one executor."""

    def __init__(self, executor: Executor) -> None:
        self.durations = Durations(executor)
        self._executor = executor
        self._name = executor.name
        self._statistics: Statistics | None = None
        self._known_at = 0.0

    def fill(self, families: dict[str, Any]) -> None:
        """Add the values to the metrics."""
        self._fill_counts(families)
        self._fill_durations(families)
        if (statistics := self._snapshot()) is not None:
            self._fill_statistics(families, statistics)
        link = self._executor._parts.link
        if link is not None:
            writer = None if link.session is None else link.session.writer
            has_trouble = writer is not None and writer.trouble is not None
            families["journal_trouble"].add_metric([self._name], float(has_trouble))

    def _fill_counts(self, families: dict[str, Any]) -> None:
        parts = self._executor._parts
        counts, removed = parts.index.counts(), parts.retention.removed
        for status in (PENDING, PROCESSING):
            families["events"].add_metric([self._name, status.value], counts[status])
        for status in EventStatus:
            if status in TERMINAL:
                number = counts[status] + removed.get(status, 0)
                families["events_ended"].add_metric([self._name, status.value], number)
        families["paused"].add_metric([self._name], float(self._executor.is_paused))
        families["oldest_pending_seconds"].add_metric([self._name], self._oldest())

    def _oldest(self) -> float:
        """Return for how many seconds the event that came first has been pending, by the wall clock."""
        parts = self._executor._parts
        try:
            first = parts.index.items.get(parts.index.progression(PENDING)[0], None)
        except IndexError:
            return 0.0
        queued_at = None if first is None else first.execution.queued_at
        return 0.0 if queued_at is None else max((wall_clock.now() - queued_at).total_seconds(), 0.0)

    def _fill_durations(self, families: dict[str, Any]) -> None:
        durations, name = self.durations, self._name
        for (kind, reason), number in tuple(durations.repeated.items()):
            families["attempts_repeated"].add_metric([name, kind, reason], number)
        for kind, waits in tuple(durations.waits.items()):
            families["event_wait_seconds"].add_metric([name, kind], *_buckets(waits))
        for (kind, outcome), runs in tuple(durations.runs.items()):
            families["event_run_seconds"].add_metric([name, kind, outcome], *_buckets(runs))

    def _snapshot(self) -> Statistics | None:
        """Return the statistics, at most a second old. None in another thread than that of the event loop."""
        if self.durations.thread != get_ident():
            return None
        now = monotonic()
        if self._statistics is None or now - self._known_at >= GOOD_FOR:
            try:
                self._statistics, self._known_at = self._executor.statistics(), now
            except RuntimeError:  # no event loop runs
                return None
        return self._statistics

    def _fill_statistics(self, families: dict[str, Any], statistics: Statistics) -> None:
        name = self._name
        for reason, number in statistics.waits.items():
            families["pending"].add_metric([name, reason.value], number)
        families["slots"].add_metric([name], statistics.concurrency_limit)
        families["slots_used"].add_metric([name], statistics.running)
        families["queue_size"].add_metric([name], statistics.queued)
        uses: dict[str, list[LimitUse]] = {}
        for use in statistics.limits:
            uses.setdefault(use.limit.name or repr(use.limit), []).append(use)
        for limit, found in uses.items():
            ratios = [use.used / use.amount if use.amount else 1.0 for use in found]
            families["limit_used_ratio_max"].add_metric([name, limit], max(ratios))
            families["limit_keys"].add_metric([name, limit], len(found))
            families["limit_full_keys"].add_metric([name, limit], sum(ratio >= 1.0 for ratio in ratios))


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulated buckets of a histogram, and the sum."""
    return list(zip(_BOUNDS, map(float, accumulate(tuple(histogram.counts))), strict=True)), histogram.total


def _families() -> dict[str, Any]:
    """Return the metrics without values."""
    gauges = {
        "events": ("Events that have not ended, by status.", ["status"]),
        "pending": ("Pending events by what they wait for.", ["reason"]),
        "oldest_pending_seconds": ("How long the event that came first has been pending.", []),
        "slots": ("How many events may run.", []),
        "slots_used": ("How many of the slots are used.", []),
        "queue_size": ("Events in the queue.", []),
        "limit_used_ratio_max": ("The used part of a limit, of the key that uses most of it.", ["limit"]),
        "limit_keys": ("Keys that use something of a limit.", ["limit"]),
        "limit_full_keys": ("Keys that have used up a limit.", ["limit"]),
        "paused": ("Whether the executor is paused.", []),
        "journal_trouble": ("Whether the journal cannot be written.", []),
    }
    made: dict[str, Any] = {
        name: GaugeMetricFamily(f"lionpride_{name}", text, labels=["executor", *labels])
        for name, (text, labels) in gauges.items()
    }
    ended = ("lionpride_events_ended", "Events that have ended, by status.")
    made["events_ended"] = CounterMetricFamily(*ended, labels=["executor", "status"])
    repeated = ("lionpride_attempts_repeated", "Runs that were followed by another run of the event.")
    made["attempts_repeated"] = CounterMetricFamily(*repeated, labels=["executor", "kind", "reason"])
    waits = ("lionpride_event_wait_seconds", "How long events were pending before a run.")
    made["event_wait_seconds"] = HistogramMetricFamily(*waits, labels=["executor", "kind"])
    runs = ("lionpride_event_run_seconds", "How long runs took.")
    made["event_run_seconds"] = HistogramMetricFamily(*runs, labels=["executor", "kind", "outcome"])
    return made


publish_classes(PrometheusCollector)
