"""
Random ids, for a quarter of what ``uuid.uuid4()`` takes.

They are the same: 122 bits of the operating system's randomness, as RFC 9562 (5.4) sets them into a UUID of version 4.
Two things make the difference. The randomness is fetched for many ids at once, since asking for it is a system call.
And a UUID is made past its constructor, which first looks for six other forms of it.
"""

from __future__ import annotations

import os
from typing import Final
from uuid import UUID, SafeUUID

AT_ONCE: Final = 256

# What makes a number a UUID of version 4.
_RANDOM_BITS: Final = (1 << 128) - 1 & ~(0xF000 << 64 | 0xC000 << 48)
_VERSION_4: Final = 4 << 76 | 0x8000 << 48

_numbers: Final[list[int]] = []  # of ids to come
_unknown: Final = SafeUUID.unknown
_set: Final = object.__setattr__

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_numbers.clear)  # or parent and child would give out the same ones


def random_id() -> UUID:
    """Return a random UUID. May be called in any thread."""
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
