"""
What does an event cost, from append to COMPLETED, against rivals that run a task per item and track nothing?

No-op events, at most 100 at once: 1,000, 20,000 and 200,000 of them, each appended by itself, beside ``run_on_each()``
of aiometer. The same for ``executor.map()`` beside ``amap()`` of aiometer, with all results awaited and added up. And
100 events beside 20,000, with the start and the end of the executor. At 20,000 a task group with a limiter runs too:
the target beside it is 0.6. CPU time.
"""

import sys

from _harness import Benchmark, judged, per_event
from _rivals import aiojobs, aiometer, amap, extended, mapped, ours, task_group

EVENTS_IN_A_ROUND = 20_000  # of small numbers of events, as many runs as make this number


def repeats(n: int) -> int:
    """Return how often n events are run in a round."""
    return max(1, EVENTS_IN_A_ROUND // n)


def life(benchmark: Benchmark, backend: str, row: str, n: int) -> None:
    """Measure an event of ours beside a call of aiometer; at 20,000, without ``--only``, beside other rivals too."""
    functions = {"append()": ours, "aiometer": aiometer}
    with_others = row == "life-20k" and benchmark.wants()
    if with_others:
        functions |= {"extend()": extended, "task group": task_group}
        functions |= {} if backend == "trio" else {"aiojobs": aiojobs}
    race = benchmark.race(
        f"{backend}: CPU time per event, n = {n:,}",
        {name: per_event(backend, function, n, repeats=repeats(n)) for name, function in functions.items()},
        rounds=3 if benchmark.quick else 9,
        baseline="aiometer",
    )
    benchmark.judge(row, race.ratio("append()"), backend)
    if with_others:
        ratio = race.ratio("append()", "task group").middle
        benchmark.target("append() / task group", ratio, 0.6, counts=judged(backend))


def results_of_a_map(benchmark: Benchmark, backend: str, row: str, n: int) -> None:
    """Measure ``map()`` beside ``amap()``."""
    race = benchmark.race(
        f"{backend}: CPU time per item of a map, results wanted, n = {n:,}",
        {
            "map()": per_event(backend, mapped, n, repeats=repeats(n)),
            "aiometer amap()": per_event(backend, amap, n, repeats=repeats(n)),
        },
        rounds=3 if benchmark.quick else 9,
        baseline="aiometer amap()",
    )
    benchmark.judge(row, race.ratio("map()"), backend)


def short_run(benchmark: Benchmark, backend: str) -> None:
    """Measure 100 events beside 20,000."""
    few, many = 100, 20_000
    race = benchmark.race(
        f"{backend}: CPU time per event, start and end of the executor included",
        {f"n = {n:,}": per_event(backend, ours, n, repeats=repeats(n)) for n in (few, many)},
        rounds=3 if benchmark.quick else 9,
        baseline=f"n = {many:,}",
    )
    benchmark.judge("short-run", race.ratio(f"n = {few:,}"), backend)


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("aiometer", "aiojobs", "trio", "uvloop"), needs=("aiometer", "aiojobs"))
    for backend in benchmark.backends:
        for name, n in (("1k", 1_000), ("20k", 20_000), ("200k", 200_000)):
            if benchmark.quick and n > EVENTS_IN_A_ROUND and not benchmark.options.only:
                continue
            if benchmark.wants(f"life-{name}"):
                life(benchmark, backend, f"life-{name}", n)
            if benchmark.wants(f"map-{name}"):
                results_of_a_map(benchmark, backend, f"map-{name}", n)
        if benchmark.wants("short-run"):
            short_run(benchmark, backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
