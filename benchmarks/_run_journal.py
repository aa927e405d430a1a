"""A journal of a run with a million events, for what people look at: failures of some kinds, repeats, slow events."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from heapq import heapify, heapreplace
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio

from lionpride_exec import Event, Executor, Journal

EPOCH: Final = 1_790_000_000.0
SLOTS: Final = 20


class Job(Event[None], tag="bench.job"):
    """Does nothing."""

    name: str = ""
    size: int = 0

    async def _invoke(self) -> None:
        pass


def error_of(number: int, draw: Random) -> dict[str, str]:
    """Return an error whose message has a number and an address, as those of HTTP clients have."""
    code = draw.choice((429, 500, 503))
    return {"type": "HTTPError", "message": f"{code} for https://example.org/items/{number}?try={number % 7}"}


def id_of(number: int) -> bytes:
    """Return the id of an event. Ids begin differently, as those of a run do."""
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16, "big")


def rows(n: int) -> Iterator[tuple[Any, ...]]:
    """
    Yield the rows of n events: of 20 slots, 97 % completed, 2.5 % failed, 0.5 % cancelled; 2 % were repeated once.

    The runs of a slot follow each other. A run takes about 50 ms, and some take a hundred times as long.
    """
    draw = Random(7)  # noqa: S311  no secrets
    free = [EPOCH + slot * 0.01 for slot in range(SLOTS)]
    heapify(free)
    envelope = b'{"tag":"bench.job","data":{"name":"https://example.org/some/path","size":123456}}'
    for number in range(1, n + 1):
        begin, attempts = free[0], None
        if number % 50 == 0:
            attempt = {"number": 1, "started": begin, "finished": begin + 0.02, "error": error_of(number, draw)}
            attempts, begin = json.dumps([attempt]).encode(), begin + 1.02
        took = draw.lognormvariate(-3, 1)
        heapreplace(free, begin + took)
        status = "failed" if number % 40 == 0 else "cancelled" if number % 200 == 1 else "completed"
        outcome = {"failed": {"error": error_of(number, draw), "duration": took}, "completed": {"duration": took}}
        event_id = id_of(number)
        yield (
            number,
            event_id,
            envelope,
            status,
            1 if attempts is None else 2,
            EPOCH,
            begin,
            begin + took,
            json.dumps(outcome[status]).encode() if status in outcome else None,
            attempts,
        )


async def _open_and_close(path: Path) -> None:
    async with Executor.of(Job, journal=Journal(path)):
        pass


def make_run_journal(path: Path, n: int) -> None:
    """Fill a journal with n events that have ended, as quickly as SQLite does."""
    anyio.run(_open_and_close, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO event (seq, id, event, status, attempt, queued, started, finished, outcome, attempts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows(n),
        )
        connection.execute("INSERT INTO tally SELECT status, count(*) FROM event GROUP BY status")
