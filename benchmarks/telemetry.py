"""
What do traces, metrics and logs add to the cost of an event, and how long does a scrape stop the event loop?

Append and full life of no-op events, with and without. CPU time, per event, as the difference from an executor that
nobody observes, of the same round. The targets: without an SDK 3.5 us, sampled out 13 us, with spans in memory 45 us,
with metrics 4 us, with lines in the log that no handler wants 1 us for both transitions of an event.

Then the metrics are collected with 100,000 pending events of 10,000 keys: the longest of 20 collections, and the
longest time in which another task could not run meanwhile. CPU time without the
garbage collector; the target for both is 5 ms.
"""

import gc
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
from _harness import Benchmark, judged, per_event, run
from _rivals import Noop, NoopExecutor, make_executor, ours
from _targets import Spread
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry, generate_latest

from lionpride_exec import Concurrent, Event, Executor
from lionpride_exec.telemetry import PrometheusCollector, instrument, log_transitions

TARGETS = {"no SDK": 3.5, "sampled out": 13.0, "spans": 45.0, "metrics": 4.0, "log": 1.0}

# Milliseconds that a collection may take, and stop the event loop.
SCRAPE = 5.0


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


class Keyed(Event):
    """An event that runs as long as the measurement."""

    key: int = 0

    async def _invoke(self) -> None:
        await anyio.sleep_forever()


async def scrapes(pending: int, keys: int, worst: dict[str, float]) -> float:
    """
    Measure collections beside many pending events. Return the longest time that one took, in milliseconds.

    Args:
        pending: How many events are pending.
        keys: How many keys they have. As many events run.
        worst: Gets that time, and the longest time for which the event loop was stopped meanwhile.
    """
    limits = [Concurrent(1, key=lambda event: event.key, name="per key")]
    executor = Executor.of(Keyed, limits=limits, concurrency_limit=keys, max_queue_size=2 * pending)
    registry = CollectorRegistry(auto_describe=True)
    registry.register(PrometheusCollector(executor))
    took = stop = 0.0  # no lists: their growth would be measured too
    text = b""
    async with anyio.create_task_group() as group:
        await group.start(executor.run)
        await executor.extend([Keyed(key=number % keys) for number in range(pending + keys)], priority=0)
        while executor.status_counts()["processing"] < keys:  # noqa: ASYNC110  nothing tells of that
            await anyio.sleep(0.01)
        executor.statistics()  # sorts in what has just come
        gc.disable()  # a full collection of these events stops the event loop for longer than what is measured
        for _ in range(20):
            began = time.process_time()
            text = generate_latest(registry)
            took = max(took, time.process_time() - began)
            until = time.monotonic() + 1.1  # a survey is good for a second
            while time.monotonic() < until:
                began = time.process_time()
                await anyio.lowlevel.checkpoint()
                stop = max(stop, time.process_time() - began)
        gc.enable()
        assert f'lionpride_pending{{executor="Keyed",reason="limit"}} {float(pending)}' in text.decode()
        for event in executor.page("pending", limit=pending) + executor.page("processing", limit=keys):
            executor.cancel(event)
        await executor.stop()
    worst |= {"a collection": 1e3 * took, "a stop of the event loop": 1e3 * stop}
    return worst["a collection"]


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
        "log": observed(log_transitions),
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
        pending, keys = (10_000, 1_000) if benchmark.quick else (100_000, 10_000)
        worst: dict[str, float] = {}
        run(backend, scrapes, pending, keys, worst)
        of = f"{pending:,} pending events of {keys:,} keys"
        for what, took in worst.items():
            benchmark.target(f"{backend}: {what}, {of}", took, SCRAPE, unit="ms", counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
