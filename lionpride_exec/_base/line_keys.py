"""
The keys of events that ``lionpride-exec run`` makes of the lines of its input.

The key of a line has the digest of its record, or the id of the record (``run --id FIELD``). The command makes the
keys. Whatever looks up an event understands the id alone, and whatever shows events leaves out a digest.
"""

from __future__ import annotations

import re
from typing import Final

from .json_text import digits

# Begins the key of each event that was made of a line.
LINE_PREFIX: Final = "line:"

# The key of a line that is known by the content of its record. The group counts equal records before it, if there are.
CONTENT_KEY: Final = re.compile(r"line:[0-9a-f]{32}(?::([0-9]{1,15}))?")

_NUMBER: Final = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?", re.ASCII)


def key_of_id(value: str | float) -> str:
    """Return the key of the line with an id. A text is another id than the number that it spells."""
    if isinstance(value, str):
        return f"{LINE_PREFIX}id:{value}"
    return f"{LINE_PREFIX}id={digits(value) if isinstance(value, int) else repr(value)}"


def line_keys_meant_by(text: str) -> list[str]:
    """Return the keys of the lines whose id a text may mean: the text itself, or the number that it spells."""
    ids: list[str | float] = [text]
    if _NUMBER.fullmatch(text):
        number = float(text) if "." in text else int(text)
        ids.append(int(number) if isinstance(number, float) and number.is_integer() else number)
    return [key_of_id(one) for one in ids]


def id_in_key(key: object) -> str | None:
    """Return the id of the line that a key was made for, as text. None if the key is another one."""
    if not isinstance(key, str):
        return None
    beginning, text = key[: len(LINE_PREFIX) + 3], key[len(LINE_PREFIX) + 3 :]
    return text if beginning in {f"{LINE_PREFIX}id:", f"{LINE_PREFIX}id="} else None
