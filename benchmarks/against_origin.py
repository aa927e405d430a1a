"""
What does an event cost against ``lionpride``, the package that this one descends from?

16 000 no-op events (its cost per event grows with their number). The target is 1/40.
"""

import sys

from _harness import Benchmark, judged, per_event
from _rivals import origin, ours


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("lionpride", "trio", "uvloop"))
    n = 2_000 if benchmark.quick else 16_000
    for backend in benchmark.backends:
        ratios = benchmark.race(
            f"{backend}: time per event, n = {n:,}",
            {
                "lionpride_exec": per_event(backend, ours, n),
                "lionpride": per_event(backend, origin, n),
            },
            rounds=1 if benchmark.quick else 3,
            baseline="lionpride",
        )
        counts = judged(backend) and not benchmark.quick
        benchmark.target("lionpride_exec", ratios["lionpride_exec"], 1 / 40, counts=counts)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
