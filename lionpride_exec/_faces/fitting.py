"""Whether an event on one line is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.error_shapes import error_shape

if TYPE_CHECKING:
    from .snapshot import Choice, EventLine


def fits_line(line: EventLine, choice: Choice, error: str | None) -> bool:
    """Return whether an event fits what is asked for of its kind, key, time and error. The error is in lower case."""
    if choice.kind is not None and line.kind != choice.kind:
        return False
    if choice.key is not None and line.key != choice.key:
        return False
    if choice.since is not None and (line.finished or line.started or line.queued or 0.0) < choice.since:
        return False
    if error is None:
        return True
    known = line.error or ""
    return error in known.casefold() or ("<" in error and error in error_shape(known).casefold())


def has_text(line: EventLine, text: str) -> bool:
    """Return whether the kind, the key or the error of an event has a text, which is in lower case."""
    return any(text in part.casefold() for part in (line.kind, line.key or "", line.error or ""))
