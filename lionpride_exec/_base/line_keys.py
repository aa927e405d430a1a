"""
The keys of events that ``lionpride-exec run`` makes of the lines of its input.

The key of a line has the digest of its record, or the id of the record (``run --id FIELD``). An id that is redacted has
a digest too. The command makes the keys. Look-ups of events understand the id alone, and lists of events leave out the
digest of a record.
"""

from __future__ import annotations

import re
from typing import Final

from .json_text import digits, shown
from .redaction import STARS

# Begins the key of each event that was made of a line.
LINE_PREFIX: Final = "line:"

# The key of a line that is known by the content of its record. The group counts equal records before it, if there are.
CONTENT_KEY: Final = re.compile(r"line:[0-9a-f]{32}(?::([0-9]{1,15}))?")

# Begin the keys of lines that are known by an id: a text, a number, or the digest of one of them.
_TEXT_ID: Final = f"{LINE_PREFIX}id:"
_NUMBER_ID: Final = f"{LINE_PREFIX}id="
_DIGEST_ID: Final = f"{LINE_PREFIX}id#"

_NUMBER: Final = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", re.ASCII)


def key_of_id(value: str | float) -> str:
    """Return the key of the line with an id. A text is another id than the number that it spells."""
    if isinstance(value, str):
        return f"{_TEXT_ID}{value}"
    return f"{_NUMBER_ID}{digits(value) if isinstance(value, int) else repr(value)}"


def key_of_digest(digest: str) -> str:
    """Return the key of the line whose id has a digest: the id is redacted, or is a text that a key cannot hold."""
    return f"{_DIGEST_ID}{digest}"


def line_keys_meant_by(text: str) -> list[str]:
    """Return the keys of the lines whose id a text may mean: the text itself, or the number that it spells."""
    ids: list[str | float] = [text]
    if _NUMBER.fullmatch(text):
        number = float(text) if "." in text else int(text)
        ids.append(int(number) if isinstance(number, float) and number.is_integer() else number)
    return [key_of_id(one) for one in ids]


def id_in_key(key: object) -> str | None:
    """Return the id of the line that a key was made for, as text. None if the key is another one, or has a digest."""
    if not isinstance(key, str) or not key.startswith((_TEXT_ID, _NUMBER_ID)):
        return None
    return key[len(_TEXT_ID) :]


def shown_id(key: str) -> str:
    """Return the id in the key of a line, for a message: a text in quotes, and stars for a digest."""
    text = id_in_key(key)
    if text is None:
        return STARS
    return shown(text) if key.startswith(_TEXT_ID) else text
