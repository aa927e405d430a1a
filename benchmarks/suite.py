"""
How long does the test suite take on two cores?

One run of all tests, with two worker processes if ``pytest-xdist`` is installed, by the clock: on a busy machine it
takes longer. The tests have to pass. The target is 2.5 minutes. Not with ``--quick``.
"""

import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from _harness import Benchmark
from _targets import Spread


def main() -> int:
    """Run the tests and judge."""
    benchmark = Benchmark(__doc__, ("pytest", "pytest-xdist"), ())
    if benchmark.quick:
        print("not with --quick")
        return benchmark.end()
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", *(("-n", "2") if find_spec("xdist") else ())]
    status = subprocess.call(command, cwd=Path(__file__).parents[1])  # noqa: S603  our own tests
    minutes = (time.perf_counter() - began) / 60
    benchmark.target("exit status of the tests", status, 0, unit="")
    if not status:
        benchmark.judge("suite", Spread.of([minutes]))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
