"""The displays on standard error while a run goes on."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol

from lionpride_exec._cli.streams import STDOUT, say

if TYPE_CHECKING:
    from .options import RunOptions
    from .summary import Tally


class Display(Protocol):
    """Shows the progress now and then, and messages at once."""

    interval: float
    """Seconds between two updates."""

    def update(self, tally: Tally) -> None:
        """Show the progress."""

    def message(self, text: str) -> None:
        """Show a line that is not overwritten."""

    def close(self) -> None:
        """Leave the terminal as it was. Idempotent."""


class SilentDisplay:
    """Shows messages only."""

    interval = 3600.0

    def update(self, tally: Tally) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show a line."""
        say(text)

    def close(self) -> None:
        """Do nothing."""


class PlainDisplay(SilentDisplay):
    """Shows a line of progress every few seconds, which suits a log file."""

    interval = 5.0

    def update(self, tally: Tally) -> None:
        """Show a line of progress."""
        self.message(tally.progress())


def make_display(options: RunOptions) -> Display:
    """Return the display that the options ask for. "auto" looks at what standard error is."""
    kind = options.progress
    if options.quiet:
        kind = "none"
    elif kind == "auto":
        results_on_terminal = options.output == "-" and os.isatty(STDOUT)
        kind = "rich" if sys.stderr.isatty() and not results_on_terminal else "plain"
    if kind == "rich":
        from .rich_display import RichDisplay, can_draw  # noqa: PLC0415  slow to import, and few runs are watched

        if can_draw():
            return RichDisplay()
    return SilentDisplay() if kind == "none" else PlainDisplay()
