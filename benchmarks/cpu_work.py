"""
How long do two processes take for 200,000 rows, beside ``concurrent.futures`` and joblib?

A row is 7 KB of JSON: a day of a weather station, with 720 readings. Its parser checks and rounds them as decimals,
and returns mean, deviation and extremes: about 0.6 ms of CPU. The rivals are ``ProcessPoolExecutor.map()``, with the
best of three chunk sizes, and ``joblib.Parallel()`` with loky, which finds its own. Each has two processes, which have
started and imported the parser before the clock starts. Ours tells the status of each row, and keeps its record until
it was returned. The target is 1.15 times the time of the faster one. The second table has a parser that takes no time:
there, the figure is what a row costs in the program itself. It has no target: map over batches of such rows.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Any

import anyio
from _harness import BACKENDS, Benchmark, collected
from _rows import parse, parse_short, rows

from lionpride_exec import Executor

Parser = Callable[[str], Any]
PROCESSES = 2
CHUNK_SIZES = (50, 200, 1000)


async def _ours(parser: Parser, n: int) -> float:
    async with Executor.of(parser, run_in="process", processes=PROCESSES) as executor:
        async for event in executor.map(parser, rows(200)):
            event.result()
        began = time.perf_counter()
        async for event in executor.map(parser, rows(n)):
            event.result()
        return time.perf_counter() - began


def ours(backend: str, parser: Parser, n: int) -> float:
    """Return the seconds of ``Executor.map()``."""
    name, options = BACKENDS[backend]
    with collected():
        return anyio.run(_ours, parser, n, backend=name, backend_options=options)


def futures(parser: Parser, n: int, chunk_size: int) -> float:
    """Return the seconds of ``ProcessPoolExecutor.map()``."""
    with collected(), ProcessPoolExecutor(PROCESSES) as pool:
        for _ in pool.map(parser, rows(200)):
            pass
        began = time.perf_counter()
        for _ in pool.map(parser, rows(n), chunksize=chunk_size):
            pass
        return time.perf_counter() - began


def joblib(parser: Parser, n: int) -> float:
    """Return the seconds of ``joblib.Parallel()``."""
    from joblib import Parallel, delayed  # noqa: PLC0415  of the extra

    with collected(), Parallel(n_jobs=PROCESSES, return_as="generator") as parallel:
        for _ in parallel(delayed(parser)(row) for row in rows(200)):
            pass
        began = time.perf_counter()
        for _ in parallel(delayed(parser)(row) for row in rows(n)):
            pass
        return time.perf_counter() - began


def best_chunk_size(parser: Parser, n: int) -> int:
    """Return the chunk size with which ``concurrent.futures`` is fastest."""
    return min(CHUNK_SIZES, key=lambda size: futures(parser, n, size))


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("joblib", "trio", "uvloop"), needs=("joblib",))
    n = 4_000 if benchmark.quick else 200_000
    rounds = benchmark.rounds(3)
    for title, parser, number in (("rows", parse, n), ("rows that take no time", parse_short, n // 5)):
        size = best_chunk_size(parser, number // 10)
        rivals: dict[str, Callable[[], float]] = {
            f"futures, {size} at a time": lambda parser=parser, number=number, size=size: futures(parser, number, size),  # type: ignore[misc]  # bound now
            "joblib": lambda parser=parser, number=number: joblib(parser, number),  # type: ignore[misc]  # bound now
        }
        for backend in benchmark.backends:
            rivals[backend] = lambda backend=backend, parser=parser, number=number: ours(backend, parser, number)  # type: ignore[misc]  # bound now
        names = list(islice(rivals, 2))
        race = benchmark.race(
            f"{number:,} {title}, {PROCESSES} processes", rivals, rounds=rounds, baseline=names[0], unit="s"
        )
        if parser is not parse:
            continue
        faster = min(names, key=lambda name: race.of(name).middle)
        for backend in benchmark.backends:
            benchmark.judge("cpu-work", race.ratio(backend, faster), backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
