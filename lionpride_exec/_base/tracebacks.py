"""Tracebacks as they are shown and kept: they begin in the code that an event runs."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# The folder of the whole package, in the form that code objects use.
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120  pathlib would normalise the text

# Modules between a command and the code of its target, and those that this package calls.
BETWEEN = frozenset(
    {"lionpride_exec", "anyio", "asyncio", "contextlib", "coredis", "outcome", "rich", "trio", "uvloop"}
)

# How many frames of a traceback are kept. These are the last ones.
MAX_FRAMES = 20


class RemoteTraceback(Exception):
    """The traceback of an error in the process or interpreter where it was raised, as text. It is the error's cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def format_traceback(error: BaseException) -> str:
    """
    Return the traceback of an error as text that UTF-8 can hold, without frames of this package above the target.

    If the target ran in a process or an interpreter, the traceback is the one from there.

    Raises:
        Exception: Any exception that the error raises when it is formatted.
    """
    place = in_target(error.__traceback__)
    remote = error.__cause__
    if place is None and isinstance(remote, RemoteTraceback):
        return _in_utf8(str(remote.args[0]))
    return _text_from(error, place)


def is_placed(error: BaseException) -> bool:
    """Return whether the traceback of an error leads into code outside this package, in whichever process."""
    return in_target(error.__traceback__) is not None or isinstance(error.__cause__, RemoteTraceback)


def traceback_of_user(error: BaseException) -> str:
    """
    Return the traceback of an error that has ended a command. It begins in the code of the user. "" if none is in it.

    Raises:
        Exception: Any exception that the error raises when it is formatted.
    """
    place = error.__traceback__
    while place is not None and _is_between(place):
        place = place.tb_next
    return "" if place is None else _text_from(error, place)


def _text_from(error: BaseException, place: TracebackType | None) -> str:
    lines = traceback.format_exception(type(error), error, place or error.__traceback__, limit=-MAX_FRAMES)
    return _in_utf8("".join(lines).rstrip("\n"))


def _in_utf8(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def has_traceback(error: BaseException) -> bool:
    """Return whether an error, or the error that caused it, was raised."""
    cause = error.__cause__
    return error.__traceback__ is not None or (cause is not None and cause.__traceback__ is not None)


def log_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
    """Return an error as ``exc_info`` for logging. None if the error cannot be formatted."""
    try:
        traceback.format_exception(error)
        return type(error), error, error.__traceback__
    except Exception:  # noqa: BLE001  logging would fail too, and the message would be lost
        return None


def in_target(found: TracebackType | None) -> TracebackType | None:
    """
    Return the part of a traceback that begins outside this package. None if there is no part outside.

    In a thread, frames of AnyIO lie between frames of this package.
    """
    while found is not None and _is_ours(found):
        found = found.tb_next
    ahead = found
    while ahead is not None and _is_between(ahead):
        if _is_ours(ahead):
            return in_target(ahead)
        ahead = ahead.tb_next
    return found


def _is_ours(place: TracebackType) -> bool:
    return place.tb_frame.f_code.co_filename.startswith(PACKAGE)


def _is_between(place: TracebackType) -> bool:
    return str(place.tb_frame.f_globals.get("__name__")).partition(".")[0] in BETWEEN
