"""
What does it cost to import the package, and to start the command?

Processes of their own, in turn. The import is measured inside its process, in CPU time, without the start of Python,
beside ``import anyio, attrs, asyncio``: the target is 1.6 times that. ``lionpride-exec run`` over one line is measured
by the clock, beside ``python -c pass``: the target is 8 times that.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from _harness import Benchmark
from _processes import COMMAND, measured, output

IMPORT = """
import time
began = time.process_time()
import {names}
print(time.process_time() - began)
"""


def import_time(names: str) -> float:
    """Import modules in a new process, and return the CPU time of that in milliseconds."""
    return float(output([sys.executable, "-c", IMPORT.format(names=names)])) * 1e3


def wall_time(arguments: Sequence[str], directory: Path) -> float:
    """Run a program, and return the time by the clock in milliseconds."""
    return measured(arguments, directory).wall * 1e3


def imports(benchmark: Benchmark) -> None:
    """Measure the import of the package beside that of what it depends on."""
    import_time("lionpride_exec")  # compiles what has changed
    race = benchmark.race(
        "CPU time of an import",
        {name: partial(import_time, name) for name in ("lionpride_exec", "anyio, attrs, asyncio")},
        rounds=7 if benchmark.quick else 21,
        baseline="anyio, attrs, asyncio",
        unit="ms CPU",
    )
    benchmark.judge("import", race.ratio("lionpride_exec"))


def command(benchmark: Benchmark) -> None:
    """Measure the command over one line beside a Python that does nothing."""
    with TemporaryDirectory(prefix="start-") as name:
        directory = Path(name)
        (directory / "target.py").write_text("async def nothing(record):\n    return None\n", "utf-8")
        (directory / "input.jsonl").write_text('{"n": 1}\n', "utf-8")
        programs = {
            "lionpride-exec run": [COMMAND, "run", "target.py:nothing", "input.jsonl", "--quiet"],
            "python -c pass": [sys.executable, "-c", "pass"],
        }
        for its in programs.values():
            output(its, directory)  # compiles what has changed
        race = benchmark.race(
            "time of a process",
            {name: partial(wall_time, its, directory) for name, its in programs.items()},
            rounds=7 if benchmark.quick else 21,
            baseline="python -c pass",
            unit="ms",
        )
    benchmark.judge("command", race.ratio("lionpride-exec run"))


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("attrs", "cyclopts"), ())
    if benchmark.wants("import"):
        imports(benchmark)
    if benchmark.wants("command"):
        command(benchmark)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
