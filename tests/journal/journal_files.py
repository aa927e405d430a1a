"""Journals for tests, filled by plain SQL."""

import json
from contextlib import closing
from uuid import UUID

from parts import journal_schema

connect, migrate = journal_schema.connect, journal_schema.migrate

T0 = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def make_journal(path):
    """Make an empty journal; give a connection that writes to it."""
    connection = connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    migrate(connection, 0)
    return connection


def event_id(seq):
    """Give the id of an event, the number at its end and at its beginning."""
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
        (seq, at, status, attempt, error),
    )


def error_outcome(type_name, message, **more):
    """Give the outcome of an event that failed."""
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
