"""
The directive ``journal-tables``: the tables and indexes of a journal, from a file that the package has just made.

SQLite keeps the text of each statement, comments included. The comment behind a column is its description.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sphinx.util.docutils import SphinxDirective

from lionpride_exec._journal.any_end import write_any_ends
from lionpride_exec._journal.expiries import MAKE_EXPIRY
from lionpride_exec._journal.inbox import make_inbox
from lionpride_exec._journal.recent_starts import MAKE_SETTLED
from lionpride_exec._journal.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

COMMENT = re.compile(r"(?m)^\s*(\w+) .*?,?\s*-- (.*)$")


def make_journal() -> sqlite3.Connection:
    """Return a journal of the newest version in memory, with the tables that are made only when they are needed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, 0)
    make_inbox(connection)
    write_any_ends(connection, {1: b""})
    connection.execute(MAKE_EXPIRY)
    connection.execute(MAKE_SETTLED)
    return connection


def lines_of(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the Markdown of all tables, each with its columns and indexes."""
    select = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    for table, sql in connection.execute(select).fetchall():
        yield from (f"## {table}", "", "| column | type | what it has |", "|---|---|---|")
        comments = dict(COMMENT.findall(sql))
        for column in connection.execute("SELECT * FROM pragma_table_info(?)", (table,)):
            yield f"| `{column[1]}` | {type_of(column)} | {comments.get(column[1], '')} |"
        yield ""
        indexes = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL ORDER BY rowid",
            (table,),
        ).fetchall()
        if indexes:
            yield from ("```sql", *(statement for (statement,) in indexes), "```", "")


def type_of(column: tuple[int, str, str, int, str | None, int]) -> str:
    """Return what a column takes, by its row of ``table_info``."""
    _, _, kind, not_null, default, primary_key = column
    words = [kind or "any", "key" * bool(primary_key), "not null" * bool(not_null)]
    return ", ".join(filter(None, words)) + (f", default {default}" if default is not None else "")


class JournalTables(SphinxDirective):
    """The tables of a journal of the newest version."""

    def run(self) -> list[nodes.Node]:
        """Return the tables with their columns and indexes."""
        with closing(make_journal()) as connection:
            return self.parse_text_to_nodes("\n".join(lines_of(connection)), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("journal-tables", JournalTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
