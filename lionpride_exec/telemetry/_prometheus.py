"""
Metrics for Prometheus, by a collector of our own.

A metric object of ``prometheus_client`` costs a microsecond and more for each label that is looked up. So counts are
read when they are collected, and only durations are counted inside the transitions, in rows of plain integers.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._executor.telemetry_access import TelemetryAccess
from lionpride_exec._status import COMPLETED

from ._durations import BUCKETS, Durations, Histogram, OfKind
from ._figures import METRICS, Figures
from ._words import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lionpride_exec._executor.executor import Executor

_BOUNDS: Final = (*(str(bound) for bound in BUCKETS), "+Inf")

# The labels of the semantic conventions for messaging.
_SEMCONV: Final = ("messaging_system", "messaging_operation_name", "messaging_destination_name")


class PrometheusCollector:
    """
    Collects the metrics of executors: ``REGISTRY.register(PrometheusCollector(executor))``.

    Use one collector for all executors of a registry, since a metric must be listed once. It counts durations from its
    construction on.

    A collection costs some 100 microseconds, and some milliseconds with thousands of keys of limits. It may be made in
    any thread, as ``start_http_server()`` does. What events wait for and how far the limits are used are read in the
    event loop once a second at most; another thread waits up to 0.1 s for that. If the event loop is busy for longer,
    these metrics are those of the last time, or are left out.

    Args:
        executors: The executors, one or more. The label ``executor`` is their ``name``.
        semconv: Whether to add ``messaging_process_duration_seconds``, ``messaging_client_sent_messages_total`` and
            ``messaging_client_consumed_messages_total``: names of OpenTelemetry's semantic conventions for messaging,
            which are not stable yet.

    Raises:
        ValueError: There is no executor, or two of them have the same name.
    """

    def __init__(self, *executors: Executor, semconv: bool = False) -> None:
        names = [executor.name for executor in executors]
        if not executors:
            raise ValueError("PrometheusCollector() needs an executor")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two executors have the name {name!r}: pass name= to Executor")
        self._semconv = semconv
        self._sources: list[Figures] = []
        for executor in executors:
            access, durations = TelemetryAccess(executor), Durations(lambda *_: Histogram(), Histogram())
            durations.begin(access, counts_entries=semconv)
            self._sources.append(Figures(access, durations))

    def close(self) -> None:
        """Count no more durations. Idempotent. The collector can still be read: unregister it first."""
        for source in self._sources:
            source.durations.end()

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values, so that a registry can see which names are taken."""
        return self._families().values()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. O(kinds + limits), plus the first piece of a survey, some 2 ms at most, once a second."""
        families = self._families()
        for source in self._sources:
            for metric in METRICS:
                for labels, number in metric.read(source):
                    families[metric.name].add_metric([source.name, *labels], number)
            _fill_durations(families, source)
            if self._semconv:
                _fill_semconv(families, source)
        yield from families.values()

    def _families(self) -> dict[str, Any]:
        """Return the metrics without values."""
        made: dict[str, Any] = {}
        for metric in METRICS:
            family = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            made[metric.name] = family(f"lionpride_{metric.name}", metric.text, labels=["executor", *metric.labels])
        for name, text, own in _HISTOGRAMS:
            made[name] = HistogramMetricFamily(f"lionpride_{name}", text, labels=["executor", *own])
        if self._semconv:
            labels = ["executor", *_SEMCONV]
            for name in ("sent", "consumed"):
                made[name] = CounterMetricFamily(
                    f"messaging_client_{name}_messages", f"Messages that were {name}.", labels=labels
                )
            made["process"] = HistogramMetricFamily(
                "messaging_process_duration_seconds", "How long runs took.", labels=[*labels, "error_type"]
            )
        return made


_HISTOGRAMS: Final = (
    ("event_wait_seconds", "How long events were pending before a run.", ("kind",)),
    ("event_run_seconds", "How long runs took.", ("kind", "outcome")),
    ("journal_commit_seconds", "How long commits of the journal took.", ()),
)


def _fill_durations(families: dict[str, Any], source: Figures) -> None:
    name, durations = source.name, source.durations
    for counted in durations.kinds():
        if any(counted.waits.counts):
            families["event_wait_seconds"].add_metric([name, counted.kind], *_buckets(counted.waits))
        for outcome, runs in _runs(counted):
            families["event_run_seconds"].add_metric([name, counted.kind, outcome], *_buckets(runs))
    if source.access.journal() is not None:
        families["journal_commit_seconds"].add_metric([name], *_buckets(durations.commits))


def _fill_semconv(families: dict[str, Any], source: Figures) -> None:
    name = source.name
    for counted in source.durations.kinds():
        families["sent"].add_metric([name, LIBRARY, "append", counted.kind], counted.sent)
        families["consumed"].add_metric([name, LIBRARY, "run", counted.kind], counted.consumed)
        for outcome, runs in _runs(counted):
            labels = [name, LIBRARY, "run", counted.kind, "" if outcome == COMPLETED else outcome]
            families["process"].add_metric(labels, *_buckets(runs))


def _runs(counted: OfKind[Histogram]) -> Iterator[tuple[str, Histogram]]:
    """Yield how long runs took, by outcome."""
    if any(counted.completed.counts):
        yield COMPLETED.value, counted.completed
    yield from tuple(counted.others.items())


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulated buckets of a histogram, and the sum."""
    return list(zip(_BOUNDS, map(float, accumulate(tuple(histogram.counts))), strict=True)), histogram.total


publish_classes(PrometheusCollector)
