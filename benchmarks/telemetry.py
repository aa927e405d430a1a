"""
What do traces and metrics add to the cost of an event?

Append and full life of no-op events, with and without. CPU time, per event, as the difference from an executor that
nobody observes, of the same round. The targets: without an SDK 3.5 us, sampled out 13 us, with spans in memory 45 us,
with metrics 4 us.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from _harness import Benchmark, judged, per_event
from _rivals import Noop, NoopExecutor, make_executor, ours
from _targets import Spread
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from lionpride_exec.telemetry import PrometheusCollector, instrument

TARGETS = {"no SDK": 3.5, "sampled out": 13.0, "spans": 45.0, "metrics": 4.0}


def observed(attach: Callable[[NoopExecutor], Any]) -> Callable[[int], Awaitable[None]]:
    """Return a function that runs n events in an executor, to which something was attached."""

    async def run_all(n: int) -> None:
        executor = make_executor()
        attach(executor)
        async with executor:
            for number in range(n):
                await executor.append(Noop(a=number), wait=True)
        assert executor.status_counts()["completed"] == n

    return run_all


def with_spans(executor: NoopExecutor) -> None:
    """Keep the spans in memory."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    instrument(executor, tracer_provider=provider)


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("opentelemetry-api", "opentelemetry-sdk", "prometheus-client"))
    n = 2_000 if benchmark.quick else 8_000
    sampled_out = TracerProvider(sampler=ALWAYS_OFF)
    rivals: dict[str, Callable[[int], Awaitable[Any]]] = {
        "nothing": ours,
        "no SDK": observed(instrument),
        "sampled out": observed(lambda executor: instrument(executor, tracer_provider=sampled_out)),
        "spans": observed(with_spans),
        "metrics": observed(PrometheusCollector),
    }
    for backend in benchmark.backends:
        race = benchmark.race(
            f"{backend}: CPU time per event, n = {n:,}",
            {name: per_event(backend, function, n) for name, function in rivals.items()},
            rounds=3 if benchmark.quick else 9,
            baseline="nothing",
        )
        for name, target in TARGETS.items():
            added = Spread.of(one - base for one, base in zip(race.figures[name], race.figures["nothing"], strict=True))
            benchmark.target(f"{backend}: added by {name}", added.middle, target, unit="us", counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
