"""
INPUT in another encoding than UTF-8 becomes UTF-8 as it comes.

So the parsers know UTF-8 only. A byte that the encoding has not stays as it is. It is no UTF-8 where it stands, so the
parser refuses the line with that byte, and the others run.
"""

from __future__ import annotations

import codecs

from .records import InputError


class Recoder:
    """
    Makes UTF-8 of one file in another encoding.

    Args:
        encoding: The name of the encoding. None to hand the bytes on as they are.
    """

    def __init__(self, encoding: str | None) -> None:
        self._encoding = encoding
        self._decode = None if encoding is None else codecs.getincrementaldecoder(encoding)("surrogateescape").decode

    def feed(self, data: bytes, *, is_all: bool = False) -> bytes:
        """
        Return what these bytes, and those that were kept, are in UTF-8.

        Args:
            data: The next bytes.
            is_all: Whether they are the last ones.

        Raises:
            InputError: The rest cannot be read: a byte of ASCII, or the end, is where it cannot be.
        """
        if self._decode is None:
            return data
        try:
            return self._decode(data, is_all).encode("utf-8", "surrogateescape")
        except UnicodeError as exc:
            raise InputError(f"it is not {self._encoding} ({exc}); is --encoding {self._encoding} right?") from exc
