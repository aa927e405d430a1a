"""A set of 64-bit marks, each with a small note. A mark takes 12 to 27 bytes; in a set of ints it takes about 90."""

from __future__ import annotations

from array import array

FIRST_SIZE = 1 << 10
MAX_NOTE = 255
MAX_NUMBER = (1 << 32) - 1

_TYPES = {0: "", 4: "I", 8: "Q"}  # of an array, by the bytes of a number


class Marks:
    """
    The marks. By open addressing, a mark is at the first free place from its own place on. No mark is taken out.

    Args:
        number_bytes: Bytes of a number that each mark has too: 0 (no number), 4 (at most ``MAX_NUMBER``) or 8. A number
            takes up to three times its bytes.
    """

    def __init__(self, *, number_bytes: int = 0) -> None:
        self._size = FIRST_SIZE
        self._marks = array("Q", bytes(8 * self._size))  # 0: free
        self._notes = bytearray(self._size)
        self._number_bytes = number_bytes
        self._numbers = self._new_numbers()
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def get(self, mark: int) -> int | None:
        """Return the note on a mark. None if the mark is not in the set."""
        place = self._find(mark)
        return self._notes[place] if self._marks[place] else None

    def put(self, mark: int, note: int, number: int | None = None) -> None:
        """Add a mark with its note (0 to 255), or change the note. Set the number if one is given."""
        place = self._find(mark)
        if not self._marks[place]:
            self._marks[place] = mark or 1
            self._used += 1
        self._notes[place] = note
        if number is not None and self._numbers is not None:
            self._numbers[place] = number
        if 3 * self._used > 2 * self._size:
            self._grow()

    def count(self, mark: int) -> int:
        """Add 1 to the note on a mark, 0 if the mark is new, up to ``MAX_NOTE``. Return the note before."""
        place = self._find(mark)
        noted = self._notes[place]
        if noted < MAX_NOTE:
            self._notes[place] = noted + 1
        if not self._marks[place]:
            self._marks[place] = mark or 1
            self._used += 1
            if 3 * self._used > 2 * self._size:
                self._grow()
        return noted

    def number(self, mark: int) -> int:
        """Return the number of a mark. 0 if the mark has none."""
        return 0 if self._numbers is None else self._numbers[self._find(mark)]

    def _find(self, mark: int) -> int:
        mark = mark or 1
        marks, last = self._marks, self._size - 1
        place = mark & last
        while (found := marks[place]) and found != mark:
            place = (place + 1) & last
        return place

    def _new_numbers(self) -> array[int] | None:
        size = self._number_bytes
        return array(_TYPES[size], bytes(size * self._size)) if size else None

    def _grow(self) -> None:
        marks, notes, numbers = self._marks, self._notes, self._numbers
        self._size *= 2
        self._marks = array("Q", bytes(8 * self._size))
        self._notes = bytearray(self._size)
        self._numbers = self._new_numbers()
        for old, mark in enumerate(marks):
            if mark:
                place = self._find(mark)
                self._marks[place], self._notes[place] = mark, notes[old]
                if self._numbers is not None and numbers is not None:
                    self._numbers[place] = numbers[old]


class Counts:
    """Counts how often each mark has come."""

    def __init__(self) -> None:
        self._marks = Marks()
        self._more: dict[int, int] = {}  # marks that have come more often than a note can hold

    def add(self, mark: int) -> int:
        """Count a mark. Return how often it has come, 1 for the first time."""
        noted = self._marks.count(mark)
        if noted < MAX_NOTE:
            return noted + 1
        self._more[mark] = self._more.get(mark, MAX_NOTE) + 1
        return self._more[mark]
