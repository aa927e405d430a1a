"""
What does ``lionpride-exec run --journal`` cost for each line, beside the same run without a journal?

Lines of 90 bytes, and a function that does nothing. CPU of all threads: at most 2 times as much. At least 10,000 lines
a second, and at most 450 bytes of the journal for each.

The files are in the directory for temporary files (``TMPDIR``): with FULL the run is as fast as that disk is.
"""

import json
import sys
import time
from contextlib import chdir
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from _harness import Benchmark, collected, judged

from lionpride_exec._cli.run.command import run
from lionpride_exec._cli.run.options import RunOptions

TARGET = "async def noop(record):\n    pass\n"


def lines(n: int) -> str:
    """Give n records of 90 bytes or a little more."""
    return "".join(json.dumps({"a": number, "b": "x" * 66, "c": number % 7}) + "\n" for number in range(n))


class Runs:
    """Runs the command over n lines, and keeps what each run took."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.walls: list[float] = []  # seconds for a line with a journal
        self.sizes: list[float] = []  # bytes of the journal for a line

    def cpu(self, backend: Any, journal: str | None) -> float:
        """Give the microseconds of CPU that a line takes."""
        with TemporaryDirectory(prefix="command-") as place, chdir(place), collected():
            Path("target.py").write_text(TARGET, "utf-8")
            Path("input").write_text(lines(self.n), "utf-8")
            options = RunOptions(output="output", journal=journal, progress="none", quiet=True, backend=backend)
            wall, cpu = time.perf_counter(), time.process_time()
            status = run("target.py:noop", "input", options)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            assert status == 0
            if journal is not None:
                self.walls.append(wall / self.n)
                self.sizes.append(Path(journal).stat().st_size / self.n)
        return cpu / self.n * 1e6


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop", "msgspec"))
    for backend in benchmark.backends:
        runs = Runs(5_000 if benchmark.quick else 50_000)
        ratios = benchmark.race(
            f"{backend}: CPU of a line, n = {runs.n:,}",
            {"without": partial(runs.cpu, backend, None), "--journal": partial(runs.cpu, backend, "run.db")},
            rounds=3 if benchmark.quick else 7,
            baseline="without",
        )
        benchmark.target("CPU with a journal", ratios["--journal"], 2.0, counts=judged(backend))
        benchmark.target("time for a line", median(runs.walls) * 1e6, 100, unit="us", counts=judged(backend))
        benchmark.target("bytes of the journal for a line", median(runs.sizes), 450, unit="B", counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
