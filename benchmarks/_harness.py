"""
What the benchmarks share: each file answers one question, prints on what it was measured, and says yes or no.

Rivals are measured in one process, in turn. A round measures each rival once, and every other round goes backwards. So
whatever drifts (the clock of the CPU, the heap) drifts for all rivals. The figure of a rival is its median. Its ratio
is the median of the ratios to the baseline *of the same round*. A run has an event loop of its own, whose start and end
are not measured. The garbage collector stays on, as in a program. Before each measurement a full collection runs, and
what is alive then (imports, mostly) is frozen, so that no rival pays for what another one left.

What keeps the CPU busy is measured in CPU time (``time.process_time()``): other programs on the machine change it less
than the time by the clock. They still change it, since they share caches and cores. Read the ratios.
"""

import argparse
import gc
import importlib.util
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count, getloadavg
from pathlib import Path
from typing import Any

import anyio
from _targets import ROWS, Results, Row, Spread, chosen, is_meant, number, save

BACKENDS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "asyncio+uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def run(backend: str, function: Callable[..., Awaitable[float]], *args: Any) -> float:
    """Run an async function on a backend, after a full collection, and return what the function returns."""
    name, options = BACKENDS[backend]
    with collected():
        return anyio.run(function, *args, backend=name, backend_options=options)


def cpu_seconds(backend: str, function: Callable[..., Awaitable[object]], *args: Any) -> float:
    """Return the CPU time of an async function, in seconds. What the function returns is freed after that."""

    async def timed() -> float:
        began = time.process_time()
        kept = await function(*args)
        took = time.process_time() - began
        del kept
        return took

    return run(backend, timed)


def per_event(
    backend: str, function: Callable[[int], Awaitable[object]], n: int, *, repeats: int = 1
) -> Callable[[], float]:
    """Return a measurement: the CPU time of an async function of n, in microseconds, divided by n."""
    return lambda: sum(cpu_seconds(backend, function, n) for _ in range(repeats)) / repeats / n * 1e6


def judged(backend: str) -> bool:
    """Return whether the targets outside the table count on a backend: on asyncio and trio. uvloop is shown beside."""
    return backend != "asyncio+uvloop"


@contextmanager
def collected() -> Iterator[None]:
    """
    Collect the garbage, and keep what is alive now out of the collections in this block.

    In a test run, what the run itself keeps out of all collections stays out after the block.
    """
    was_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()


