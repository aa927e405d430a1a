"""
What does ``lionpride-exec run --journal`` cost for a line, beside the same command without a journal?

50,000 lines of 90 bytes, for each of which a function is called that does nothing. Whole processes in turn, their start
included. CPU time is that of all threads of a process. Lines a second go by the clock: on a busy machine they are too
few. What a line takes on disk is the size of the journal's files after the end. The targets are 2.0 times the CPU time,
10,000 lines a second and 450 bytes.
"""

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from _harness import Benchmark
from _processes import COMMAND, Taken, measured
from _targets import Spread

LINE = 90  # bytes, without the end of the line
FUNCTION = "async def nothing(record):\n    return None\n"


def write_input(directory: Path, n: int) -> None:
    """Write the function and n lines of 90 bytes each."""
    (directory / "target.py").write_text(FUNCTION, "utf-8")
    with (directory / "input.jsonl").open("w", encoding="utf-8") as file:
        for number in range(n):
            bare = len(json.dumps({"n": number, "text": ""}))
            file.write(json.dumps({"n": number, "text": "x" * (LINE - bare)}) + "\n")


class Lines:
    """Runs the command over the lines, and keeps what each run takes."""

    def __init__(self, directory: Path, n: int) -> None:
        self._directory = directory
        self._n = n
        self.taken: dict[str, list[Taken]] = {}
        self.sizes: list[float] = []

    def once(self, name: str, *options: str) -> float:
        """Run the command, and return the CPU time for each line in microseconds."""
        work = self._directory / "work"
        work.mkdir()
        arguments = [COMMAND, "run", "../target.py:nothing", "../input.jsonl", "--output", "out.jsonl", "--quiet"]
        taken = measured([*arguments, *options], work)
        lines = (work / "out.jsonl").read_bytes().count(b"\n")
        assert lines == self._n, f"{lines:,} results for {self._n:,} lines"
        self.taken.setdefault(name, []).append(taken)
        if options:
            self.sizes.append(sum(path.stat().st_size for path in work.glob("run.db*")) / self._n)
        shutil.rmtree(work)
        return taken.cpu / self._n * 1e6


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("msgspec", "cyclopts"), ())
    n = 5_000 if benchmark.quick else 50_000
    with TemporaryDirectory(prefix="lines-") as directory:
        write_input(Path(directory), n)
        lines = Lines(Path(directory), n)
        runs = {
            "without": partial(lines.once, "without"),
            "--journal": partial(lines.once, "--journal", "--journal", "run.db"),
        }
        race = benchmark.race(
            f"CPU time per line, n = {n:,}", runs, rounds=3 if benchmark.quick else 7, baseline="without"
        )
    for name, its in lines.taken.items():
        print(f"  {name}: {Spread.of(n / one.wall for one in its).middle:,.0f} lines a second")
    benchmark.judge("lines-cpu", race.ratio("--journal"))
    benchmark.judge("lines-rate", Spread.of(n / one.wall for one in lines.taken["--journal"]))
    if not benchmark.quick:  # the first pages of a file weigh too much among few lines
        benchmark.judge("disk", Spread.of(lines.sizes))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
