"""A journal of version 1 is read as it is, and its next owner brings it to version 2."""

import gzip
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import attrs
import pytest

pytest.importorskip("msgspec")

from parts import journal_reader, journal_store

JournalReader = journal_reader.JournalReader
DATA = Path(__file__).parents[1] / "data" / "before_parts"
NAMES = ("journal.db", "strict_no_trail.db", "command.db")


def unpacked(name, place):
    """Write a kept journal of version 1 into a directory; return its path."""
    path = place / name
    path.write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    return path


def all_of(path):
    """Return what each question to a journal is answered."""
    with JournalReader(path) as reader:
        rows = list(reader.events())
        return {
            "events": rows,
            "histories": [reader.history(row.seq) for row in rows],
            "tail": reader.transitions(0, 10_000),
            "last": reader.last_transitions(5),
            "entries": reader.entries(0, 1000),
            "counts": reader.counts(),
            "overview": attrs.evolve(reader.overview(now=2e9), file_bytes=0, wal_bytes=0),
            "by id": [reader.find(row.id.hex()).seq for row in rows],
            "by key": [reader.find(row.key).seq for row in rows if row.key is not None and row.key[0] in '"['],
        }


def facts(path):
    """Return the version of a file, and what SQLite finds wrong with it."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, [row for (row,) in connection.execute("PRAGMA integrity_check")]


def bring_up_to_date(path):
    """Open and close a journal as its owner."""
    store = journal_store.Store(path)
    store.open()
    store.close()


@pytest.mark.parametrize("name", NAMES)
def test_readers_leave_a_file_of_version_1_as_it_is(tmp_path, name):
    """Each question is answered, and no byte of the file changes."""
    path = unpacked(name, tmp_path)
    before = path.read_bytes()
    assert all_of(path)["events"]
    assert path.read_bytes() == before
    assert facts(path) == (1, ["ok"])


@pytest.mark.parametrize("name", NAMES)
def test_the_next_owner_brings_it_to_version_2(tmp_path, name):
    """Then each question has the same answer as before."""
    path = unpacked(name, tmp_path)
    before = all_of(path)
    bring_up_to_date(path)
    assert facts(path) == (2, ["ok"])
    assert all_of(path) == before


# The migration calls functions of the package for each row. This program is killed in one of the calls.
KILLED = """
import os, signal, sqlite3, sys
from functools import partial
import anyio
from lionpride_exec import Event, Executor, Journal

left = int(sys.argv[2])

class Connection(sqlite3.Connection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA cache_size = 1")  # pages go to the log before the commit

    def create_function(self, name, count, function, **options):
        def call(*values):
            global left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*values)
        super().create_function(name, count, call, **options)

sqlite3.connect = partial(sqlite3.connect, factory=Connection)

async def main():
    async with Executor.of(Event, journal=Journal(sys.argv[1])):
        pass

anyio.run(main)
"""


@pytest.mark.parametrize("call", [1, 2, 5, 10])
def test_an_owner_that_is_killed_on_the_way_leaves_version_1(tmp_path, call):
    """The file has version 1 and the same answers. The next owner brings it to version 2."""
    path = unpacked("journal.db", tmp_path)
    before = all_of(path)
    child = subprocess.run([sys.executable, "-c", KILLED, path, str(call)], check=False, timeout=60)  # noqa: S603  our own
    assert child.returncode == -signal.SIGKILL
    assert facts(path) == (1, ["ok"])
    assert all_of(path) == before
    bring_up_to_date(path)
    assert facts(path) == (2, ["ok"])
    assert all_of(path) == before


def test_what_did_not_complete_is_listed_by_an_index(tmp_path):
    """A list of the failed events does not read the others."""
    path = unpacked("journal.db", tmp_path)
    bring_up_to_date(path)
    bad = "status IN ('failed', 'cancelled', 'skipped', 'aborted')"
    question = f"SELECT seq FROM event WHERE {bad} AND status = 'failed' ORDER BY seq DESC LIMIT 50"  # noqa: S608  ours
    with closing(sqlite3.connect(path)) as connection:
        plan = json.dumps(connection.execute(f"EXPLAIN QUERY PLAN {question}").fetchall())
    assert "COVERING INDEX event_bad (status=?)" in plan
