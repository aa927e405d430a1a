"""The errors of the command line."""

from __future__ import annotations


class UsageError(Exception):
    """
    The command cannot begin with these arguments. The exit status is 2.

    Args:
        message: One line.
        traceback_text: Where the code of the target has raised. "" if it has not.
    """

    def __init__(self, message: str, traceback_text: str = "") -> None:
        super().__init__(message)
        self.traceback_text = traceback_text


class BadLineError(Exception):
    """A line of INPUT is not a record, or does not fit the event. The run goes on."""


class OutputError(Exception):
    """The results cannot be written. The run ends."""
