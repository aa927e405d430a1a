"""
What a run with a journal knows a line by, in the journal and in the output.

A line is known by what its record says, not by its place or its spelling: by the content of the record and the count
of equal records before it, or by one field of the record. So INPUT may be reordered, extended at any place, or
rewritten by another program. The key of a line stands in the journal. A result in the output leads to the key by its
record, or has a ``key`` where the record is not enough. A mark is a hash of 64 bits: of a key, or of the id of an
event that was made of no line.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, cast

from lionpride_exec._base.field_paths import MISSING, look_up
from lionpride_exec._base.json_text import read_json, shown, write_json
from lionpride_exec._base.line_keys import CONTENT_KEY, LINE_PREFIX, key_of_digest, key_of_id, shown_id
from lionpride_exec._base.redaction import STARS
from lionpride_exec._cli.errors import BadLineError

from .compact_set import MAX_NUMBER, Counts, Marks
from .json_lines import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lionpride_exec._events.event import Event

Kind = Literal["content", "id", "number"]

# In the metadata of an event that was made of a line: number, record (left out if the field `record` has it), and the
# first 8 digits of the event's id. Version 0.1 stored the whole id.
PLACE = "_run_line"
OTHER_BITS = 96  # of an id, behind these digits

# In the metadata of an event that `submit` has made of a line, which is one of another INPUT than that of the run.
SUBMITTED = "_submitted"

IN_FIELD = 2  # parts of a place without a record
_NO_TEXT = "", None
_NO_LINE = None, 0, b""  # of an event that was not made of a line in this process
DIGEST = 16  # bytes; if two records had one key, one of them would not be run
MARK = 8  # bytes

_MAY_HAVE_FLOAT = re.compile(rb"[0-9][.eE]")
_BY_NUMBER = re.compile(r"line:[0-9]+:[0-9a-f]{16}")  # as version 0.1 wrote them

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Identity:
    """
    What lines are known by.

    Args:
        field: Field of the record, or a path into it, with the id of the line. None to go by the content of the record.
        is_secret: Whether the id is redacted. A digest stands for it then.
    """

    def __init__(self, field: str | None = None, *, is_secret: bool = False) -> None:
        self.field: str | None = field
        self._is_secret = is_secret
        self.kind: Kind = "content" if field is None else "id"

    def key_of(self, record: bytes) -> str:
        """
        Return the key of the first line with a record.

        Args:
            record: JSON in UTF-8.

        Raises:
            BadLineError: The record is not JSON, or its id is missing or null, or is neither a text nor a number.
        """
        return self.key_of_value(parse_json(record, _number))

    def key_of_value(self, value: Any) -> str:
        """
        Return the key of the first line with a record, from the value of the record. Its numbers are in one form.

        Raises:
            BadLineError: The id is missing or null, or is neither a text nor a number.
        """
        if self.field is None:
            return LINE_PREFIX + _digest(_canonical(value))
        return _key_of_id(self.field, look_up(value, self.field), is_secret=self._is_secret)

    @property
    def empty_key(self) -> str | None:
        """The key of a line whose id is an empty text. None if lines have no ids."""
        return None if self.field is None else _key_of_id(self.field, "", is_secret=self._is_secret)


# Tells whether two records are equal.
CONTENT = Identity()


def _line_beside(number: int, _beside: int) -> str:
    return f"line {number}"


class Lines:
    """
    One pass through INPUT: the key of each line. Takes 10 to 25 bytes a line, and 16 to 37 if lines have ids.

    Args:
        identity: What lines are known by.
        place: Returns where a line is, for a message about another line. It takes the numbers of both.

    Attributes:
        place: As above. INPUT may be opened later than this pass is made.
    """

    def __init__(self, identity: Identity, place: Callable[[int, int], str] = _line_beside) -> None:
        self.place: Callable[[int, int], str] = place
        self._identity = identity
        self._counts = Counts()
        self._ids = Marks(number_bytes=4)  # if lines have ids: the number of the line with each id
        self._empty = identity.empty_key

    def key_of(self, record: bytes, number: int) -> str:
        """
        Return the key of the next line.

        Args:
            record: The record as JSON.
            number: The number of the line.

        Raises:
            BadLineError: As for :meth:`Identity.key_of`, or the id is empty, or an earlier line has the same id.
        """
        return self._counted(self._identity.key_of(record), number)

    def key_of_value(self, value: Any, record: bytes, number: int) -> str:
        """
        Return the key of the next line, whose record was read already.

        Args:
            value: The value of the record.
            record: The record as JSON.
            number: The number of the line.

        Raises:
            BadLineError: As for :meth:`key_of`.
        """
        # Only a number with a fraction or an exponent has several spellings: then the record is read once more.
        if _MAY_HAVE_FLOAT.search(record):
            return self.key_of(record, number)
        return self._counted(self._identity.key_of_value(value), number)

    def _counted(self, key: str, number: int) -> str:
        mark = mark_of_key(key)
        if self._identity.field is not None:
            return self._unique(key, mark, number)
        count = self._counts.add(mark)
        return key if count == 1 else f"{key}:{count}"

    def _unique(self, key: str, mark: int, number: int) -> str:
        if key == self._empty:
            raise BadLineError(f"the id field {self._identity.field!r} is empty")
        if self._ids.get(mark) is not None:
            first = self.place(self._ids.number(mark), number)
            raise BadLineError(f"id {shown_id(key)} is also on {first}")
        self._ids.put(mark, 1, min(number, MAX_NUMBER))
        return key


def kind_of(key: str) -> Kind:
    """Return what a key goes by. "number" for a key that version 0.1 wrote."""
    return "content" if CONTENT_KEY.fullmatch(key) else "number" if _BY_NUMBER.fullmatch(key) else "id"


def is_told_by_record(key: str) -> bool:
    """Whether the record of a line leads to its key: no equal record came before."""
    match = CONTENT_KEY.fullmatch(key)
    return match is None or match[1] is None


def mark_of_key(key: str) -> int:
    """Return the mark of a line, from its key."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=MARK).digest())


