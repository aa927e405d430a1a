"""JSON lines, and plain lines: a record is a line."""

from __future__ import annotations

from operator import length_hint
from typing import TYPE_CHECKING

from .records import BOM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .records import Record


class LineParser:
    r"""
    Splits a file at each ``\n``. A record is a line without its ``\n`` or ``\r\n``.

    No code of this class runs for a line, so the iterator of a chunk tells how many of its lines were taken.

    Args:
        number: How many lines come before this file.
    """

    unit = "line"

    def __init__(self, number: int = 0) -> None:
        self._first = number
        self._parts: list[bytes] = []  # of the line whose end has not come yet
        self._size = 0  # their bytes
        self._lines: list[bytes] = []  # of the last chunk
        self._left: Iterator[bytes] = iter(())  # those that were not taken
        self._before = number  # lines before the last chunk, those of other files included
        self._start = 0  # bytes before the last chunk
        self._taken = 0  # bytes of its lines

    @property
    def number(self) -> int:
        """The number of the line that was yielded last."""
        return self._before + len(self._lines) - length_hint(self._left)

    @property
    def position(self) -> int:
        """How many bytes the lines that were yielded have taken. Inside a chunk, lines count as equally long."""
        count = len(self._lines) or 1
        return self._start + self._taken * (count - length_hint(self._left)) // count

    def feed(self, data: bytes) -> Iterator[Record]:
        """Return the lines that these bytes complete."""
        *ended, rest = data.split(b"\n")
        size = len(data) - len(rest)
        if ended:
            ended[0] = b"".join((*self._parts, ended[0]))
            size += self._size
            self._parts, self._size = [], 0
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        return self._records(ended, size, may_have_cr=b"\r" in data)

    def end(self) -> Iterator[Record]:
        r"""Return the last line if it has no ``\n``."""
        last = b"".join(self._parts)
        return self._records([last] if last else [], len(last), may_have_cr=True)

    def _records(self, lines: list[bytes], size: int, *, may_have_cr: bool) -> Iterator[Record]:
        self._before += len(self._lines)
        self._start += self._taken
        if may_have_cr:
            lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
        elif lines:
            lines[0] = lines[0].removesuffix(b"\r")  # of the chunk before
        if lines and self._before == self._first:
            lines[0] = lines[0].removeprefix(BOM)
        self._lines, self._taken, self._left = lines, size, iter(lines)
        return zip(range(self._before + 1, self._before + len(lines) + 1), self._left, strict=False)
