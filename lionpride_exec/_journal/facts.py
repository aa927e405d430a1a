"""Single facts in a file, which are not about an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

# How the names of the facts of schedules begin.
SCHEDULES = "schedule:"

# How the names of the facts of runs begin, and how many of these facts are kept. The rest of a name is the number of
# the opening, with zeros in front.
RUNS = "run:"
KEPT_RUNS = 20

# The fact that an executor writes of itself when it opens the file.
OPENING = "opening"


def read_fact(connection: sqlite3.Connection, name: str) -> str | None:
    """Return a fact. None if there is none."""
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if found is None else found[0]


def read_facts(connection: sqlite3.Connection, beginning: str) -> dict[str, str]:
    """Return the facts whose names begin so, by the rest of their names."""
    select = "SELECT substr(name, ?), value FROM meta WHERE substr(name, 1, ?) = ? ORDER BY name"
    return dict(connection.execute(select, (len(beginning) + 1, len(beginning), beginning)))
