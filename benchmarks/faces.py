"""
What does it cost to look at a run of 1,000,000 events, in the report and on other pages?

The report is written by a process of its own, from its start to its end: CPU time, peak of its memory, and the size of
the page. Journals of 5,000 and 100,000 events are shown beside. ``top`` runs on a terminal, beside a run on trio that
writes 500 events a second: its part of a core. The journals are in the directory for temporary files (``TMPDIR``), and
in the cache of the operating system.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from _harness import Benchmark
from _processes import COMMAND, used
from _run_journal import make_run_journal
from _targets import Spread
from _top import LONG, RATE, SHORT, share_of_top, writing_run

SIZES: Final = (5_000, 100_000, 1_000_000)
QUICK_SIZES: Final = (5_000, 100_000)


def reports(benchmark: Benchmark, directory: Path, sizes: Sequence[int]) -> None:
    """Measure the report of each journal, and judge that of the largest."""
    for n in sizes:
        journal, page = directory / f"{n}.db", directory / f"{n}.html"
        command = [COMMAND, "report", str(journal), "--output", str(page), "--overwrite"]
        runs = [used(command) for _ in range(benchmark.rounds(5))]
        figures = {
            "report-cpu": Spread.of(run.cpu for run in runs),
            "report-size": Spread.of([page.stat().st_size / 1024]),
            "report-memory": Spread.of(run.peak for run in runs),
        }
        print(f"\nreport of {n:,} events, {len(runs)} rounds")
        for row, figure in figures.items():
            if n == SIZES[-1]:
                benchmark.judge(row, figure)
            else:
                print(
                    f"  {row}: {figure.middle:.4g} ({figure.least:.4g} .. {figure.most:.4g}) {benchmark.rows[row].unit}"
                )


def tops(benchmark: Benchmark, directory: Path, _: Sequence[int]) -> None:
    """Measure ``top`` beside a run on trio that writes."""
    rounds = benchmark.rounds(3)
    with writing_run(directory, (SHORT + LONG + 10) * rounds) as journal:
        shares = Spread.of([share_of_top(journal) for _ in range(rounds)])
    print(f"\ntop beside a run of {RATE:,} events/s, {rounds} rounds")
    benchmark.judge("top-cpu", shares)


# What is measured: the beginning of the names of its rows, and the function, which gets the folder with the journals.
FACES: Final[dict[str, Callable[[Benchmark, Path, Sequence[int]], None]]] = {"report": reports, "top": tops}


def main() -> int:
    """Measure and judge. With ``--quick`` the largest journal is left out, and no row is judged."""
    benchmark = Benchmark(__doc__, ("msgspec", "cyclopts"), ())
    sizes = QUICK_SIZES if benchmark.quick else SIZES
    with TemporaryDirectory(prefix="faces-") as name:
        directory = Path(name)
        for n in sizes:
            make_run_journal(directory / f"{n}.db", n)
        for face, measure in FACES.items():
            if benchmark.wants(*(row for row in benchmark.rows if row.startswith(f"{face}-"))):
                measure(benchmark, directory, sizes)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
