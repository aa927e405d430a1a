"""The dashboard without a server: how long its pages take, and for how long they keep an event loop to themselves."""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from _run_journal import EPOCH, id_of

from lionpride_exec import Event, Executor
from lionpride_exec.web import dashboard

# Runs before the events that are pending, and those that still run.
RUNS: Final = 5_000
RUNNING: Final = 500

# The page of a journal that is not judged.
SEARCH: Final = "events, a text that is nowhere"

LIVE_PAGES: Final = {
    "overview": "/",
    "overview, 1 hour": "/?window=3600",
    "events": "/events",
    "events, pending": "/events?status=pending",
    "events, a kind that does not exist": "/events?kind=nothing",
    "events, a text that is nowhere": "/events?text=nowhere-at-all",
    "errors": "/errors",
    "limits": "/limits",
    "timeline": "/timeline?span=1800",
    "event": "/event?ref={some}",
    "event by the beginning of an id": "/event?ref={head}",
}
JOURNAL_PAGES: Final = {
    "overview": "/",
    "events": "/events",
    "events that failed": "/events?status=failed",
    "events, far back": "/events?before={middle}",
    "errors": "/errors",
    "limits": "/limits",
    "timeline": "/timeline?span=1800",
    "event by number": "/event?ref={middle}",
    "event by id": "/event?ref={some}",
    "event by the beginning of an id": "/event?ref={head}",
    SEARCH: "/events?text=nowhere-at-all",
}


async def get(app: Any, address: str) -> int:
    """Ask an application for a page as a server does. Return the size of the page."""
    parts = urlsplit(address)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }
    size, status = 0, 0

    async def receive() -> dict[str, Any]:
        """Return the body, which is empty."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        """Note the status and the size."""
        nonlocal size, status
        status = message.get("status", status)
        size += len(message.get("body", b""))

    await app(scope, receive, send)
    if status != 200:
        raise RuntimeError(f"{address} was answered by {status}")
    return size


# ---------------------------------------------------------------- a journal


def add_trail(path: Path, n: int) -> None:
    """Write three lines into the trail for each of n events: that it came in, that it began, and that it ended."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO transition (seq, at, status, attempt) SELECT seq, ?, 'p', 0 FROM event ORDER BY seq", (EPOCH,)
        )
        connection.execute(
            "INSERT INTO transition (seq, at, status, attempt) "
            "SELECT seq, at, letter, 1 FROM (SELECT seq, started AS at, 'r' AS letter FROM event UNION ALL "
            "SELECT seq, finished, iif(status = 'cancelled', 'x', substr(status, 1, 1)) FROM event) ORDER BY at"
        )
        lines = connection.execute("SELECT count(*) FROM transition").fetchone()[0]
        assert lines == 3 * n


async def times_of_pages(path: Path, n: int, rounds: int) -> dict[str, list[float]]:
    """Return how long each page of a journal takes, in milliseconds of CPU of all threads, once it was shown before."""
    app = dashboard(path)
    middle = n // 2
    some = id_of(middle).hex()
    names = {"middle": middle, "some": some, "head": some[:12]}
    found: dict[str, list[float]] = {}
    for name, address in JOURNAL_PAGES.items():
        page = address.format(**names)
        await get(app, page)
        for _ in range(rounds):
            began = time.process_time()
            await get(app, page)
            found.setdefault(name, []).append((time.process_time() - began) * 1e3)
    return found


# ---------------------------------------------------------------- a running executor


class Job(Event[None]):
    """Ends at once, fails, or waits until it is cancelled."""

    name: str = ""
    what: str = ""

    async def _invoke(self) -> None:
        if self.what == "fails":
            raise ValueError(f"{self.name} has no answer")
        if self.what == "waits":
            await anyio.sleep_forever()


class Turns:
    """Takes a turn of the event loop again and again, and notes the longest CPU time that others had between two."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.thread_time()

    def note(self) -> None:
        """End a turn of others."""
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = time.thread_time()

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            await anyio.lowlevel.checkpoint()
            self.note()


async def longest_turns(n: int, found: dict[str, list[float]], rounds: int) -> float:
    """
    Note for each page of an executor with n pending events the longest turn of the event loop, in milliseconds of CPU.

    Return the longest of all.

    Before, 5000 events have run and a tenth of them has failed. 500 events run.
    """
    config: dict[str, Any] = {"queue_capacity": RUNNING, "concurrency_limit": RUNNING, "max_queue_size": n + RUNS}
    executor = Executor.of(Job, **config)
    app = dashboard(executor)
    with anyio.CancelScope() as scope:
        async with executor:
            await executor.extend(
                [Job(name=f"run {one}", what="fails" if one % 10 == 0 else "") for one in range(RUNS)]
            )
            await executor.join()
            await executor.extend([Job(name=f"running {one}", what="waits") for one in range(RUNNING)])
            while executor.status_counts()["processing"] < RUNNING:
                await anyio.lowlevel.checkpoint()
            executor.pause()
            some = None
            for begin in range(0, n, 10_000):
                events = [Job(name=f"https://example.org/items/{one}") for one in range(begin, begin + 10_000)]
                await executor.extend(events)
                some = some or events[0].id
            assert executor.status_counts()["pending"] == n
            names = {"some": some, "head": f"{some}"[:8]}
            for name, address in LIVE_PAGES.items():
                page = address.format(**names)
                await get(app, page)
                for _ in range(rounds):
                    found.setdefault(name, []).append(await _longest_turn(app, page))
            scope.cancel()  # what runs and what is pending is not waited for
    return max(map(max, found.values()))


async def _longest_turn(app: Any, page: str) -> float:
    turns = Turns()
    async with anyio.create_task_group() as group:
        group.start_soon(turns.run)
        await anyio.lowlevel.checkpoint()
        await get(app, page)
        turns.note()  # the last turn is that of the page, too
        group.cancel_scope.cancel()
    return turns.longest * 1e3
