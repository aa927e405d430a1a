"""The display that draws on a terminal. The others are in ``display``, which imports this one if it is wanted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lionpride_exec._cli.streams import STDOUT, visible, writing_messages

from .summary import fitted

if TYPE_CHECKING:
    from .summary import Tally

BAR_WIDTH = 20
BAR_RANK = 6


def can_draw() -> bool:
    """Return whether the terminal at standard error can move its cursor."""
    return not Console(stderr=True).is_dumb_terminal


class RichDisplay:
    """Shows a line that changes, with a bar if the size of INPUT is known."""

    interval = 0.2

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        # Refreshed by update(): a thread of rich would draw while the event loop writes.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=os.isatty(STDOUT),  # what events print into a pipe must go to the pipe
        )
        with writing_messages():
            self._live.start()

    def update(self, tally: Tally) -> None:
        """Draw bar and line again."""
        expected, parts, width = tally.expected, tally.parts(), self._console.width
        # The bar needs the room that the important parts leave.
        least = "  ".join(part.text for part in parts if part.rank <= BAR_RANK)
        has_bar = bool(expected) and len(least) + BAR_WIDTH + 1 <= width
        text = fitted(parts, width - BAR_WIDTH - 1 if has_bar else width)
        line = Text(visible(text), overflow="ellipsis", no_wrap=True)
        row = Table.grid(padding=(0, 1))
        if has_bar:
            row.add_row(ProgressBar(total=expected, completed=tally.done_in_all, width=BAR_WIDTH), line)
        else:
            row.add_row(line)
        with writing_messages():
            self._live.update(row, refresh=True)

    def message(self, text: str) -> None:
        """Show a line above the bar."""
        with writing_messages():
            self._console.print(f"lionpride-exec: {visible(text)}", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove bar and line."""
        with writing_messages():
            self._live.stop()
