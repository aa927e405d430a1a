"""
Ids in order, from which any id is removed in O(1), and read from any id on in O(1) for each id.

A list takes O(n) to remove an id. A deque cannot say where an id is. A dict cannot hold an id twice, and cannot be read
from one of its keys on. So the ids are kept in short lists, the *chunks*, which know their neighbours. A dict says in
which chunk an id is. That costs no memory for each id, since the ids of a chunk share it. A chunk is left out of the
order once it is empty, so a reader meets at least one id in each chunk.

Ids are found by their number (``UUID.int``): the hash of an int is computed in C, at a third of the cost of the hash of
a UUID, which is computed in Python.

``Progression`` reads and changes the attributes itself where an event comes by, which saves calls.
"""

from __future__ import annotations

from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

# How many ids a chunk holds at most. To remove an id from the middle of a chunk costs O(this number).
CHUNK_SIZE: Final = 32


class Chunk:
    """
    Some ids that follow each other.

    Attributes:
        ids: The ids. Empty only in the only chunk of an order.
        older: The chunk before this one. None if this is the first.
        newer: The chunk after this one. None if this is the last.
    """

    __slots__ = ("ids", "newer", "older")

    def __init__(self, older: Chunk | None = None) -> None:
        self.ids: list[UUID] = []
        self.older = older
        self.newer: Chunk | None = None


