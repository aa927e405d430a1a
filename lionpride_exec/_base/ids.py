"""
Random ids, at a quarter of the cost of ``uuid.uuid4()``.

The ids are the same: 122 random bits of the operating system in a UUID of version 4, as in RFC 9562 (5.4). Two things
make them cheaper. The random bits for many ids are fetched in one system call. And each UUID is made without its
constructor, which first checks for six other forms.
"""

from __future__ import annotations

import os
from typing import Final
from uuid import UUID, SafeUUID

AT_ONCE: Final = 256

# The fixed bits of a UUID of version 4.
_RANDOM_BITS: Final = (1 << 128) - 1 & ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_4: Final = 4 << 76 | 0x8000 << 48

_numbers: Final[list[int]] = []  # of the next ids
_unknown: Final = SafeUUID.unknown
_set: Final = object.__setattr__

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_numbers.clear)  # otherwise parent and child would return the same ids


def random_id() -> UUID:
    """Return a random UUID. Works in any thread."""
    try:
        number = _numbers.pop()
    except IndexError:
        number = _fetch()
    made = object.__new__(UUID)
    _set(made, "int", number)
    _set(made, "is_safe", _unknown)
    return made


def _fetch() -> int:
    fetched = os.urandom(16 * AT_ONCE)
    numbers = [int.from_bytes(fetched[at : at + 16], "big") for at in range(0, len(fetched), 16)]
    first, *others = [number & _RANDOM_BITS | _VERSION_4 for number in numbers]
    _numbers.extend(others)
    return first
