"""
What does an event cost against ``lionpride``, the package that this one descends from?

16,000 no-op events (its cost per event grows with their number). CPU time. The target is 1/50.
"""

import sys

from _harness import Benchmark, per_event
from _rivals import origin, ours


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("lionpride", "trio", "uvloop"), needs=("lionpride",))
    n = 2_000 if benchmark.quick else 16_000
    for backend in benchmark.backends:
        race = benchmark.race(
            f"{backend}: CPU time per event, n = {n:,}",
            {
                "lionpride_exec": per_event(backend, ours, n),
                "lionpride": per_event(backend, origin, n),
            },
            rounds=3 if benchmark.quick else 7,
            baseline="lionpride",
        )
        benchmark.judge("origin", race.ratio("lionpride_exec"), backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