class Race:
    """
    The figures of rivals, round by round.

    Args:
        figures: Of each rival: one figure for each round; the less the better.
        baseline: The rival that the others are compared with.
    """

    def __init__(self, figures: Mapping[str, Sequence[float]], baseline: str) -> None:
        self.figures = figures
        self.baseline = baseline

    def of(self, name: str) -> Spread:
        """Return the figures of a rival."""
        return Spread.of(self.figures[name])

    def ratio(self, name: str, baseline: str | None = None) -> Spread:
        """Return the ratios of a rival to the baseline of the same round."""
        return Spread.of(self.ratios(name, baseline))

    def ratios(self, name: str, baseline: str | None = None) -> list[float]:
        """Return the ratio of each round."""
        theirs = self.figures[baseline or self.baseline]
        return [one / base for one, base in zip(self.figures[name], theirs, strict=True)]

    def lines(self, unit: str) -> Iterator[str]:
        """Return a line for each rival: the median, the smallest and the largest figure, and the ratio."""
        width = max(map(len, self.figures))
        for name in self.figures:
            figure = self.of(name)
            line = f"  {name:{width}}  {figure.middle:10.2f} {unit}  ({f'{figure.least:.2f} .. {figure.most:.2f}':>18})"
            line += f"  {self.ratio(name).middle:7.3f} x {self.baseline}"
            if name != self.baseline and figure.rounds > 3:
                half = sorted(self.ratios(name))[figure.rounds // 4 :]
                line += f" (middle half {half[0]:.3f} .. {half[-1 - figure.rounds // 4]:.3f})"
            yield line


class Benchmark:
    """
    One question: its options, its tables, its verdict.

    Args:
        question: Its docstring; the first paragraph is printed.
        packages: The packages whose versions count.
        backends: The backends that the question is asked for. Empty if the backend makes no difference.
        options: More options, by name: the keywords of ``add_argument()``. Their values are in :attr:`options`.
        needs: Modules without which there is no answer. If one is missing, the program ends and says so.
        rows: The rows of the table that the figures may be of.
    """

    def __init__(
        self,
        question: str | None,
        packages: tuple[str, ...] = (),
        backends: tuple[str, ...] = tuple(BACKENDS),
        options: Mapping[str, dict[str, Any]] | None = None,
        needs: tuple[str, ...] = (),
        rows: Mapping[str, Row] = ROWS,
    ) -> None:
        assert question
        self.question = " ".join(question.strip().split("\n\n")[0].split())
        self.rows = rows
        parser = argparse.ArgumentParser(description=self.question)
        add_options(parser, rows)
        parser.add_argument("--results", type=Path, help="write the figures of the rows of the table to this file")
        for name, keywords in (options or {}).items():
            parser.add_argument(name, **keywords)
        self.options = parser.parse_args()
        missing = [name for name in needs if importlib.util.find_spec(name) is None]
        if missing:
            parser.exit(2, f"{parser.prog} needs {' and '.join(missing)}: pip install -e '.[bench]'\n")
        self.quick: bool = self.options.quick
        self._rounds: int | None = self.options.rounds
        wanted = [name for name in backends if name in (self.options.backend or BACKENDS)]
        self.backends = [name for name in wanted if importlib.util.find_spec(name.rpartition("+")[2])]
        self.results: Results = {}
        self.holds = True
        print(f"# {self.question}\n")
        print(f"{machine()}; {versions('lionpride-exec', 'anyio', *packages)}")
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC{'; --quick' if self.quick else ''}; {load_average()}")

    def wants(self, *rows: str) -> bool:
        """Return whether one of these rows is to be measured. Without rows: whether everything is."""
        return not self.options.only or any(is_meant(row, self.options.only) for row in rows)

    def rounds(self, usual: int, quick: int = 3) -> int:
        """Return how often to measure: as often as the command line says, else as usual, or less with ``--quick``."""
        return self._rounds or (quick if self.quick else usual)

    def race(
        self,
        title: str,
        rivals: Mapping[str, Callable[[], float]],
        *,
        rounds: int,
        baseline: str,
        unit: str = "us CPU",
    ) -> Race:
        """
        Measure each rival in each round, and print the figures.

        Args:
            title: What is said above the table, the n included.
            rivals: By name, a function that measures once and returns a figure; the less the better.
            rounds: How often, if the command line does not say.
            baseline: The name of the rival that the others are compared with.
            unit: Of the figures. With the clock, if the figures are times.
        """
        rounds = self._rounds or rounds
        figures: dict[str, list[float]] = {name: [] for name in rivals}
        for number_ in range(rounds):
            for name in list(rivals)[:: -1 if number_ % 2 else 1]:
                figures[name].append(rivals[name]())
        race = Race(figures, baseline)
        print(f"\n{title}, {rounds} round{'s' if rounds > 1 else ''}")
        for line in race.lines(unit):
            print(line, flush=True)
        return race

    def judge(self, name: str, figure: Spread, backend: str = "") -> None:
        """Note the figure of a row of the table, and say whether it holds."""
        row = self.rows[name]
        self.results.setdefault(name, {})[backend] = figure
        bound = f"{row.bound(row.target)}{f', aim {row.bound(row.aim)}' if row.aim is not None else ''} {row.unit}"
        spread = f"{number(figure.least)} .. {number(figure.most)}"
        counts = backend in row.backends and self.wants(name)
        within = row.reaches(figure.middle, row.target)
        word = f"{'holds' if within else 'MISSED'}{'' if counts else ' (not counted)'}"
        print(f"  {name}: {row.what} {bound}: {figure.middle:.4g} ({spread}), {word}", flush=True)
        self.holds &= within or not counts

    def target(self, what: str, value: float, limit: float, *, unit: str = "x", counts: bool = True) -> None:
        """Say whether a figure outside the table is within its target. One that does not count changes no verdict."""
        within = value <= limit
        word = "holds" if within else "MISSED"
        print(f"  target: {what} <= {limit:.4g} {unit}: {value:.3f}, {word}{'' if counts else ' (not counted)'}")
        self.holds &= within or not counts

    def end(self) -> int:
        """Write the results, if asked to. Return the exit status: 0 if all targets hold."""
        if self.options.results is not None:
            save(self.options.results, self.results)
        print(f"\n{'All targets hold' if self.holds else 'TARGETS MISSED'}: {Path(sys.argv[0]).stem}\n", flush=True)
        return 0 if self.holds else 1


def add_options(parser: argparse.ArgumentParser, rows: Mapping[str, Row] = ROWS) -> None:
    """Add the options that each benchmark and ``run_all.py`` have."""

    def row(name: str) -> str:
        """Return the name of a row, or of the rows that begin so."""
        try:
            chosen([name], rows)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None
        return name

    which = f"measure this row, or the rows whose names begin so, of: {', '.join(rows)}"
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: a look, not a measurement")
    parser.add_argument("--rounds", type=int, help="how often each rival is measured")
    parser.add_argument("--backend", action="append", choices=tuple(BACKENDS), help="default: each there is")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", type=row, help=which)


def load_average() -> str:
    """Return how many tasks wanted a core in the last minute, so that a reader knows how busy the machine was."""
    try:
        return f"load {getloadavg()[0]:.1f}"
    except OSError:
        return "load unknown"


def machine() -> str:
    """Return the CPU, its cores and the Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {cpu_count()} cores, {platform.system()}; {python}"


def versions(*packages: str) -> str:
    """Return the installed versions."""
    known = []
    for package in dict.fromkeys(packages):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            known.append(f"{package} missing")
    return ", ".join(known)
