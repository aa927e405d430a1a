r"""
Recognise an INPUT that is not lines of JSON, or of text, by its first bytes, before anything is run.

There must be no false alarm. INPUT is refused for its first bytes only if no text begins with these bytes. INPUT is
refused for its first lines only if the first line is not JSON: a list, a text or a number on a line is a record too.
"""

from __future__ import annotations

import csv
import json
from io import StringIO
from itertools import islice
from typing import Final

from .inputs.json_array import REQUESTS

# How many bytes of INPUT are looked at.
HEAD: Final = 64 * 1024

# This many bytes are enough to recognise a binary format.
MAGIC: Final = 16

BY_PANDAS: Final = "write it as JSON lines first (pandas: to_json(..., orient='records', lines=True))"

AS_CSV: Final = "save it as CSV UTF-8 first, in Excel or LibreOffice"

TO_STDIN: Final = "| lionpride-exec run TARGET -"

_BY_FORMAT: Final = "--input-format {} reads it"
_BY_ENCODING: Final = "--encoding {} reads it"

# The first bytes of a format, its name, and a command that writes it as lines. FILE stands for INPUT.
_BINARY: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x1f\x8b", "compressed with gzip", f"gunzip -c FILE {TO_STDIN}"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", f"zstd -dc FILE {TO_STDIN}"),
    (b"\xfd7zXZ\0", "compressed with xz", f"xz -dc FILE {TO_STDIN}"),
    (b"BZh", "compressed with bzip2", f"bzip2 -dc FILE {TO_STDIN}"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", f"lz4 -dc FILE {TO_STDIN}"),
    (b"PK\x03\x04", "a zip archive", f"unzip -p FILE {TO_STDIN}"),
    (b"PK\x05\x06", "an empty zip archive", "give the lines themselves"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", f"7z x -so FILE {TO_STDIN}"),
    (b"\xff\xfe\0\0", "UTF-32", _BY_ENCODING.format("utf-32")),
    (b"\0\0\xfe\xff", "UTF-32", _BY_ENCODING.format("utf-32")),
    (b"\xff\xfe", "UTF-16", _BY_ENCODING.format("utf-16")),
    (b"\xfe\xff", "UTF-16", _BY_ENCODING.format("utf-16")),
    (b"PAR1", "Parquet", _BY_FORMAT.format("parquet")),
    (b"ARROW1\0\0", "an Arrow file", BY_PANDAS),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file, such as an .xls workbook", AS_CSV),
    (b"SQLite format 3\0", "an SQLite database", f"sqlite3 -json FILE 'SELECT ...' | jq -c '.[]' {TO_STDIN}"),
)

# The names of files in a zip archive that is a workbook of Excel or LibreOffice.
_IN_WORKBOOK: Final = (b"xl/work", b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet")

# What follows "BZh" and a digit.
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")

_ONE_A_LINE: Final = f"jq -c {{}} FILE {TO_STDIN}"
_OR_FIELD: Final = "; where a line is one value: --field NAME"
_DELIMITERS: Final = {",": "CSV", "\t": "TSV", ";": "CSV with semicolons"}


def problem_of(head: bytes, *, is_plain: bool, is_all: bool) -> tuple[str, str] | None:
    """
    Return what INPUT is, and what to do about it. None if INPUT may be lines.

    Args:
        head: The first bytes.
        is_plain: Whether lines of text are expected (``--field``), not JSON.
        is_all: Whether there are no more bytes.
    """
    for magic, name, cure in _BINARY:
        if head.startswith(magic) and _is_certain(magic, head):
            is_workbook = name == "a zip archive" and any(part in head for part in _IN_WORKBOOK)
            return ("a workbook of a spreadsheet", AS_CSV) if is_workbook else (name, cure)
    if is_plain:
        return None
    return _utf_without_mark(head) or _problem_of_text(head if is_all else head[: head.rfind(b"\n") + 1])


def is_enough(head: bytes, *, is_plain: bool) -> bool:
    """Whether :func:`problem_of` can tell by these bytes. Then the first record need not wait for more of them."""
    if len(head) >= HEAD or (len(head) >= MAGIC and problem_of(head, is_plain=True, is_all=False) is not None):
        return True
    lines = [line for line in head.split(b"\n")[:-1] if line.strip()]
    return bool(lines) and (is_plain or len(lines) > 1 or _is_json(lines[0]))


def _is_certain(magic: bytes, head: bytes) -> bool:
    """Whether INPUT has a format whose first bytes are letters. A text could begin with them too."""
    if magic == b"BZh":
        return head[3:4].isdigit() and head[4:10] in _BZIP2_BLOCKS
    if magic == b"PAR1":
        return any(byte < 0x09 or 0x0D < byte < 0x20 for byte in head[4:MAGIC])  # noqa: PLR2004  control characters, which no text has
    return True


def _utf_without_mark(head: bytes) -> tuple[str, str] | None:
    """Recognise UTF-16 by its zero bytes: nearly every second byte, in a text that is mostly ASCII."""
    even, odd = head[::2], head[1::2]
    for order, zeros, others in (("LE", odd, even), ("BE", even, odd)):
        if zeros.count(0) * 2 > len(zeros) and others.count(0) * 10 <= len(others):
            return "UTF-16, without a byte order mark", _BY_ENCODING.format(f"utf-16-{order.lower()}")
    return None


def _problem_of_text(head: bytes) -> tuple[str, str] | None:
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    first = text.partition("\n")[0]
    if first == text or _is_json(first):
        return None
    if first[0] in "[{":
        return _problem_of_json(text, first)
    if first[0] == "<":
        return "XML or HTML", "write it as JSON lines first"
    return _problem_of_table(text)


def _problem_of_json(text: str, first: str) -> tuple[str, str] | None:
    """Recognise a JSON value over several lines."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as exc:
        goes_on = exc.pos >= len(text)  # right so far, and cut off
    except (ValueError, RecursionError):
        return None
    else:
        goes_on = end > len(first)
    if not goes_on:
        return None
    if first[0] == "[":
        return "a JSON array over several lines", _BY_FORMAT.format("json")
    if REQUESTS.match(text.encode()):
        return "requests for a batch in one object", _BY_FORMAT.format("anthropic-batch")
    return "JSON objects over several lines", _ONE_A_LINE.format(".")


def _problem_of_table(text: str) -> tuple[str, str] | None:
    """Recognise CSV and TSV by two rows with the same number of cells. The first row is a header."""
    for delimiter, name in _DELIMITERS.items():
        try:
            rows = list(islice(csv.reader(StringIO(text), delimiter=delimiter), 2))
        except csv.Error:
            continue
        widths = {len(row) for row in rows}
        if len(rows) > 1 and len(widths) == 1 and widths.pop() > 1 and all(cell.strip() for cell in rows[0]):
            return name, _BY_FORMAT.format("tsv" if delimiter == "\t" else "csv") + _OR_FIELD
    return None


def _is_json(line: str | bytes) -> bool:
    try:
        json.loads(line)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
