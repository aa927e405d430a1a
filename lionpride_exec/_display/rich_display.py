"""The display that draws on a terminal. It needs ``rich``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lionpride_exec._base.wording import visible

from .displays import is_terminal
from .parts import bar_width, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from .parts import Part, View


def can_draw(file: TextIO) -> bool:
    """Return whether a stream is a terminal that can move its cursor, or the output of a notebook."""
    console = Console(file=file)
    return console.is_interactive or console.is_jupyter


class _Screen:
    """
    What all displays on one stream draw, one below the other. While there is any, printed lines appear above.

    Args:
        file: The stream.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.console = Console(file=file)
        self._drawn: dict[object, RenderableType] = {}
        # Drawn by the displays: a thread of rich would draw while the event loop writes. A stream that is no terminal
        # is not redirected: what a program prints into a pipe must go to the pipe.
        self._live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=is_terminal(sys.stdout),
            redirect_stderr=is_terminal(sys.stderr),
            get_renderable=lambda: Group(*self._drawn.values()),
        )

    def draw(self, owner: object, content: RenderableType) -> None:
        """Draw what a display shows now."""
        self._drawn[owner] = content
        self._live.start()
        self._live.refresh()

    def release(self, owner: object, last: RenderableType | None) -> None:
        """Draw a display no longer. What it shows last stays. Without any display, leave the terminal as it was."""
        del self._drawn[owner]
        if not self._drawn:
            _screens.remove(self)
        try:
            self.console.print(Control() if last is None else last)  # the other displays are drawn below
        finally:
            if not self._drawn:
                self._live.stop()


# The screens that are drawn on. Two of them on one terminal would overwrite each other.
_screens: list[_Screen] = []


def _screen_of(file: TextIO) -> _Screen:
    for screen in _screens:
        if screen.file is file:
            return screen
    screen = _Screen(file)
    _screens.append(screen)
    return screen


class RichDisplay:
    """
    Shows lines that change, with a bar if the total is known.

    Args:
        file: The terminal.
        prefix: What each message begins with.
    """

    interval = 0.2
    draws = True

    def __init__(self, file: TextIO, prefix: str = "") -> None:
        # While rich redirects a stream, its name stands for what redirects.
        self._screen = _screen_of(getattr(file, "rich_proxied_file", file))
        self._prefix = prefix
        self._is_closed = False
        try:
            self._screen.draw(self, Group())
        except BaseException:
            self.close()
            raise

    def update(self, view: View) -> None:
        """Draw the lines again."""
        if not self._is_closed:
            self._screen.draw(self, self._render(view))

    def message(self, text: str) -> None:
        """Show a line above those that change."""
        self._screen.console.print(f"{self._prefix}{visible(text)}", markup=False, highlight=False, soft_wrap=True)

    def close(self, last: View | None = None) -> None:
        """Draw no more. The last view stays."""
        if not self._is_closed:
            self._is_closed = True
            self._screen.release(self, None if last is None else self._render(last))

    def _render(self, view: View) -> RenderableType:
        first, *others = view.lines
        width = self._screen.console.width
        cells: list[Any] = [Text(visible(view.description), no_wrap=True)] if view.description else []
        room = max(width - sum(len(cell) + 1 for cell in cells), 0)
        columns = bar_width(first, room) if view.total else 0
        if columns:
            cells.append(ProgressBar(total=view.total, completed=view.done, width=columns))
            room -= columns + 1
        row = Table.grid(padding=(0, 1))
        row.add_row(*cells, _line(first, room))
        return Group(row, *(_line(parts, width) for parts in others))


def _line(parts: Sequence[Part], width: int) -> Text:
    return Text(visible(fitted(parts, width)), overflow="ellipsis", no_wrap=True)
