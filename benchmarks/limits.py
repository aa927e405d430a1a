"""
What do one Rate, one Concurrent and a Retry add to the life of an event?

20,000 no-op events, none of which has to wait for a limit. CPU time. The targets are 1.25 times the life without them,
and 1.4 times with 100 keys.
"""

import sys
from functools import partial
from typing import TYPE_CHECKING

from _harness import Benchmark, per_event
from _rivals import Noop, NoopExecutor, ours

from lionpride_exec import Concurrent, Rate, Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PLENTY = 1_000_000_000


async def limited(n: int, *, key: str | None) -> NoopExecutor:
    """Append n events to an executor with limits and a retry, and let it run them; 100 keys, if any."""
    executor = NoopExecutor(
        processor_config={
            "queue_capacity": 10_000,
            "capacity_refresh_time": 0.01,
            "limits": [Rate(PLENTY, per=1.0, key=key), Concurrent(PLENTY, key=key)],
            "retry": Retry(3),
        }
    )
    async with executor:
        for number in range(n):
            await executor.append(Noop(a=number % 100), wait=True)
    assert executor.status_counts()["completed"] == n
    return executor


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    n = 5_000 if benchmark.quick else 20_000
    for backend in benchmark.backends:
        functions: dict[str, Callable[[int], Awaitable[object]]] = {
            "defaults": ours,
            "limits and retry": partial(limited, key=None),
            "limits with keys and retry": partial(limited, key="a"),
        }
        race = benchmark.race(
            f"{backend}: CPU time per event, n = {n:,}",
            {name: per_event(backend, function, n) for name, function in functions.items()},
            rounds=3 if benchmark.quick else 9,
            baseline="defaults",
        )
        benchmark.judge("limits", race.ratio("limits and retry"), backend)
        benchmark.judge("limits-keys", race.ratio("limits with keys and retry"), backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
