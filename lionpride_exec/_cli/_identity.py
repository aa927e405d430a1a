"""
What a run with a journal knows a line by, in the journal and in the output.

An event made of a line has a key in the journal, of the line's number and its record: a line that was changed is new
work. Number and record are kept with the event too, so that its result can be written from the journal alone. A result
in the output tells the same two, or the event's id where there was no line. A mark is either of them as 64 bits.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._json_text import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lionpride_exec._event import Event

# In the metadata of an event that was made of a line: number, record, and whose they are.
PLACE = "_run_line"

PREFIX = "line:"
DIGEST = 8  # bytes


def key_of(number: int, record: bytes) -> str:
    """Give the key of a line in the journal."""
    return f"{PREFIX}{number}:{_digest(number, record).hex()}"


def mark_of_line(number: int, record: bytes) -> int:
    """Give the mark of a line."""
    return int.from_bytes(_digest(number, record))


def mark_of_id(event_id: bytes) -> int:
    """Give the mark of an event that was made of no line."""
    return int.from_bytes(blake2b(event_id, digest_size=DIGEST).digest())


def mark_of_row(key: str | None, event_id: bytes) -> int:
    """Give the mark of an event in the journal, where its key stands as JSON."""
    return int(key[-2 * DIGEST - 1 : -1], 16) if is_key_of_line(key) and key is not None else mark_of_id(event_id)


def is_key_of_line(key: str | None) -> bool:
    """Whether a key, as it stands in the journal, is that of a line."""
    return key is not None and key.startswith(f'"{PREFIX}')


def remember(event: Event, number: int, record: bytes) -> None:
    """Have an event keep what it was made of."""
    event.metadata[PLACE] = [number, record.decode(), str(event.id)]


def recall(metadata: Mapping[str, Any], event_id: str) -> tuple[int | None, bytes]:
    """Give the number and the record of the line that an event was made of; None and null: of none."""
    match metadata.get(PLACE):
        case [int(number), str(record), str(owner)] if owner == event_id:  # else it is a copy of that event
            return number, record.encode()
        case _:
            return None, b"null"


def fields_of_record(event: Event) -> Mapping[str, Any] | None:
    """Give the record that an event was made of, if it is an object; None: it is not, or there was none."""
    number, text = recall(event.metadata, str(event.id))
    record = None if number is None else read_json(text)
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


def _digest(number: int, record: bytes) -> bytes:
    return blake2b(b"%d:" % number + record, digest_size=DIGEST).digest()
