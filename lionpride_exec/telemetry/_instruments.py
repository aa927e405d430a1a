"""
Metrics by the instruments of OpenTelemetry.

An SDK takes some 5 microseconds to record a duration, so these metrics are made on demand. Counts cost nothing: they
are observable instruments, which read them when they are collected.

An SDK keeps the callbacks of the first instrument of a name only. So the executors of a provider share the instruments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import Observation, get_meter_provider

from lionpride_exec._status import COMPLETED

from ._durations import BUCKETS, Durations
from ._figures import METRICS, Figures
from ._words import LIBRARY, SCHEMA_URL, VERSION, encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider

    from lionpride_exec._executor.telemetry_access import TelemetryAccess

    from ._durations import OfKind
    from ._figures import ReadMetric

# The attributes for the labels of Prometheus. Spans have the same names.
ATTRIBUTES: Final = {
    "status": "lionpride.event.status",
    "kind": "lionpride.event.kind",
    "reason": "lionpride.reason",
    "limit": "lionpride.limit",
}


class Instruments:
    """
    The instruments of one provider.

    Args:
        provider: The provider.
    """

    def __init__(self, provider: MeterProvider) -> None:
        self.meter: Meter = provider.get_meter(LIBRARY, VERSION, SCHEMA_URL)
        self.sources: WeakSet[Figures] = WeakSet()
        self.semconv: WeakSet[Figures] = WeakSet()  # those of the sources that have the names of the conventions too
        self.wait: Histogram = self._histogram("lionpride.event.wait", "How long events were pending before a run.")
        self.run: Histogram = self._histogram("lionpride.event.run", "How long runs took.")
        self.commit: Histogram = self._histogram("lionpride.journal.commit", "How long commits of the journal took.")
        self.process: Histogram | None = None
        for metric in METRICS:
            create = self.meter.create_observable_counter if metric.is_counter else self._observable_gauge
            name = metric.dotted or metric.name.replace("_", ".")
            create(f"lionpride.{name}", [self._reader(metric)], unit=metric.unit, description=metric.text)

    def add(self, figures: Figures, *, semconv: bool) -> None:
        """Show an executor from now on."""
        self.sources.add(figures)
        if semconv:
            self.semconv.add(figures)
            if self.process is None:
                self._add_semconv()

    def _add_semconv(self) -> None:
        self.process = self._histogram("messaging.process.duration", "How long runs took.")
        counts: dict[str, tuple[str, Callable[[OfKind[Any]], int]]] = {
            "sent": ("append", lambda counted: counted.sent),
            "consumed": ("run", lambda counted: counted.consumed),
        }
        for name, (operation, count) in counts.items():
            self.meter.create_observable_counter(
                f"messaging.client.{name}.messages",
                [self._counter(operation, count)],
                unit="{message}",
                description=f"Messages that were {name}.",
            )

    def _histogram(self, name: str, text: str) -> Histogram:
        return self.meter.create_histogram(
            name, unit="s", description=text, explicit_bucket_boundaries_advisory=list(BUCKETS)
        )

    def _observable_gauge(self, *args: Any, **kwargs: Any) -> object:
        return self.meter.create_observable_gauge(*args, **kwargs)

    def _reader(self, metric: ReadMetric) -> Callable[[CallbackOptions], Iterator[Observation]]:
        names = [ATTRIBUTES[label] for label in metric.labels]

        def read(_: CallbackOptions) -> Iterator[Observation]:
            """Read the metric of all executors."""
            for source in tuple(self.sources):
                for labels, number in metric.read(source):
                    attributes = dict(zip(names, labels, strict=True))
                    yield Observation(number, {"lionpride.executor": source.name, **attributes})

        return read

    def _counter(
        self, operation: str, count: Callable[[OfKind[Any]], int]
    ) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def read(_: CallbackOptions) -> Iterator[Observation]:
            """Read a count of the conventions of all executors."""
            for source in tuple(self.semconv):
                for counted in source.durations.kinds():
                    yield Observation(count(counted), _messaging(source.name, operation, counted.kind))

        return read


class Recorded:
    """
    Durations that an SDK counts.

    Args:
        histograms: The instruments, each with the attributes of these durations.
    """

    __slots__ = ("_histograms",)

    def __init__(self, *histograms: tuple[Histogram, dict[str, str]]) -> None:
        self._histograms = histograms

    def add(self, seconds: float) -> None:
        """Count a duration."""
        for histogram, attributes in self._histograms:
            histogram.record(seconds, attributes)


def measure(access: TelemetryAccess, provider: MeterProvider | None, *, semconv: bool) -> Callable[[], None]:
    """
    Make metrics of an executor from now on. Return a function that ends this.

    Args:
        access: The executor.
        provider: The provider of the meter. None for the global one.
        semconv: Whether to use the names of the semantic conventions too.
    """
    provider = provider or get_meter_provider()
    name = encodable(access.name)
    instruments = _instruments.get(provider)
    if instruments is None:
        instruments = _instruments[provider] = Instruments(provider)

    def recorded(kind: str, outcome: str) -> Recorded:
        """Make what durations are added to: of waits without an outcome, of runs with one."""
        attributes = {"lionpride.executor": name, ATTRIBUTES["kind"]: kind}
        if not outcome:
            return Recorded((instruments.wait, attributes))
        attributes[ATTRIBUTES["status"]] = outcome
        if instruments.process is None or not semconv:
            return Recorded((instruments.run, attributes))
        process = _messaging(name, "run", kind)
        if outcome != COMPLETED:
            process["error.type"] = outcome
        return Recorded((instruments.run, attributes), (instruments.process, process))

    durations = Durations(recorded, Recorded((instruments.commit, {"lionpride.executor": name})))
    figures = Figures(access, durations)
    instruments.add(figures, semconv=semconv)
    durations.begin(access, counts_entries=semconv)

    def end() -> None:
        """Make no more metrics. Idempotent."""
        durations.end()
        instruments.sources.discard(figures)
        instruments.semconv.discard(figures)

    return end


_instruments: WeakKeyDictionary[MeterProvider, Instruments] = WeakKeyDictionary()


def _messaging(name: str, operation: str, kind: str) -> dict[str, str]:
    """Return the attributes of the semantic conventions for messaging."""
    return {
        "lionpride.executor": name,
        "messaging.system": LIBRARY,
        "messaging.operation.name": operation,
        "messaging.destination.name": kind,
    }
