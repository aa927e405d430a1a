"""
What does a record cost ``lionpride-exec run`` in another format than JSON lines?

200,000 records with four fields, for each of which a function is called that does nothing, and whose annotation says
that two of the fields are numbers. Whole processes in turn, their start included. CPU time is that of all threads of a
process. Peak memory is that of the process over CSV, 1,000,000 rows beside 100,000.
"""

import csv
import gzip
import json
import os
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from _harness import Benchmark
from _processes import COMMAND, measured, used
from _targets import Spread

TARGET = """
from typing import TypedDict

class Row(TypedDict):
    id: int
    name: str
    text: str
    score: float

async def nothing(record: Row):
    return None
"""
FORMATS = ("jsonl", "csv", "json", "jsonl.gz")
FIELDS = ("id", "name", "text", "score")


def write_table(path: Path, n: int) -> None:
    """Write n records as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        writer.writerows((number, f"user {number}", "x" * 50, number / 7) for number in range(n))


def write_inputs(directory: Path, n: int) -> None:
    """Write n records in each format."""
    write_table(directory / "in.csv", n)
    with (directory / "in.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            {"id": int(row[0]), "name": row[1], "text": row[2], "score": float(row[3])}
            for row in islice(csv.reader(file), 1, None)
        ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (directory / "in.jsonl").write_text(lines, "utf-8")
    (directory / "in.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 6))
    (directory / "in.json").write_text(json.dumps(rows, indent=1), "utf-8")


def arguments(source: str) -> list[str]:
    """Return the command over one file."""
    return [COMMAND, "run", "target.py:nothing", source, "--output", os.devnull, "--overwrite", "--quiet"]


def cpu(directory: Path, n: int, kind: str) -> float:
    """Run the command over a format, and return the CPU time for each record in microseconds."""
    return measured(arguments(f"in.{kind}"), directory).cpu / n * 1e6


def peak(directory: Path, n: int) -> float:
    """Run the command over n rows, and return the peak of its memory in MiB."""
    write_table(directory / "rows.csv", n)
    return used(arguments("rows.csv"), directory).peak


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("cyclopts",), ())
    n = 20_000 if benchmark.quick else 200_000
    with TemporaryDirectory(prefix="inputs-") as name:
        directory = Path(name)
        (directory / "target.py").write_text(TARGET, "utf-8")
        # First: a new process begins with the peak of the one that starts it.
        if benchmark.wants("inputs-memory") and not benchmark.quick:
            small, large = peak(directory, 100_000), peak(directory, 1_000_000)
            print(f"  peak memory: {small:.1f} MiB for 100,000 rows, {large:.1f} MiB for 1,000,000")
            benchmark.judge("inputs-memory", Spread.of([large / small]))
        if benchmark.wants("inputs"):
            write_inputs(directory, n)
            runs = {kind: partial(cpu, directory, n, kind) for kind in FORMATS}
            rounds = benchmark.rounds(7)
            race = benchmark.race(f"CPU time per record, n = {n:,}", runs, rounds=rounds, baseline="jsonl")
            benchmark.judge("inputs", max((race.ratio(kind) for kind in FORMATS[1:]), key=lambda ratio: ratio.middle))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