def mark_of_id(event_id: bytes) -> int:
    """Return the mark of an event that was made of no line."""
    return int.from_bytes(blake2b(event_id, digest_size=MARK).digest())


def mark_of_row(key: str | None, event_id: bytes) -> int:
    """Return the mark of an event in the journal. The key is as it stands there, as JSON."""
    line = line_key(key)
    return mark_of_id(event_id) if line is None else mark_of_key(line)


def line_key(key: object) -> str | None:
    """Return the key of a line from the JSON in the journal. None if the key is not that of a line."""
    if not isinstance(key, str) or not key.startswith(f'"{LINE_PREFIX}'):
        return None
    return cast("str", json.loads(key)) if "\\" in key else key[1:-1]


def remember(event: Event, number: int, record: bytes, *, is_field: bool = False) -> None:
    """
    Have an event keep the line that it was made of.

    Args:
        event: The event.
        number: The number of the line.
        record: The record as JSON.
        is_field: Whether the field ``record`` of the event has the record. Then a journal stores the record once.
    """
    owner = f"{event.id.int >> OTHER_BITS:08x}"
    event.metadata[PLACE] = [number, owner] if is_field else [number, record.decode(), owner]
    if is_field:
        event._set("_raw_field", ("record", record))
    event._set("_line_of_input", (event.id, number, record))


def recall_event(event: Event) -> tuple[int | None, bytes]:
    """Return number and record of the line that an event was made of. None and ``null`` if there was no line."""
    owner, number, record = getattr(event, "_line_of_input", _NO_LINE)
    if owner is event.id:
        return number, record
    _, text = getattr(event, "_raw_field", _NO_TEXT)
    return recall(event.metadata, str(event.id), text)


def is_in_field(event: Event) -> bool:
    """Return whether the field ``record`` of an event has the record of its line, and the metadata have not."""
    return len(event.metadata.get(PLACE, ())) == IN_FIELD


def recall(metadata: Mapping[str, Any], event_id: str, text: bytes | None) -> tuple[int | None, bytes]:
    """
    Return number and record of the line that an event was made of. None and ``null`` if there was no line.

    Args:
        metadata: The metadata of the event.
        event_id: The id of the event.
        text: The JSON text that was kept of the field ``record``. None if there is none.
    """
    match metadata.get(PLACE):
        # Otherwise the event is a copy of the one with that id.
        case [int(number), str(record), str(owner)] if owner in {event_id[:8], event_id}:
            return number, record.encode()
        case [int(number), str(owner)] if owner == event_id[:8] and text is not None:
            return number, text
        case _:
            return None, b"null"


def fields_of_record(event: Event) -> Mapping[str, Any] | None:
    """Return the record that an event was made of. None if the record is not an object, or there is none."""
    number, text = recall_event(event)
    record = None if number is None else read_json(text)
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


def _key_of_id(field: str, value: Any, *, is_secret: bool) -> str:
    if value is MISSING or value is None:
        raise BadLineError(f"the id field {field!r} is {'missing' if value is MISSING else 'null'}")
    if isinstance(value, bool | dict | list):
        raise BadLineError(
            f"the id field {field!r} must be a text or a number: got {STARS if is_secret else shown(value)}"
        )
    if is_secret or not _has_utf8(value):
        return key_of_digest(_digest(_canonical(value)))
    return key_of_id(value)


def _has_utf8(value: str | float) -> bool:
    """Whether a key can hold a value: it is a number, or a text without half of a surrogate pair."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(text: str) -> int | float:
    """Return a number in one form for all spellings: 1.0, 1e0 and 1 are the same."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _canonical(value: Any) -> bytes:
    """Return one text for all spellings of a value."""
    try:
        return _encode(value).encode()
    except ValueError:  # an int with too many digits for that encoder
        return write_json(_in_order(value))


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_order(item) for name, item in sorted(cast("dict[str, Any]", value).items())}
    return [_in_order(item) for item in value] if isinstance(value, list) else value


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=DIGEST).hexdigest()
