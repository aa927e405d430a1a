"""
How many Python calls of our own does a no-op event take?

Counted, not timed, so the figure is exact on a busy machine too. ``tests/executor/test_call_count.py`` holds it. The
target is 55.
"""

import sys

from _calls import AT_ONCE, count_calls
from _harness import Benchmark
from _targets import Spread


def main() -> int:
    """Count and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    print(f"\ncalls for an event, {AT_ONCE} at once")
    for backend in benchmark.backends:
        benchmark.judge("calls", Spread.of([count_calls(backend) / AT_ONCE]), backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
