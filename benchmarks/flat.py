"""
Does an event cost the same among a million as among ten thousand?

Append and full life of no-op events, all of them kept. CPU time. The target is 1.10 times the cost at 10,000.
"""

import sys

from _harness import Benchmark, per_event
from _rivals import ours


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    few, many = 10_000, 100_000 if benchmark.quick else 1_000_000
    for backend in benchmark.backends:
        race = benchmark.race(
            f"{backend}: CPU time per event",
            {
                f"n = {few:,}": per_event(backend, ours, few, repeats=10),
                f"n = {many:,}": per_event(backend, ours, many),
            },
            rounds=3 if benchmark.quick else 7,
            baseline=f"n = {few:,}",
        )
        benchmark.judge("flat", race.ratio(f"n = {many:,}"), backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
