"""What goes wrong on the command line."""

from __future__ import annotations


class UsageError(Exception):
    """The run cannot begin as it was asked for: exit status 2."""


class BadLineError(Exception):
    """A line of the input is no record, or does not fit the event; the run goes on."""


class OutputError(Exception):
    """Results cannot be written any more; the run ends."""
