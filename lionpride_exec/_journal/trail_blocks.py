"""
Where in an audit trail the lines of an event may be.

A trail rarely has an index by event, since each line would cost its writer a change of this index. But events run about
in the order in which they came in. So a block of 4096 neighbouring lines is about events whose numbers are close to
each other. The blocks remember between which numbers, and the few events outside of that. The lines of an event are
then looked for in some blocks only. No clock is asked, so a clock that was set back hides no line.

For 3,000,000 lines the first look reads all of them, as a search without the blocks does. Later looks read the lines
that are new, and the blocks in question. Where the order of runs has nothing to do with that of the numbers, all blocks
are in question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import sqlite3

# Lines of a block, and how far around the events of its first and its last line the others are expected.
LINES: Final = 4096
AROUND: Final = 4096

# No line has a greater number.
END: Final = 2**63 - 1

# Events outside of this that a block remembers by their numbers. With more of them, it takes them all in between.
MOST_OUTSIDE: Final = 64

_HAS_INDEX: Final = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'transition_seq'"
_OUTSIDE: Final = "SELECT DISTINCT seq FROM transition WHERE n > ? AND n <= ? AND seq NOT BETWEEN ? AND ? LIMIT ?"
_ENDS: Final = (
    "SELECT (SELECT seq FROM transition WHERE n > ?1 AND n <= ?2 ORDER BY n LIMIT 1), "
    "(SELECT seq FROM transition WHERE n > ?1 AND n <= ?2 ORDER BY n DESC LIMIT 1)"
)
_BETWEEN: Final = "SELECT min(seq), max(seq) FROM transition WHERE n > ? AND n <= ?"


class _Block(NamedTuple):
    """Which events the lines of a block are about: those between two numbers, and some others."""

    least: int
    most: int
    outside: frozenset[int]


# A block without lines.
_EMPTY: Final = _Block(0, -1, frozenset())


class TrailBlocks:
    """Remembers what the lines of a trail are about, for one open file."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        # The last line of the last block. While it stands, no number before it is given to another line.
        self._last: tuple[int, int, float] | None = None

    def pieces(self, connection: sqlite3.Connection, seq: int) -> list[tuple[int, int]]:
        """
        Return the pieces of the trail in which lines of an event may be, in their order.

        Args:
            connection: The file, in a transaction.
            seq: The number of the event.

        Returns:
            The numbers of lines between which a piece is: the first one is not part of it, the last one is.
        """
        if connection.execute(_HAS_INDEX).fetchone() is not None:
            return [(0, END)]
        self._read(connection)
        known = 0 if self._last is None else self._last[0]  # up to here the blocks know all lines
        found: list[tuple[int, int]] = []
        for number, block in enumerate(self._blocks):
            if block.least <= seq <= block.most or seq in block.outside:
                _add(found, number * LINES, min((number + 1) * LINES, known))
        _add(found, known, END)
        return found

    def _read(self, connection: sqlite3.Connection) -> None:
        """Look at the blocks that are full by now, and have lines behind them."""
        if self._last is not None and self._last != _line(connection, self._last[0]):
            self._blocks, self._last = [], None
        last = connection.execute("SELECT max(n) FROM transition").fetchone()[0] or 0
        first = len(self._blocks)
        self._blocks += [_look(connection, number * LINES) for number in range(first, last // LINES)]
        if len(self._blocks) > first:
            at = connection.execute(
                "SELECT max(n) FROM transition WHERE n <= ?", (len(self._blocks) * LINES,)
            ).fetchone()[0]
            self._last = None if at is None else _line(connection, at)


def _add(pieces: list[tuple[int, int]], after: int, upto: int) -> None:
    """Add a piece. It is put together with the one before if they are neighbours."""
    if pieces and pieces[-1][1] == after:
        after = pieces.pop()[0]
    pieces.append((after, upto))


def _line(connection: sqlite3.Connection, n: int) -> tuple[int, int, float] | None:
    found: tuple[int, int, float] | None = connection.execute(
        "SELECT n, seq, at FROM transition WHERE n = ?", (n,)
    ).fetchone()
    return found


def _look(connection: sqlite3.Connection, after: int) -> _Block:
    """Return what the lines of a block are about."""
    upto = after + LINES
    first, last = connection.execute(_ENDS, (after, upto)).fetchone()
    if first is None:
        return _EMPTY
    least, most = min(first, last) - AROUND, max(first, last) + AROUND
    outside = connection.execute(_OUTSIDE, (after, upto, least, most, MOST_OUTSIDE + 1)).fetchall()
    if len(outside) > MOST_OUTSIDE:
        least, most = connection.execute(_BETWEEN, (after, upto)).fetchone()
        return _Block(least, most, frozenset())
    return _Block(least, most, frozenset(seq for (seq,) in outside))