class IdOrder:
    """
    Ids in order. An id may occur several times.

    Attributes:
        places: The chunk of each id, by the number of the id. For an id that occurs several times: a list with the
            chunk of each occurrence, in order.
        repeats: How many occurrences there are beyond the first of each id.
        first: The first chunk.
        last: The last chunk.
    """

    __slots__ = ("_lock", "first", "last", "places", "repeats")

    def __init__(self, ids: Iterable[UUID] = ()) -> None:
        self.places: dict[int, Chunk | list[Chunk]] = {}
        self.repeats = 0
        self.first = self.last = Chunk()
        self._lock = Lock()
        for item_id in ids:
            self.append(item_id)

    def __getstate__(self) -> list[UUID]:
        return list(self)

    def __setstate__(self, ids: list[UUID]) -> None:
        self.__init__(ids)  # type: ignore[misc]  # pyright: ignore[reportUnknownMemberType]  the same steps

    def __len__(self) -> int:
        return len(self.places) + self.repeats

    def __iter__(self) -> Iterator[UUID]:
        return chain.from_iterable(chunk.ids for chunk in self._chunks())

    def append(self, item_id: UUID) -> None:
        """Append an id, which may be there already."""
        last, number = self.last, item_id.int
        if len(last.ids) >= CHUNK_SIZE:
            last = self.grow()
        last.ids.append(item_id)
        if number in self.places:
            self._repeat(number, last)
        else:
            self.places[number] = last

    def grow(self) -> Chunk:
        """Return a last chunk with room. Several threads may call this at the same time."""
        with self._lock:
            if len(self.last.ids) >= CHUNK_SIZE:
                full = self.last
                full.newer = self.last = Chunk(full)
            return self.last

    def remove_repeated(self, number: int, chunks: list[Chunk]) -> Chunk:
        """Take the first of several occurrences of an id out of the dict. Return the chunk of this occurrence."""
        self.places[number] = chunks[1:] if len(chunks) > 2 else chunks[1]  # noqa: PLR2004  one is left
        self.repeats -= 1
        return chunks[0]

    def unlink(self, chunk: Chunk) -> None:
        """Leave out a chunk that has become empty, unless it is the only one."""
        older, newer = chunk.older, chunk.newer
        if older is not None:
            older.newer = newer
        elif newer is not None:
            self.first = newer
        if newer is not None:
            newer.older = older
        elif older is not None:
            self.last = older

    def hand_over(self, item_id: UUID, target: IdOrder) -> bool:
        """
        Move an id to the end of another order, which may have the id already. Return False if it is not here.

        The same as ``Progression.exclude()`` here and ``Progression.include()`` there, in one call: each event moves
        twice. So change these three together.
        """
        number = item_id.int
        chunk = self.places.pop(number, None)
        if chunk is None:
            return False
        if type(chunk) is not Chunk:
            chunk = self.remove_repeated(number, cast("list[Chunk]", chunk))
        ids = chunk.ids
        if ids[0] is item_id:  # nearly always: events come and go in the same order
            del ids[0]
        else:
            self.cut(number, ids)
        if not ids:
            if self.first is self.last:  # often: one event runs. What leave_out() does, without the call
                self.places.clear()
            else:
                self.unlink(chunk)
        if number not in target.places:
            last = target.last
            if len(last.ids) >= CHUNK_SIZE:
                last = target.grow()
            last.ids.append(item_id)
            target.places[number] = last
        return True

    @staticmethod
    def cut(number: int, ids: list[UUID]) -> None:
        """Remove the first occurrence of an id from the ids of a chunk, which has it."""
        for index, known in enumerate(ids):
            if known.int == number:
                del ids[index]
                break

    def leave_out(self, chunk: Chunk) -> None:
        """Leave out a chunk that has become empty. If it is the only one, the order is empty."""
        if self.first is not self.last:
            self.unlink(chunk)
        else:
            self.places.clear()  # an emptied dict keeps the memory of its largest size

    def pop_last(self) -> UUID:
        """Remove the last id and return it. There must be one."""
        chunk = self.last
        item_id = chunk.ids.pop()
        place = self.places.pop(item_id.int)
        if isinstance(place, list):
            self.places[item_id.int] = place[:-1] if len(place) > 2 else place[0]  # noqa: PLR2004  one is left
            self.repeats -= 1
        if not chunk.ids:
            self.unlink(chunk)
        if not self.places:
            self.places.clear()  # an emptied dict keeps the memory of its largest size
        return item_id

    def at(self, index: int) -> UUID:
        """
        Return the id at an index. O(1) at either end, otherwise O(n) at the cost of one step for each chunk.

        Raises:
            IndexError: The index is out of range.
        """
        length = len(self)
        index += length if index < 0 else 0
        if not 0 <= index < length:
            raise IndexError("progression index out of range")
        if index >= length // 2:
            for chunk in self._chunks_from_last():
                length -= len(chunk.ids)
                if index >= length:
                    return chunk.ids[index - length]
        for chunk in self._chunks():
            if index < len(chunk.ids):
                return chunk.ids[index]
            index -= len(chunk.ids)
        raise AssertionError("the length is the number of ids in all chunks")

    def newest(self, limit: int, before: UUID | None = None) -> list[UUID]:
        """
        Return the last ids, the newest first. O(limit).

        Args:
            limit: How many ids at most.
            before: Only ids in front of the first occurrence of this id, which must be there. None for all.
        """
        newest = self.last
        ids = newest.ids
        if before is not None:
            place = self.places[before.int]
            newest = place[0] if isinstance(place, list) else place
            ids = newest.ids[: [item_id.int for item_id in newest.ids].index(before.int)]
        found = ids[::-1][:limit]
        chunk = newest.older
        while chunk is not None and len(found) < limit:
            found += chunk.ids[::-1][: limit - len(found)]
            chunk = chunk.older
        return found

    def _repeat(self, number: int, chunk: Chunk) -> None:
        place = self.places[number]
        self.places[number] = [*place, chunk] if isinstance(place, list) else [place, chunk]
        self.repeats += 1

    def _chunks(self) -> Iterator[Chunk]:
        chunk: Chunk | None = self.first
        while chunk is not None:
            yield chunk
            chunk = chunk.newer

    def _chunks_from_last(self) -> Iterator[Chunk]:
        chunk: Chunk | None = self.last
        while chunk is not None:
            yield chunk
            chunk = chunk.older
