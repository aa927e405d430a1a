"""
How long does a page of find() take, on a journal of 1,000,000 events?

Of the events 97 % have completed, 1 % each has failed, was skipped, and is pending. A page has 100 events. Each
question that is documented as indexed takes at most 5 ms of CPU time, its thread included, also for the page in the
middle of its events. The questions without an index are shown beside. The file is in the directory for temporary
files (``TMPDIR``), and in the cache of the operating system.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import anyio
from _harness import Benchmark, judged, run

from lionpride_exec import Event, EventStatus, Executor, FoundEvent, Journal

EPOCH = 1_790_000_000.0
OUTCOMES = {
    "failed": {"error": {"type": "HTTPError", "message": "503 for https://example.org/"}, "duration": 0.5},
    "skipped": {"error": {"type": "Skip", "message": "not today"}},
    "completed": {"duration": 0.25},
}


class Job(Event[None], tag="bench.job"):
    """Does nothing."""

    name: str = ""
    size: int = 0

    async def _invoke(self) -> None:
        pass


def status_of(number: int) -> str:
    """Return the status of an event."""
    return {0: "failed", 1: "skipped", 2: "pending"}.get(number % 100, "completed")


def rows(n: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of n events."""
    envelope = b'{"tag":"bench.job","data":{"name":"https://example.org/some/path","size":123456}}'
    outcomes = {status: json.dumps(outcome).encode() for status, outcome in OUTCOMES.items()}
    for number in range(1, n + 1):
        status = status_of(number)
        has_ended = status != "pending"
        finished = EPOCH + number if has_ended else None
        event_id = UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128).bytes
        yield number, event_id, envelope, status, int(has_ended), EPOCH, finished, finished, outcomes.get(status)


async def make_file(path: Path, n: int) -> None:
    """Fill a journal with n events, as quickly as SQLite does."""
    async with Executor.of(Job, journal=Journal(path)) as executor:
        await executor.invoke(Job(), key="first")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE event SET seq = 0")
        connection.executemany(
            "INSERT INTO event (seq, id, event, status, attempt, queued, started, finished, outcome) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows(n),
        )
        connection.execute("DELETE FROM tally")
        connection.execute(
            "INSERT INTO tally SELECT status, count(*) FROM event WHERE finished NOTNULL GROUP BY status"
        )


async def pages(path: Path, number: int, question: dict[str, Any], middle: int) -> list[float]:
    """Return how many milliseconds each of some pages takes, the first one aside."""
    executor = Executor.of(Job, journal=Journal(path))
    await executor.start()
    executor.pause()
    before = FoundEvent(UUID(int=0), EventStatus.FAILED, number=middle) if middle else None
    times = []
    for _ in range(number + 1):
        began = time.process_time()
        found = await executor.find(**question, before=before)
        times.append((time.process_time() - began) * 1e3)
        assert found
    await executor.stop()
    return sorted(times[1:])


async def page(path: Path, number: int, question: dict[str, Any], middle: int) -> float:
    """Return the median of the milliseconds that a page takes."""
    times = await pages(path, number, question, middle)
    return times[len(times) // 2]


def main() -> int:
    """Measure and judge."""
    benchmark = Benchmark(__doc__)
    n = 50_000 if benchmark.quick else 1_000_000
    indexed: dict[str, tuple[dict[str, Any], int]] = {
        "all": ({}, 0),
        "all, middle": ({}, n // 2),
        "key": ({"key": "first"}, 0),
        **{f"{status}": ({"status": status}, 0) for status in ("failed", "skipped", "pending")},
        **{f"{status}, middle": ({"status": status}, n // 2) for status in ("failed", "pending")},
        "failed or skipped": ({"status": ["failed", "skipped"]}, 0),
    }
    others: dict[str, tuple[dict[str, Any], int]] = {
        "completed": ({"status": "completed"}, 0),
        "error": ({"error": "<n> for <url>"}, 0),
        "since, of all times": ({"since": 1e9}, 0),
        "the only one of its shape": ({"error": "<n> for <url>", "status": "failed"}, 101),
    }
    with TemporaryDirectory(prefix="find-") as directory:
        path = Path(directory) / "run.db"
        anyio.run(make_file, path, n)
        for backend in benchmark.backends:
            race = benchmark.race(
                f"{backend}: CPU time of a page of 100 events, {n:,} events in the file; median of 20",
                {
                    name: partial(run, backend, page, path, 20, question, middle)
                    for name, (question, middle) in (indexed | others).items()
                },
                rounds=benchmark.rounds(7),
                baseline="all",
                unit="ms CPU",
            )
            for name in indexed:
                benchmark.target(name, race.of(name).middle, 5.0, unit="ms", counts=judged(backend))
    return benchmark.end()


if __name__ == "__main__":
    sys.exit(main())
