"""The displays that write lines, or nothing. They need no extra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TextIO

from lionpride_exec._base.wording import visible

if TYPE_CHECKING:
    from .parts import View


class Display(Protocol):
    """
    Shows the progress now and then, and messages at once.

    Each method raises OSError or ValueError if the stream cannot be written.
    """

    interval: float
    """Seconds between two updates, unless the user says otherwise."""

    draws: bool
    """Whether an update replaces the one before."""

    def update(self, view: View) -> None:
        """Show the progress."""

    def message(self, text: str) -> None:
        """Show a line that is not overwritten."""

    def close(self, last: View | None = None) -> None:
        """Show the last view, which stays, if there is one. Leave the terminal as it was. Idempotent."""


class SilentDisplay:
    """
    Shows messages only.

    Args:
        file: Where they are written. None if nowhere.
        prefix: What each line begins with.
    """

    interval = 3600.0
    draws = False

    def __init__(self, file: TextIO | None, prefix: str = "") -> None:
        self._file = file
        self._prefix = prefix

    def update(self, view: View) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show a line. Characters that the encoding of the stream does not have are escaped."""
        if self._file is not None:
            encoding = getattr(self._file, "encoding", None) or "utf-8"
            line = f"{self._prefix}{visible(text)}\n".encode(encoding, "backslashreplace").decode(encoding)
            self._file.write(line)
            self._file.flush()

    def close(self, last: View | None = None) -> None:
        """Do nothing."""


class PlainDisplay(SilentDisplay):
    """Shows a line of progress every few seconds, which suits a log file."""

    interval = 5.0
    _is_closed = False

    def update(self, view: View) -> None:
        """Show a line of progress."""
        self.message(view.text)

    def close(self, last: View | None = None) -> None:
        """Show the last line of progress."""
        if last is not None and not self._is_closed:
            self.update(last)
        self._is_closed = True


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal. Objects that can only be written are none."""
    ask = getattr(stream, "isatty", None)
    return ask is not None and ask()
