"""The errors of the command line."""

from __future__ import annotations


class UsageError(Exception):
    """The command cannot begin with these arguments. The exit status is 2."""


class BadLineError(Exception):
    """A line of INPUT is not a record, or does not fit the event. The run goes on."""


class OutputError(Exception):
    """The results cannot be written. The run ends."""
