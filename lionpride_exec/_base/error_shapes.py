"""Errors as one line of text, and what the lines of many errors have in common."""

from __future__ import annotations

import re
from typing import Any, Final

from lionpride_exec._clients.http_answer import http_answer
from lionpride_exec.errors import LionprideError, RemoteError

from .exception_groups import error_in, is_cancellation, is_of, text_of
from .redaction import NO_SECRETS, mask
from .wording import visible

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


def message_shape(name: str, message: str) -> str:
    """Return the shape of a message, without the class. The 200 characters of a shape are counted with the class."""
    return error_shape(f"{name}: {message.lstrip()}")[len(error_shape(name)) + 2 :]


def group_words(name: str, shape: str, status_code: int | None) -> str:
    """
    Return the words by which people tell a group of errors, such as ``HTTPError 500: no answer of <url>``.

    Args:
        name: The class of the errors.
        shape: What :func:`message_shape` returns.
        status_code: The status code of the HTTP answer behind the errors. None if there is none.
    """
    kind = name if status_code is None else f"{name} {status_code}"
    return f"{kind}: {shape}" if shape else kind


class WholeError(str):
    """The words of a group of errors. Where a part of an error is taken, they choose the errors of this group only."""

    __slots__ = ()

    def is_of(self, words: str) -> bool:
        """Whether these are the words of the group, apart from blanks and from escapes for a terminal."""
        return _as_shown(self) == _as_shown(words)


def _as_shown(words: str) -> str:
    return " ".join(visible(words).split())


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


def status_code_of(error: object) -> int | None:
    """Return the status code of the HTTP answer behind an error. None if there is none. Never raises."""
    known = error_in(error)
    if known is None or is_of(known, BaseExceptionGroup):
        return None
    details: dict[str, object] = {} if is_of(known, RemoteError) else http_answer(known)
    if is_of(known, LionprideError):
        details |= known.details
    return code_in(details)


def code_in(details: Any) -> int | None:
    """Return the status code in the details of an error, as results and journals have them. None if there is none."""
    code = details.get("status_code") if isinstance(details, dict) else None
    return code if isinstance(code, int) else None


def _is_cancellation(error: BaseException) -> bool:
    try:
        return is_cancellation(error)
    except Exception:  # noqa: BLE001  no event loop runs, so AnyIO cannot tell
        return False
