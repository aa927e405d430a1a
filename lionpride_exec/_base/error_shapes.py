"""Errors as one line of text, and what the lines of many errors have in common."""

from __future__ import annotations

import re
from typing import Final

from lionpride_exec.errors import LionprideError, RemoteError

from .exception_groups import error_in, is_cancellation, is_of, text_of
from .redaction import NO_SECRETS, mask

MAX_SHAPE: Final = 200  # characters of a shape
_MAX_LINE: Final = 1000  # characters of a line that are looked at

# The order counts: a URL has numbers in it, and an id has digits.
_VARYING: Final = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]*://[^\s'\"<>()\[\]{}]+)"
    r"|(?P<id>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b(?:0x)?(?=[0-9a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,}\b)"
    r"|(?P<n>[0-9]+(?:[.,:_][0-9]+)*)",
    re.IGNORECASE,
)


def error_shape(text: str) -> str:
    """
    Return what the text of an error has in common with those of other errors of its kind. O(1000 characters).

    The shape is the first line, with ``<url>``, ``<id>`` and ``<n>`` in place of URLs, of UUIDs and long hexadecimal
    numbers, and of other numbers. It has at most 200 characters.
    """
    line = text.lstrip().partition("\n")[0][:_MAX_LINE]
    return _VARYING.sub(lambda found: f"<{found.lastgroup}>", line)[:MAX_SHAPE].rstrip()


def error_line(error: object, secrets: frozenset[str] = NO_SECRETS) -> str | None:
    """
    Return the class and the text of an error, as a journal has them. None if the value is no error. Never raises.

    Args:
        error: The error of a record.
        secrets: Texts that are masked.
    """
    known = error_in(error)
    if known is None:
        return None
    if is_of(known, RemoteError):
        return mask(text_of(known), secrets)
    name = type(known).__qualname__
    text = "interrupted" if not is_of(known, LionprideError) and _is_cancellation(known) else text_of(known)
    return mask(f"{name}: {text}" if text else name, secrets)


def _is_cancellation(error: BaseException) -> bool:
    try:
        return is_cancellation(error)
    except Exception:  # noqa: BLE001  no event loop runs, so AnyIO cannot tell
        return False
