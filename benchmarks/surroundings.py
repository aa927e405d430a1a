"""
What do a middleware and a carried context variable add to the life of an event?

20,000 no-op events. CPU time. A middleware that only calls the next may add 1 us, as the median of the differences of
the rounds; the first context variable may add 5 us: its value is kept with the event, set and reset.
"""

import sys
from contextvars import ContextVar
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from _harness import Benchmark, judged, per_event
from _rivals import Noop, NoopExecutor, ours

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lionpride_exec import Event

NUMBER = ContextVar("number", default=0)
CONFIG = {"queue_capacity": 10_000, "capacity_refresh_time": 0.01}


async def pass_on(event: "Event[Any]", call_next: "Callable[[Event[Any]], Awaitable[Any]]") -> Any:
    """Surround a run, and do nothing."""
    return await call_next(event)


async def surrounded(n: int, **surroundings: Any) -> NoopExecutor:
    """Append n events to an executor with something around each run, and let it run them."""
    executor = NoopExecutor(CONFIG, **surroundings)
    NUMBER.set(n)
    async with executor:
        for number in range(n):
            await executor.append(Noop(a=number), wait=True)
    assert executor.status_counts()["completed"] == n
    return executor


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    n = 5_000 if benchmark.quick else 20_000
    for backend in benchmark.backends:
        functions: dict[str, Callable[[int], Awaitable[object]]] = {
            "nothing": ours,
            "a middleware": partial(surrounded, middleware=[pass_on]),
            "a context variable": partial(surrounded, carry=[NUMBER]),
        }
        race = benchmark.race(
            f"{backend}: CPU time per event, n = {n:,}",
            {name: per_event(backend, function, n) for name, function in functions.items()},
            rounds=5 if benchmark.quick else 11,
            baseline="nothing",
        )
        plain = race.figures["nothing"]
        for name, limit in (("a middleware", 1.0), ("a context variable", 5.0)):
            more = median(one - base for one, base in zip(race.figures[name], plain, strict=True))
            benchmark.target(f"{name} adds", more, limit, unit="us", counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
