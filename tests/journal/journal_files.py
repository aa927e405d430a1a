"""Journals for tests, filled by plain SQL."""

import json
import sqlite3
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID
from zlib import crc32

from anyio.from_thread import start_blocking_portal

from lionpride_exec import Event, Executor, Journal

LETTERS = {status: status[0] for status in ("pending", "held", "completed", "failed", "skipped", "aborted")}
LETTERS |= {"processing": "r", "cancelled": "x"}

T0 = 1_700_000_000.0  # 2023-11-14T22:13:20Z


class Unknown(Event, tag="tests.journal_files.unknown"):
    """The event of an executor that only has a journal open. No journal has one."""

    async def _invoke(self): ...


@contextmanager
def journal_in_use(path):
    """Inside the block, an executor in another thread has the journal open."""
    with start_blocking_portal() as portal:
        executor = portal.call(lambda: Executor.of(Unknown, journal=Journal(path)))
        with portal.wrap_async_context_manager(executor):
            yield


@cache
def empty_journal():
    """Return the bytes of a journal without events."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        with journal_in_use(path):
            pass
        return path.read_bytes()


def make_journal(path):
    """Make an empty journal. Return a connection that writes to it."""
    Path(path).write_bytes(empty_journal())
    return sqlite3.connect(path, isolation_level=None)


def event_id(seq):
    """Return the id of an event, with its number at the beginning and at the end."""
    return UUID(f"{seq:08x}-0000-4000-8000-{seq:012x}")


def add_event(connection, seq, status="pending", *, tag="Fetch", data=None, outcome=None, **columns):
    """Write an event, and count it if it has ended."""
    values = {
        "seq": seq,
        "id": event_id(seq).bytes,
        "event": json.dumps({"tag": tag, "version": 1, "data": data or {}}).encode(),
        "status": status,
        "queued": T0 + seq,
        "outcome": None if outcome is None else json.dumps(outcome).encode(),
    } | columns
    if values.get("key") is not None:
        values["key_hash"] = crc32(values["key"].encode()) - 2**31
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO event ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))  # noqa: S608  ours
    if status not in {"pending", "processing", "held"}:
        connection.execute(
            "INSERT INTO tally VALUES (?, 1) ON CONFLICT (status) DO UPDATE SET events = events + 1", (status,)
        )


def add_step(connection, seq, status, at=T0, attempt=1, error=None):
    """Write a transition."""
    connection.execute(
        "INSERT INTO transition (seq, at, status, attempt, error) VALUES (?, ?, ?, ?, ?)",
        (seq, at, LETTERS.get(status, status), attempt, error),
    )


def error_outcome(type_name, message, **more):
    """Return the outcome of an event that failed."""
    return {"error": {"type": type_name, "message": message} | more}


def fill(path):
    """Make a journal with an event of each kind."""
    with closing(make_journal(path)) as connection:
        add_event(
            connection, 1, "completed", data={"url": "a"}, key='"first"', attempt=1, started=T0 + 2, finished=T0 + 4,
            outcome={"response": {"n": 1}, "duration": 2.0},
        )  # fmt: skip
        add_event(
            connection, 2, "failed", attempt=2, started=T0 + 5, finished=T0 + 10,
            outcome=error_outcome("ValueError", "bad\nvalue", traceback="Trace\n  line") | {"duration": 5.0},
            attempts=json.dumps([
                {"number": 1, "started": T0 + 3, "finished": T0 + 4, "error": {"type": "OSError", "message": "gone"}},
            ]).encode(),
        )  # fmt: skip
        add_event(connection, 3, "processing", tag="Send", attempt=1, started=T0 + 20)
        add_event(connection, 4, "pending", priority=2.5, due=T0 + 60, after=event_id(3).bytes)
        add_event(connection, 5, "held", attempt=1)
        add_event(connection, 6, "aborted", tag="Send", finished=T0 + 11, outcome=error_outcome("Deny", "closed"))
        add_step(connection, 2, "pending", T0 + 2, 0)
        add_step(connection, 2, "processing", T0 + 3, 1)
        add_step(connection, 2, "pending", T0 + 4, 1, "OSError: gone")
        add_step(connection, 2, "failed", T0 + 10, 2, "ValueError: bad value")
        add_step(connection, 3, "processing", T0 + 20)
