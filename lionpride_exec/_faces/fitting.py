"""Whether events fit a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._base.error_shapes import error_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from .snapshot import Choice, EventLine


class Filter:
    """
    Tells whether events fit a choice. Upper and lower case make no difference in ``text`` and ``error``.

    Args:
        choice: The choice.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._text = None if choice.text is None else choice.text.casefold()
        self._error = None if choice.error is None else choice.error.casefold()

    def fits(self, line: EventLine, has_in_fields: Callable[[str], bool]) -> bool:
        """
        Return whether an event fits everything but the status, which the source has chosen by.

        Args:
            line: The event.
            has_in_fields: Returns whether the fields of the event have a text, which is in lower case. Only called if
                nothing else has decided, since fields are expensive to read.
        """
        choice = self._choice
        if choice.kind is not None and line.kind != choice.kind:
            return False
        if choice.key is not None and line.key != choice.key:
            return False
        if choice.since is not None and (line.finished or line.started or line.queued or 0.0) < choice.since:
            return False
        if self._error is not None and not _has_error(line.error or "", self._error):
            return False
        return self._text is None or _has_text(line, self._text) or has_in_fields(self._text)


def _has_error(error: str, part: str) -> bool:
    """Return whether an error, or its shape, has a part. Only shapes have a ``<``, in ``<n>`` and its like."""
    return part in error.casefold() or ("<" in part and part in error_shape(error).casefold())


def _has_text(line: EventLine, text: str) -> bool:
    return any(text in part.casefold() for part in (line.kind, line.key or "", line.error or ""))
