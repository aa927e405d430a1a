"""
A worker of streaQ, for a comparison of speed.

Usage: _cluster_streaq.py URL BACKEND SLOTS. It prints a line, and works when there is a line to read.
"""

import sys
from collections.abc import Sequence
from typing import Any, Literal, cast

import anyio
from _cluster_worker import BACKENDS, READY
from streaq import Worker


async def noop(number: int) -> int:
    """Return the argument."""
    return number


def new_worker(url: str, slots: int) -> tuple[Worker, Any]:
    """Return a worker that is not open, and its task."""
    worker = Worker(redis_url=url, concurrency=slots, handle_signals=False)
    return worker, worker.task(noop)


def run(arguments: Sequence[str]) -> None:
    """Be the process."""
    url, backend, slots = arguments
    worker, _ = new_worker(url, int(slots))
    name, options = BACKENDS[backend]
    worker.anyio_backend = cast("Literal['asyncio', 'trio']", name)
    print(READY, flush=True)
    sys.stdin.readline()
    anyio.run(worker.run_async, backend=name, backend_options=options)


if __name__ == "__main__":
    run(sys.argv[1:])
