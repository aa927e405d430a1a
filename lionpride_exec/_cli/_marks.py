"""A set of 64-bit marks with a small note on each, in 12 to 27 bytes for one: a set of ints would take about 90."""

from __future__ import annotations

from array import array

FIRST_SIZE = 1 << 10


class Marks:
    """Open addressing: a mark lies at the first free place from its own on. No mark is taken out."""

    def __init__(self) -> None:
        self._size = FIRST_SIZE
        self._marks = array("Q", bytes(8 * self._size))  # 0: free
        self._notes = bytearray(self._size)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def get(self, mark: int) -> int | None:
        """Give the note on a mark; None: it is not here."""
        place = self._find(mark)
        return self._notes[place] if self._marks[place] else None

    def put(self, mark: int, note: int) -> None:
        """Put a mark in with its note (0 to 255), or change the note."""
        place = self._find(mark)
        if not self._marks[place]:
            self._marks[place] = mark or 1
            self._used += 1
        self._notes[place] = note
        if 3 * self._used > 2 * self._size:
            self._grow()

    def _find(self, mark: int) -> int:
        mark = mark or 1
        marks, last = self._marks, self._size - 1
        place = mark & last
        while (found := marks[place]) and found != mark:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        marks, notes = self._marks, self._notes
        self._size *= 2
        self._marks = array("Q", bytes(8 * self._size))
        self._notes = bytearray(self._size)
        for mark, note in zip(marks, notes, strict=True):
            if mark:
                place = self._find(mark)
                self._marks[place], self._notes[place] = mark, note
