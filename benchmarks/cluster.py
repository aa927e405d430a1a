"""
Does the cluster keep its promises when things break, how exact are its limits, and how fast is it?

Each measurement starts a server of its own and workers in processes of their own. The workers are killed, stopped and
cut off. At the end of the run, the table has a row for each figure. Without rows, all of them are measured, which takes
half an hour.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio
from _cluster_bench import ClusterBenchmark
from _cluster_costs import acquire, memory, submit
from _cluster_crashes import kills, mixed_deaths, redelivery, redelivery_behind, stall, stop
from _cluster_latency import cancel_running, cancel_waiting, delay, idle
from _cluster_limits import concurrent, concurrent_back, hot, rate, rates
from _cluster_outages import cancelled, cuts, full, outage, restart
from _cluster_speed import four_workers, one_worker
from _cluster_stage import GaveUp
from _cluster_targets import ROWS
from _harness import BACKENDS, load_average
from _targets import ALL, BOTH, NO_LOOP, chosen, table

from lionpride_exec._base.exception_groups import leaves


class Measurement(NamedTuple):
    """
    A function that measures some rows.

    Attributes:
        rows: The names of the rows.
        measure: The function. It gets the benchmark and the backend of the client.
        backends: The backends that it is called for. "" if the backend makes no difference.
    """

    rows: tuple[str, ...]
    measure: Callable[[ClusterBenchmark, str], Awaitable[None]]
    backends: tuple[str, ...] = BOTH


MEASUREMENTS = [
    Measurement(("kills-wrong", "kills-again"), kills),
    Measurement(("deaths-wrong", "deaths-again"), mixed_deaths),
    Measurement(("redelivery",), redelivery),
    Measurement(("redelivery-behind",), redelivery_behind),
    Measurement(("stall-wrong",), stall),
    Measurement(("stop", "stop-attempt"), stop),
    Measurement(("restart-wrong",), restart),
    Measurement(("outage", "outage-wrong"), outage),
    Measurement(("full-wrong", "full-refused"), full),
    Measurement(("cuts-wrong", "cuts-again"), cuts),
    Measurement(("cancelled-raised", "cancelled-wrong"), cancelled),
    Measurement(("cancel-waiting",), cancel_waiting),
    Measurement(("cancel-running",), cancel_running),
    Measurement(("delay-p50", "delay-max"), delay),
    Measurement(("idle-p50", "idle-p99"), idle),
    Measurement(("rate-most", "rate-workers", "rate-use"), rate, NO_LOOP),
    Measurement(("rates-most", "rates-workers", "rates-use"), rates, NO_LOOP),
    Measurement(("concurrent-most", "concurrent-use"), concurrent, NO_LOOP),
    Measurement(("concurrent-back", "concurrent-killed"), concurrent_back, NO_LOOP),
    Measurement(("hot-last", "hot-most"), hot, NO_LOOP),
    Measurement(("acquire-alone", "acquire-together", "acquire-server"), acquire, ALL),
    Measurement(("one-worker", "one-worker-trio", "cpu"), one_worker, ALL),
    Measurement(("raw", "streaq"), four_workers, NO_LOOP),
    Measurement(("submit",), submit, ALL),
    Measurement(("memory-queued", "memory-finished"), memory, NO_LOOP),
]


def run(bench: ClusterBenchmark, one: Measurement, backend: str) -> None:
    """Measure on a backend. What goes wrong is a missed target."""
    print(f"\n{one.measure.__name__.replace('_', ' ')}{backend and f', {backend}'}; {load_average()}", flush=True)
    name, options = BACKENDS[backend or "asyncio"]
    try:
        anyio.run(one.measure, bench, backend, backend=name, backend_options=options)
    except* GaveUp as group:  # alone, or in the groups of the task groups that it came through
        for error in leaves(group):
            print(f"  MISSED: {error}")
        bench.holds = False


def main() -> int:
    """Measure, print the table, and judge."""
    bench = ClusterBenchmark(__doc__)
    for one in MEASUREMENTS:
        if bench.wants(*one.rows):
            for backend in one.backends:
                if not backend or backend in bench.backends:
                    run(bench, one, backend)
    rows = chosen(bench.options.only, ROWS)
    print("\n".join(["", *table(rows, bench.results)]))
    return bench.end()


if __name__ == "__main__":
    sys.exit(main())
