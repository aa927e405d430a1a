"""The displays on standard error while a run goes on."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from lionpride_exec._cli.streams import STDOUT, writing_messages
from lionpride_exec._display.choice import make_own_display

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .options import RunOptions
    from .summary import Tally

# What each message begins with.
PREFIX = "lionpride-exec: "


class CommandDisplay:
    """
    Shows the progress now and then, and messages at once, on a standard error that may be closed.

    Args:
        style: "rich" if it can be drawn, "plain", or "none" for messages only.
    """

    def __init__(self, style: str = "none") -> None:
        self._shown: Hashable = None  # the state of the last view that was shown
        with writing_messages():
            self._display = make_own_display(style, sys.stderr, PREFIX)

    @property
    def interval(self) -> float:
        """Seconds between two updates."""
        return self._display.interval

    def update(self, tally: Tally) -> None:
        """Show the progress. A line is written only if it says more than the last one."""
        view = tally.view()
        if self._display.draws or view.state != self._shown:
            self._shown = view.state
            with writing_messages():
                self._display.update(view)

    def message(self, text: str) -> None:
        """Show a line that is not overwritten."""
        with writing_messages():
            self._display.message(text)

    def close(self) -> None:
        """Leave the terminal as it was. Idempotent."""
        with writing_messages():
            self._display.close()


def make_display(options: RunOptions) -> CommandDisplay:
    """Return the display that the options ask for. "auto" looks at what standard error is."""
    style = options.progress
    if options.quiet:
        style = "none"
    elif style == "auto":
        results_on_terminal = options.output == "-" and os.isatty(STDOUT)
        is_free = sys.stderr.isatty() and not results_on_terminal and options.log_level is None
        style = "none" if options.log_json else "rich" if is_free else "plain"
    return CommandDisplay(style)
