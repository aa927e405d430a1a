"""
What does it cost to look at a run of 1,000,000 events, in the report and on other pages?

The report is written by a process of its own, from its start to its end: CPU time, peak of its memory, and the size of
the page. Journals of 5,000 and 100,000 events are shown beside. ``top`` runs on a terminal, beside a run on trio that
writes 500 events a second: its part of a core. The pages of the dashboard are asked for without a server, and so often
that what they remember is known: CPU time of all threads. Of an executor with 1,000,000 pending events, the longest
turn of the event loop counts, in CPU time. Watching is measured in the process that writes. The journals are in the
directory for temporary files (``TMPDIR``), and in the cache of the operating system.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio
from _dashboard import SEARCH, add_trail, longest_turns, times_of_pages
from _harness import Benchmark, run
from _processes import COMMAND, Taken, used
from _run_journal import make_run_journal
from _targets import BOTH, Spread
from _top import LONG, RATE, SHORT, share_of_top, writing_run
from _watched import taken

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


def dashboards(benchmark: Benchmark, directory: Path, sizes: Sequence[int]) -> None:
    """Measure the pages of a journal and of an executor, and what a process pays that is watched."""
    n = sizes[-1]
    if benchmark.wants("dashboard-pages"):
        add_trail(directory / f"{n}.db", n)
        times = anyio.run(times_of_pages, directory / f"{n}.db", n, benchmark.rounds(9))
        print(f"\npages of a journal of {n:,} events, ms CPU: median (smallest .. largest)")
        benchmark.judge("dashboard-pages", _slowest(times, but=SEARCH))
    for backend in benchmark.backends:
        if benchmark.wants("dashboard-turn"):
            turns: dict[str, list[float]] = {}
            run(backend, longest_turns, n, turns, benchmark.rounds(9))
            print(f"\n{backend}: longest turn by a page, {n:,} pending events, ms CPU")
            benchmark.judge("dashboard-turn", _slowest(turns), backend)
    for backend in BOTH:
        if backend in benchmark.backends and benchmark.wants("dashboard-watched"):
            _watch(benchmark, directory, backend)


def _slowest(found: Mapping[str, Sequence[float]], but: str = "") -> Spread:
    """Print the figures of each page, and return those of the page with the largest median."""
    spreads = {name: Spread.of(its) for name, its in found.items()}
    for name, its in spreads.items():
        print(f"  {name:36} {its.middle:8.2f} ({its.least:.2f} .. {its.most:.2f})")
    return max((its for name, its in spreads.items() if name != but), key=lambda its: its.middle)


def _watch(benchmark: Benchmark, directory: Path, backend: str) -> None:
    """Measure a process that writes, in turn with and without streams. The ratio of its CPU time is judged."""
    n = 40_000 if benchmark.quick else 100_000
    pairs: list[dict[bool, Taken]] = []
    for number in range(benchmark.rounds(5)):
        order = (True, False) if number % 2 else (False, True)
        pairs.append({watched: taken(directory, backend, n, is_watched=watched) for watched in order})
    wall = Spread.of(pair[True].wall / pair[False].wall for pair in pairs)
    print(f"\n{backend}: {n:,} events are written, {len(pairs)} rounds")
    print(f"  by the clock, watched / not: {wall.middle:.3f} ({wall.least:.3f} .. {wall.most:.3f})")
    benchmark.judge("dashboard-watched", Spread.of(pair[True].cpu / pair[False].cpu for pair in pairs), backend)


# What is measured: the beginning of the names of its rows, and the function, which gets the folder with the journals.
FACES: Final[dict[str, Callable[[Benchmark, Path, Sequence[int]], None]]] = {
    "report": reports,
    "top": tops,
    "dashboard": dashboards,
}


def main() -> int:
    """Measure and judge. With ``--quick`` all is smaller, and the report is not judged."""
    benchmark = Benchmark(__doc__, ("msgspec", "cyclopts", "starlette", "uvicorn", "trio", "uvloop"))
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
