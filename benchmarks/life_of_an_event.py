"""
What does an event cost, from append to COMPLETED, against rivals that run a task per item and track nothing?

20 000 no-op events, at most 100 at once. The target is 0.6 times a task group with a limiter, on asyncio and
trio.
"""

import sys

from _harness import Benchmark, judged, per_event
from _rivals import aiojobs, aiometer, ours, task_group


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("aiometer", "aiojobs", "trio", "uvloop"))
    n = 5_000 if benchmark.quick else 20_000
    for backend in benchmark.backends:
        functions = {"lionpride_exec": ours, "task group": task_group, "aiometer": aiometer}
        if backend != "trio":
            functions["aiojobs"] = aiojobs
        ratios = benchmark.race(
            f"{backend}: time per event, n = {n:,}",
            {name: per_event(backend, function, n) for name, function in functions.items()},
            rounds=3 if benchmark.quick else 9,
            baseline="task group",
        )
        benchmark.target("lionpride_exec", ratios["lionpride_exec"], 0.6, counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
