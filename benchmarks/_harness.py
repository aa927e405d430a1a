"""
What the benchmarks share: each file answers one question, prints on what it was measured, and says yes or no.

Rivals are measured in one process, in turn: a round measures each once, and every other round goes backwards,
so that whatever drifts (the clock of the CPU, the heap) drifts for all. The figure of a rival is its median;
its ratio is the median of the ratios to the baseline *of the same round*. A run has an event loop of its own,
whose start and end are not measured. The garbage collector stays on, as in a program; before each measurement
a full collection runs, and what is alive then (imports, mostly) is frozen, so that no rival pays for what
another one left.
"""

import argparse
import gc
import importlib.util
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from pathlib import Path
from statistics import median
from typing import Any

import anyio

BACKENDS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "asyncio+uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


def run(backend: str, function: Callable[..., Awaitable[float]], *args: Any) -> float:
    """Run an async function on a backend, after a full collection, and give what it returns."""
    name, options = BACKENDS[backend]
    with collected():
        return anyio.run(function, *args, backend=name, backend_options=options)


def seconds(backend: str, function: Callable[..., Awaitable[object]], *args: Any) -> float:
    """Give the seconds that an async function takes on a backend; what it returns is freed after that."""

    async def timed() -> float:
        began = time.perf_counter()
        kept = await function(*args)
        took = time.perf_counter() - began
        del kept
        return took

    return run(backend, timed)


def per_event(
    backend: str, function: Callable[[int], Awaitable[object]], n: int, *, repeats: int = 1
) -> Callable[[], float]:
    """Make a measurement: the microseconds that an async function of n takes, divided by n."""
    return lambda: sum(seconds(backend, function, n) for _ in range(repeats)) / repeats / n * 1e6


def judged(backend: str) -> bool:
    """Whether the targets are meant for a backend: asyncio and trio. uvloop is shown beside them."""
    return backend != "asyncio+uvloop"


@contextmanager
def collected() -> Iterator[None]:
    """Collect the garbage, and keep what is alive now out of later collections."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Benchmark:
    """
    One question: its options, its tables, its verdict.

    Args:
        question: Its docstring; the first paragraph is printed.
        packages: The packages whose versions count.
        backends: Those it makes a difference for; empty if none does.
        options: More options, by name: the keywords of ``add_argument()``. Their values are in :attr:`options`.
    """

    def __init__(
        self,
        question: str | None,
        packages: tuple[str, ...] = (),
        backends: tuple[str, ...] = tuple(BACKENDS),
        options: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        assert question
        self.question = " ".join(question.strip().split("\n\n")[0].split())
        parser = argparse.ArgumentParser(description=self.question)
        parser.add_argument("--quick", action="store_true", help="smaller and fewer: a look, not a measurement")
        parser.add_argument("--rounds", type=int, help="how often each rival is measured")
        if backends:
            parser.add_argument("--backend", action="append", choices=backends, help="default: each there is")
        for name, keywords in (options or {}).items():
            parser.add_argument(name, **keywords)
        self.options = parser.parse_args()
        self.quick: bool = self.options.quick
        self._rounds: int | None = self.options.rounds
        wanted = backends and (self.options.backend or backends)
        self.backends = [name for name in wanted if importlib.util.find_spec(name.rpartition("+")[2])]
        self.holds = True
        print(f"# {self.question}\n")
        print(f"{machine()}; {versions('lionpride-exec', 'anyio', *packages)}")
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC{'; --quick' if self.quick else ''}")

    def race(
        self,
        title: str,
        rivals: Mapping[str, Callable[[], float]],
        *,
        rounds: int,
        baseline: str,
        unit: str = "us",
    ) -> dict[str, float]:
        """
        Measure each rival in each round, print the figures, and give the ratio of each to the baseline.

        Args:
            title: What is said above the table, the n included.
            rivals: By name, a function that measures once and gives a figure; the less the better.
            rounds: How often, if the command line does not say.
            baseline: The name of the rival that the others are compared with.
            unit: Of the figures.
        """
        rounds = self._rounds or rounds
        figures: dict[str, list[float]] = {name: [] for name in rivals}
        for number in range(rounds):
            for name in list(rivals)[:: -1 if number % 2 else 1]:
                figures[name].append(rivals[name]())
        of_rounds = {
            name: sorted(one / base for one, base in zip(its, figures[baseline], strict=True))
            for name, its in figures.items()
        }
        ratios = {name: median(its) for name, its in of_rounds.items()}
        width = max(map(len, rivals))
        print(f"\n{title}, {rounds} round{'s' if rounds > 1 else ''}")
        for name, its in figures.items():
            spread = f"{min(its):.2f} .. {max(its):.2f}"
            ratio = f"{ratios[name]:7.3f} x {baseline}"
            if name != baseline and rounds > 3:
                its_ratios = of_rounds[name]
                ratio += f" (middle half {its_ratios[rounds // 4]:.3f} .. {its_ratios[-1 - rounds // 4]:.3f})"
            print(f"  {name:{width}}  {median(its):10.2f} {unit}  ({spread:>18})  {ratio}")
        return ratios

    def target(self, what: str, value: float, limit: float, *, unit: str = "x", counts: bool = True) -> None:
        """Say whether a figure is within its target; one that does not count leaves the verdict as it is."""
        within = value <= limit
        word = "holds" if within else "MISSED"
        print(f"  target: {what} <= {limit:.4g} {unit}: {value:.3f}, {word}{'' if counts else ' (not counted)'}")
        self.holds &= within or not counts

    def end(self) -> int:
        """Give the exit status: 0 when all targets hold."""
        print(f"\n{'All targets hold' if self.holds else 'TARGETS MISSED'}: {Path(sys.argv[0]).stem}\n")
        return 0 if self.holds else 1


def machine() -> str:
    """Name the CPU, its cores and the Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {cpu_count()} cores, {platform.system()}; {python}"


def versions(*packages: str) -> str:
    """Give the installed versions."""
    known = []
    for package in dict.fromkeys(packages):
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            known.append(f"{package} missing")
    return ", ".join(known)
