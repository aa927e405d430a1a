"""``--ordered``: results in the order of their lines."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

# How many results, and how many of their bytes, may wait for the result of an earlier line before reading waits too.
MAX_HELD: Final = 10_000
MAX_BYTES: Final = 64 << 20


class InOrder:
    """
    Holds back the results of lines until those of all earlier lines are there.

    Args:
        write: Takes the results.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._expected: deque[int] = deque()  # the numbers of lines whose results were not written, in their order
        self._held: dict[int, bytes | None] = {}  # their results so far. None for a line that has no result
        self._bytes = 0
        self._room = anyio.Event()

    @property
    def _is_full(self) -> bool:
        return len(self._held) >= MAX_HELD or self._bytes >= MAX_BYTES

    def expect(self, number: int) -> None:
        """Have the result of a line come after those of the lines before it."""
        self._expected.append(number)

    def put(self, number: int | None, line: bytes | None) -> None:
        """
        Write a result as soon as its turn has come.

        Args:
            number: The number of its line. None if there is no line: the result is written at once.
            line: The result. None if there will be none.
        """
        if number is None:
            if line is not None:
                self._write(line)
            return
        self._held[number] = line
        self._bytes += len(line or b"")
        self._write_next()
        if not self._is_full:
            self._room.set()

    def _write_next(self) -> None:
        """Write the results whose turn has come."""
        while self._expected and self._expected[0] in self._held:
            line = self._held.pop(self._expected.popleft())
            if line is not None:
                self._bytes -= len(line)
                self._write(line)

    async def wait_for_room(self) -> None:
        """
        Wait while too many results are held back. Only one task may wait.

        Cancellation: while it waits. Nothing has changed then.
        """
        while self._is_full:
            self._room = anyio.Event()
            await self._room.wait()

    def flush(self) -> None:
        """Write the results that are still held back, although earlier lines have none."""
        for number in self._expected:
            line = self._held.pop(number, None)
            if line is not None:
                self._write(line)
        self._expected.clear()
