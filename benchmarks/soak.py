"""
Does anything grow under a load that goes on for minutes?

Executors of all kinds, with limits, gates, journals and retentions, each under a load that uses everything there is, at
the same time on a real event loop. At constant intervals everybody comes to rest, and all is counted: each container
that can be reached from an executor, living objects, tasks, memory. What is larger at each moment of the second half
than at all moments of the first grows, and nothing may. The first fifth of the time is for warming up.

Ten minutes in all, for each backend its share; ``--minutes`` for more. ``--quick`` is one minute.
"""

import logging
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
from _census import (
    LAZILY_TIDIED,
    MEMORY_SLACK,
    OF_THE_LAST_MINUTE,
    Census,
    grown,
    resident,
    take_census,
)
from _harness import BACKENDS, Benchmark, collected
from _soak import SCENARIOS, Scenario

if TYPE_CHECKING:
    from lionpride_exec import Executor

EVENTS = 20  # of each chore in a round; some 250 in all
SAMPLES = 20  # at most, at constant intervals; a fifth of them are before it is judged
INTERVAL = 6  # seconds at least: a round with a gate that says no three times takes three
REST = 0.5  # seconds until the windows of all limits are over
MAX_RESIDENT = 16  # MiB that the process may grow while it is judged: its heap has holes

HEADER = "    time      events    rate   MiB     blocks  objects  tasks  in containers"


class Soak:
    """
    One backend's share.

    Args:
        seconds: In all.
        name: Of the backend, for the display.
    """

    def __init__(self, seconds: float, name: str) -> None:
        self.samples: int = min(max(int(seconds / INTERVAL), 6), SAMPLES)
        self.warm_up: int = max(self.samples // 5, 2)
        self.censuses: list[Census] = []
        self.residents: list[float] = []
        self._seconds = seconds
        self._name = name
        self._executors: dict[str, Executor] = {}
        self._began = time.monotonic()

    async def run(self, directory: Path) -> None:
        """Bear it."""
        async with AsyncExitStack() as stack:
            for scenario in SCENARIOS:
                self._executors[scenario.name] = await stack.enter_async_context(scenario.running(directory))
            await stack.enter_async_context(self._display())
            print(HEADER)
            for number in range(self.samples):
                await self._sample(self._began + (number + 1) * self._seconds / self.samples)

    async def _sample(self, until: float) -> None:
        """Let it go on until then, for a round at least, and count when all is at rest."""
        async with anyio.create_task_group() as group:
            for scenario in SCENARIOS:
                group.start_soon(self._go_on, scenario, until)
        await anyio.sleep(REST)
        await anyio.wait_all_tasks_blocked()
        census = take_census(**self._executors)
        self.censuses.append(census)
        self.residents.append(resident())
        self._print(census)

    async def _go_on(self, scenario: Scenario, until: float) -> None:
        await scenario.round(self._executors[scenario.name], EVENTS)
        while time.monotonic() < until:
            await scenario.round(self._executors[scenario.name], EVENTS)

    # ---------------------------------------------------------------- telling

    @property
    def _events(self) -> int:
        return sum(executor.progress().total for executor in self._executors.values())

    def _print(self, census: Census) -> None:
        passed, events = time.monotonic() - self._began, self._events
        sums = [sum(its.values()) for its in (census.objects, census.tasks, census.sizes)]
        row = f"{passed:6.0f} s {events:11,} {events / passed:5.0f}/s {self.residents[-1]:5.1f} {census.blocks:10,}"
        judged = "" if len(self.censuses) > self.warm_up else "  (warm-up)"
        print(f"{_clear()}{row} {sums[0]:8,} {sums[1]:6,} {sums[2]:14,}{judged}", flush=True)

    @asynccontextmanager
    async def _display(self) -> AsyncGenerator[None]:
        """Show how far it is, where somebody looks."""
        if not sys.stderr.isatty():
            yield
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._show, name="display")
            yield
            group.cancel_scope.cancel()

    async def _show(self) -> None:
        while True:
            passed = time.monotonic() - self._began
            text = f"{self._name}: {passed:.0f} of {self._seconds:.0f} s, {self._events:,} events"
            print(f"{_clear()}{text}", end="", file=sys.stderr, flush=True)
            await anyio.sleep(1)


def _clear() -> str:
    return "\r\x1b[K" if sys.stderr.isatty() else ""


def judge(benchmark: Benchmark, censuses: Sequence[Census], residents: Sequence[float]) -> None:
    """Say whether something grew."""
    found = grown(censuses, {**LAZILY_TIDIED, **OF_THE_LAST_MINUTE}, MEMORY_SLACK * len(SCENARIOS))
    for line in found:
        print(f"  GROWS: {line}")
    figures = sum(1 for _ in censuses[-1].figures())
    benchmark.target(f"of {figures} containers, kinds of objects and tasks, and memory, grow", len(found), 0, unit="")
    half = len(residents) // 2
    benchmark.target(
        "growth of the process, from the first half to the second",
        min(residents[half:]) - min(residents[:half]),
        MAX_RESIDENT,
        unit="MiB",
    )


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(
        __doc__, ("trio", "uvloop"), options={"--minutes": {"type": float, "help": "in all; default: 10"}}
    )
    minutes = benchmark.options.minutes or (1 if benchmark.quick else 10)
    logging.getLogger("lionpride_exec").setLevel(logging.ERROR)  # not what gates raise, as they are told to
    for backend in benchmark.backends:
        seconds = minutes * 60 / len(benchmark.backends)
        soak = Soak(seconds, backend)
        print(f"\n{backend}: {seconds:.0f} s, {len(SCENARIOS)} executors: {', '.join(one.name for one in SCENARIOS)}")
        name, options = BACKENDS[backend]
        with TemporaryDirectory(prefix="soak-") as directory, collected():
            anyio.run(partial(soak.run, Path(directory)), backend=name, backend_options=options)
        judge(benchmark, soak.censuses[soak.warm_up :], soak.residents[soak.warm_up :])
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
