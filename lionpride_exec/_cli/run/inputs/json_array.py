"""
A JSON array: a record is an element.

The parser only looks for the ends of the elements. So an element is handed on as it is written, with its numbers and
escapes, and one that is no JSON spoils no other. Readers that make values of the whole file can do neither.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lionpride_exec._cli.errors import BadLineError, UsageError

from .records import BOM, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .records import Line, Record

# A text, whose closing quote may not have come yet, or a sign of structure.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+("?)|[\[\]{},]', re.DOTALL)
MAX_OPENING: Final = 1000  # bytes
_OPENING: Final = frozenset({b"[", b"{"})
_SPACE: Final = b" \t\r\n"

# How a file begins: with an array, or with an object whose field ``requests`` has the array.
ARRAY: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[")
REQUESTS: Final = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*\{[ \t\r\n]*"requests"[ \t\r\n]*:[ \t\r\n]*\[')


class ArrayParser:
    """
    Splits an array at the commas between its elements. Takes memory for one element.

    Args:
        name: The name of the file, for messages.
        number: How many records come before this file.
        opening: :data:`ARRAY` or :data:`REQUESTS`.
    """

    unit = "element"

    def __init__(self, name: str, number: int = 0, opening: re.Pattern[bytes] = ARRAY) -> None:
        self._opening = opening
        self._closing = _SPACE if opening is ARRAY else _SPACE + b"}"
        self.number = number
        self.position = 0
        self._name = name
        self._text = b""  # from the beginning of the element that has not ended
        self._at = 0  # where to look on in the text
        self._depth = 0  # 0 before the array, 1 in it, more in its elements
        self._is_over = False

    def feed(self, data: bytes) -> Iterator[Record]:
        """
        Yield the elements that these bytes complete.

        Raises:
            UsageError: The file does not begin with ``[``.
            InputError: Something follows the array.
        """
        self._text += data
        if not self._depth and not self._is_over:
            self._begin()
        if self._depth:
            yield from self._elements()
        if self._is_over and self._text.strip(self._closing):
            raise InputError("something follows the end of its JSON array")

    def end(self) -> Iterator[Record]:
        """
        Yield nothing: the array has ended, or is cut off.

        Raises:
            UsageError: The file is empty.
            InputError: The array has no end.
        """
        if not self._depth and not self._is_over and self._text.strip(_SPACE):
            self._refuse()
        if self._depth:
            raise InputError("it is cut off: its JSON array has no end")
        yield from ()

    def _begin(self) -> None:
        """Find the beginning of the array."""
        match = self._opening.match(self._text)
        text = self._text.removeprefix(BOM).lstrip(_SPACE)
        if match is not None:
            self.position += match.end()
            self._text, self._depth = self._text[match.end() :], 1
        elif text and not BOM.startswith(self._text) and (self._opening is ARRAY or len(text) > MAX_OPENING):
            self._refuse()

    def _refuse(self) -> None:
        raise UsageError(f"{self._name} is not a JSON array: it does not begin with [")

    def _elements(self) -> Iterator[Record]:
        start, at, depth, text = 0, self._at, self._depth, self._text
        for match in _TOKEN.finditer(text, at):
            if match[1] is not None:  # a text
                if not match[1]:
                    at = match.start()
                    break
                continue
            token, at = match[0], match.end()
            if token in _OPENING:
                depth += 1
            elif token != b",":
                depth -= 1
            if depth == 0 or (depth == 1 and token == b","):
                element = text[start : match.start()].strip(_SPACE)
                self.position += at - start
                start = at
                if element or depth:  # an array may be empty, or have a comma before its end
                    self.number += 1
                    yield self.number, _one_line(element)
            if depth == 0:
                break
        else:
            at = len(text)
        self._depth, self._is_over = depth, depth == 0
        self._text, self._at = text[start:], at - start


def _one_line(element: bytes) -> Line:
    """Return an element as one line. A line break is never inside a text of JSON."""
    if not element:
        return BadLineError("not JSON: there is nothing before the comma")
    if b"\n" in element or b"\r" in element:
        return b" ".join(part.strip() for part in element.splitlines())
    return element
