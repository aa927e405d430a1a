"""
What a format of INPUT does: it makes records of bytes, each with its place.

A parser is fed with the bytes of one file as they come. So a pipe is read like a file, and memory does not grow with
the file. Each record becomes one line of JSON, or one plain line, whatever the format. The rest of a run knows lines
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lionpride_exec._cli.errors import BadLineError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A record as one line. An error stands for a record that cannot be read.
Line = bytes | BadLineError

# The number of a record, and its line.
Record = tuple[int, Line]

BOM = b"\xef\xbb\xbf"


class InputError(OSError):
    """A file cannot be read any further. What came before has been read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason


class Parser(Protocol):
    """
    Makes records of one file.

    Attributes:
        unit: What is counted: "line" or "element".
    """

    unit: str

    @property
    def number(self) -> int:
        """The number that was counted last."""
        ...

    @property
    def position(self) -> int:
        """How many bytes the records that were yielded, and what comes before them, have taken."""
        ...

    def feed(self, data: bytes) -> Iterator[Record]:
        """
        Yield the records that these bytes complete. The iterator must be exhausted before the next call.

        Raises:
            UsageError: The file does not begin like this format.
            InputError: The rest cannot be read.
        """
        ...

    def end(self) -> Iterator[Record]:
        """
        Yield the records that the end of the file completes.

        Raises:
            UsageError: As for :meth:`feed`.
            InputError: The file ends too early.
        """
        ...
