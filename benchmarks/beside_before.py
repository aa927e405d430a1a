"""
What do an event, a start and the memory of an event cost, beside another version of this package?

``beside_before.py PATH`` compares with the checkout at PATH, for example one made by ``git worktree add``. Its package
is copied under another name, so that both versions are measured in one process, in turn. The figures are CPU times:
other programs on the machine change them less than the time by the clock. No figure may be more than 3 % worse.
"""

import re
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from _harness import Benchmark, run
from anyio.lowlevel import checkpoint
from memory import traced

import lionpride_exec

BEFORE = "lionpride_exec_before"
LIMIT = 1.03
SETTLE = 5  # checkpoints after which everybody waits again
CONFIG = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01}

started = 0.0


class Version(NamedTuple):
    """The classes of one version of the package that the measurements use."""

    event_type: Any
    executor_type: Any

    def executor(self) -> Any:
        """Make an executor with as many starts in a second as may be configured, and defaults for all else."""
        return self.executor_type(processor_config=dict(CONFIG))


def version_of(package: Any) -> Version:
    """Define an event with two fields that notes when it starts, and its executor."""

    class Stamp(package.Event):  # type: ignore[misc]  # which version it is of is known at run time
        a: int = 0
        b: str = ""

        async def _invoke(self) -> None:
            global started  # noqa: PLW0603 - the cheapest way to tell
            started = time.process_time()

    class StampProcessor(package.Processor):  # type: ignore[misc]  # likewise
        event_type = Stamp

    class StampExecutor(package.Executor):  # type: ignore[misc]  # likewise
        processor_type = StampProcessor

    return Version(Stamp, StampExecutor)


def load(checkout: Path, directory: Path) -> Any:
    """Copy the package of a checkout to a directory, under another name, and import it."""
    source = checkout / "lionpride_exec"
    if not (source / "__init__.py").is_file():
        raise SystemExit(f"there is no package lionpride_exec in {checkout}")
    for path in source.rglob("*.py"):
        copy = directory / BEFORE / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(r"\blionpride_exec\b", BEFORE, path.read_text("utf-8")), "utf-8")
    sys.path.insert(0, str(directory))
    return import_module(BEFORE)


async def life(n: int, version: Version) -> float:
    """Return the CPU time of an event from append to COMPLETED, in microseconds; n no-op events."""
    began = time.process_time()
    executor = version.executor()
    async with executor:
        for number in range(n):
            await executor.append(version.event_type(a=number), wait=True)
    took = time.process_time() - began
    assert executor.status_counts()["completed"] == n
    return took / n * 1e6


async def append_to_start(n: int, version: Version) -> float:
    """Return the median of n CPU times from append to start on an idle executor, in microseconds."""
    times = []
    async with version.executor() as executor:
        for number in range(n):
            event = version.event_type(a=number)
            began = time.process_time()
            await executor.append(event)
            await event.wait()
            times.append(started - began)
            for _ in range(SETTLE):
                await checkpoint()
    return median(times) * 1e6


async def pending(version: Version, numbers: list[int]) -> Any:
    """Append events before the start."""
    executor = version.executor()
    for number in numbers:
        await executor.append(version.event_type(a=number), wait=True)
    return executor


async def completed(version: Version, numbers: list[int]) -> Any:
    """Append events and let them run."""
    async with version.executor() as executor:
        for number in numbers:
            await executor.append(version.event_type(a=number), wait=True)
    return executor


def memory(backend: str, fill: Callable[..., Awaitable[Any]], n: int, version: Version) -> float:
    """Return the bytes that an executor with n events takes for each of them."""
    numbers = list(range(n))
    tracemalloc.start()
    try:
        empty = traced()
        executor: Any = run(backend, fill, version, numbers)
        full = traced()
        assert executor.status_counts()[fill.__name__] == n
    finally:
        tracemalloc.stop()
    return (full - empty) / n


def compare(benchmark: Benchmark, backend: str, versions: Mapping[str, Version]) -> None:
    """Print and judge what is measured on a backend."""
    n, rounds = (2_000, 5) if benchmark.quick else (10_000, 25)
    starts = n // 5
    measures: dict[str, Callable[[Version], float]] = {
        f"CPU time per event, n = {n:,}": partial(run, backend, life, n),
        f"median CPU time from append to start, n = {starts:,}": partial(run, backend, append_to_start, starts),
    }
    for title, measure in measures.items():
        for version in versions.values():
            measure(version)  # what is done once, and the caches of the interpreter
        race = benchmark.race(
            f"{backend}: {title}",
            {name: partial(measure, version) for name, version in versions.items()},
            rounds=rounds,
            baseline="before",
        )
        benchmark.target("now", race.ratio("now").middle, LIMIT, unit="x before")
    print(f"\n{backend}: bytes per event, n = {n:,}")  # once: they hardly differ from round to round
    for fill in (pending, completed):
        sizes = {name: memory(backend, fill, n, version) for name, version in versions.items()}
        print(f"  {fill.__name__}: before {sizes['before']:.1f} B, now {sizes['now']:.1f} B")
        benchmark.target("now", sizes["now"] / sizes["before"], LIMIT, unit="x before")


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(
        __doc__,
        ("trio", "uvloop"),
        options={"checkout": {"type": Path, "help": "a directory that has another version of the package"}},
    )
    with tempfile.TemporaryDirectory() as directory:
        before = load(benchmark.options.checkout, Path(directory))
        versions = {"before": version_of(before), "now": version_of(lionpride_exec)}
        for backend in benchmark.backends:
            compare(benchmark, backend, versions)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
