"""
For how long does a query keep the event loop to itself, on an executor with 100,000 pending events?

Each query is called many times, and its longest call counts, in CPU time. The target for one page of events,
``page(status, before, limit)``, and for each query that is not documented as O(n), is 1 ms. The lists of all events of
a status are shown beside.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from itertools import count
from typing import Any

from _harness import Benchmark, run
from _rivals import Noop, NoopExecutor, make_executor
from _targets import Spread

from lionpride_exec import EventStatus

PAGE = 100  # events in a page
CALLS = 50  # of each query, in a round
O_OF_N = {"get_events_by_status", "pending_events"}  # documented so

Query = Callable[[], Any]


def queries_of(executor: NoopExecutor, some: Noop) -> dict[str, Query]:
    """Return the queries, by name. The page is the last one if the executor has pages, else the whole list."""
    known: dict[str, Query] = {
        "status_counts": executor.status_counts,
        "statistics": executor.statistics,
        "progress": executor.progress,
        "inspect_state": executor.inspect_state,
        "repr": partial(repr, executor),
        "in": partial(executor.__contains__, some),
        "get": partial(executor.get, some.id),
        "explain": partial(executor.explain, some),
        "get_events_by_status": partial(executor.get_events_by_status, EventStatus.PENDING),
        "pending_events": lambda: executor.pending_events,
    }
    page: Callable[..., Any] | None = getattr(executor, "page", None)
    if page is None:
        return known
    return known | {
        "first page": partial(page, EventStatus.PENDING, limit=PAGE),
        "page in the middle": partial(page, EventStatus.PENDING, before=some, limit=PAGE),
    }


async def longest_calls(n: int, found: dict[str, float]) -> float:
    """Call each query on an executor with n pending events, and note the longest call in milliseconds."""
    executor = make_executor()
    events = [Noop(a=number) for number in range(n)]
    await executor.extend(events)
    for name, query in queries_of(executor, events[n // 2]).items():
        times = []
        for _ in range(3 if name in O_OF_N else CALLS):
            began = time.thread_time()
            result = query()
            if isawaitable(result):
                await _as_awaitable(result)
            times.append(time.thread_time() - began)
        found[name] = max(times) * 1e3
    return max(took for name, took in found.items() if name not in O_OF_N)


async def _as_awaitable(result: Awaitable[Any]) -> Any:
    return await result


def measure(benchmark: Benchmark, backend: str) -> None:
    """Print the longest call of each query, and judge those that are not O(n)."""
    n, rounds = (10_000 if benchmark.quick else 100_000), benchmark.rounds(7)
    found: list[dict[str, float]] = []
    for number in count():
        if number == rounds:
            break
        found.append({})
        run(backend, longest_calls, n, found[-1])
    print(f"\n{backend}: longest of {CALLS} calls, n = {n:,}, {rounds} rounds, ms CPU: median (smallest .. largest)")
    spreads = {name: Spread.of(its[name] for its in found) for name in found[0]}
    for name, its in spreads.items():
        is_list = "  documented as O(n)" if name in O_OF_N else ""
        print(f"  {name:20} {its.middle:8.3f} ({its.least:.3f} .. {its.most:.3f}){is_list}")
    if not any("page" in name for name in spreads):
        print("  There is no page(): the whole list counts in its place")
        benchmark.judge("blocked", spreads["get_events_by_status"], backend)
        return
    worst = max((name for name in spreads if name not in O_OF_N), key=lambda name: spreads[name].middle)
    print(f"  the longest: {worst}")
    benchmark.judge("blocked", spreads[worst], backend)


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__, ("trio", "uvloop"))
    for backend in benchmark.backends:
        measure(benchmark, backend)
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
