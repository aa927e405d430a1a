"""A table of rows that change: the row under the cursor stays under it, and only cells that differ are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable

from lionpride_exec._base.wording import shortened

from .rows import plan
from .tones import Palette, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.binding import BindingType
    from textual.events import Resize

    from .rows import Column, Row

# Cells of padding around each cell.
_PADDING = 2


class Listing(DataTable[Text]):
    """
    A table whose columns fill its width.

    Args:
        columns: The columns.
        id: The id of the widget.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", key_display="Enter"),
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, columns: Sequence[Column], *, id: str) -> None:  # noqa: A002  Textual calls it so
        super().__init__(id=id, cursor_type="row", cell_padding=1)
        self._wanted_columns = columns
        self._wanted: Sequence[Row] = ()
        self._plan: tuple[tuple[int, int], ...] = ()
        self._keys: list[str] = []
        self._palette: Palette | None = None

    @property
    def chosen(self) -> str | None:
        """The key of the row under the cursor. None if there is no row."""
        return self._keys[self.cursor_row] if 0 <= self.cursor_row < len(self._keys) else None

    def show(self, rows: Sequence[Row], palette: Palette) -> None:
        """Show rows."""
        is_recoloured, self._palette = palette != self._palette, palette
        self._wanted = rows
        if self.size.width:  # else the first resize shows them
            self._draw(is_anew=is_recoloured)

    def on_resize(self, _: Resize) -> None:
        """Fit the columns into the new width."""
        self._draw(is_anew=False)

    def _draw(self, *, is_anew: bool) -> None:
        if self._palette is None:
            return
        width = self.scrollable_content_region.width or self.size.width
        wanted = plan(self._wanted_columns, width, _PADDING)
        keys = [row.key for row in self._wanted]
        if is_anew or wanted != self._plan or keys != self._keys:
            self._rebuild(wanted, keys)
        else:
            self._update()

    def _rebuild(self, wanted: tuple[tuple[int, int], ...], keys: list[str]) -> None:
        chosen, row, top = self.chosen, self.cursor_row, self.scroll_y
        with self.app.batch_update():
            self.clear(columns=wanted != self._plan)
            if wanted != self._plan:
                for place, width in wanted:
                    column = self._wanted_columns[place]
                    self.add_column(
                        fitted(Text(column.title), width, right=column.is_right), width=width, key=str(place)
                    )
            self._plan, self._keys = wanted, keys
            for line in self._wanted:
                self.add_row(*self._cells(line), key=line.key)
            self.move_cursor(
                row=keys.index(chosen) if chosen in keys else min(row, max(len(keys) - 1, 0)), scroll=False
            )
            self.scroll_to(y=top, animate=False)

    def _update(self) -> None:
        for line in self._wanted:
            for (place, _), cell in zip(self._plan, self._cells(line), strict=True):
                if self.get_cell(line.key, str(place)) != cell:
                    self.update_cell(line.key, str(place), cell)

    def _cells(self, row: Row) -> list[Text]:
        assert self._palette is not None
        tones = dict(row.tones)
        return [
            fitted(
                self._palette.text(
                    shortened(row.cells[place][: 4 * width + 100], 2 * width + 1), tones.get(place, "plain")
                ),
                width,
                right=self._wanted_columns[place].is_right,
            )
            for place, width in self._plan
        ]
