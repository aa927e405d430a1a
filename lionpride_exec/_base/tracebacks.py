"""Tracebacks as they are shown and kept: they begin in the code that an event runs."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# The folder of the whole package, in the form that code objects use.
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120  pathlib would normalise the text

# How many frames of a traceback are kept. These are the last ones.
MAX_FRAMES = 20


def format_traceback(error: BaseException) -> str:
    """
    Return the traceback of an error as text that UTF-8 can hold, without frames of this package above the target.

    Raises:
        Exception: Any exception that the error raises when it is formatted.
    """
    place = in_target(error.__traceback__)
    lines = traceback.format_exception(type(error), error, place or error.__traceback__, limit=-MAX_FRAMES)
    return "".join(lines).rstrip("\n").encode("utf-8", "backslashreplace").decode()


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
    """Return the part of a traceback that begins outside this package. None if there is no part outside."""
    while found is not None and found.tb_frame.f_code.co_filename.startswith(PACKAGE):
        found = found.tb_next
    return found
