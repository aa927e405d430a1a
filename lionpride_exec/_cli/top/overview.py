"""The first screen of ``top``: how the run goes, what holds it up, what runs, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import Container
from textual.widgets import DataTable, Static

from lionpride_exec._faces.snapshot import Choice, ErrorLine, EventLine

from .event_screen import EventScreen
from .events_screen import EventsScreen
from .listing import Listing
from .panels import limits, use
from .rows import ERROR_ORDERS, ERRORS, RUNNING, RUNNING_ORDERS, error_rows, running_rows
from .screen import TopScreen, put_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.widget import Widget

    from .desk import Desk
    from .feed import Reading
    from .screen import Aim

# How many limits are shown on screens of at least so many lines, and on lower ones.
_LIMITS = ((36, 8), (24, 4), (20, 2))
_FEW_LIMITS = 1

# On screens with fewer lines, each part of the upper panel has one line.
_LOW = 24


class OverviewScreen(TopScreen):
    """How the run goes."""

    HEAD_LINES: ClassVar[int | None] = None
    AUTO_FOCUS = "#running"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._running_order = self._error_order = 0
        self._run_lines: list[EventLine] = []
        self._error_lines: list[ErrorLine] = []

    def body(self) -> Iterable[Widget]:
        """Yield the panels and the tables."""
        yield Container(Static(id="use"), Static(id="limits"), id="above")
        yield Listing(RUNNING, id="running")
        yield Listing(ERRORS, id="errors")

    def show_body(self) -> None:
        """Show what was read last."""
        reading = self.desk.feed.reading
        assert reading is not None
        self._show_above(reading)
        self._show_running(reading)
        self._show_errors(reading)

    def _show_above(self, reading: Reading) -> None:
        palette, now = self.desk.palette, self.desk.now
        left, right = self.query_one("#use", Static), self.query_one("#limits", Static)
        left.border_title, right.border_title = "Slots and waits", "Limits nearest to full"
        left_width = left.content_size.width or self.size.width - 2
        put_lines(left, use(reading, left_width, palette, now, is_short=self.size.height < _LOW))
        right_width = right.content_size.width or self.size.width - 2
        count = next((count for height, count in _LIMITS if self.size.height >= height), _FEW_LIMITS)
        found = limits(reading.limits, count, right_width, palette)
        if not found:
            words = "none" if reading.snapshot.is_live else "not known: no process answers"
            found = [palette.text(words, "quiet")]
        put_lines(right, found)

    def _show_running(self, reading: Reading) -> None:
        name, key = RUNNING_ORDERS[self._running_order]
        self._run_lines = sorted(reading.running, key=key) if self._running_order else list(reading.running)
        table = self.query_one("#running", Listing)
        count = max(reading.snapshot.counts.get("processing", 0), len(self._run_lines))
        shown = f"{len(self._run_lines):,} of {count:,}" if count > len(self._run_lines) else f"{count:,}"
        table.border_title = f"Running: {shown}, {name}" if count else "Running: none"
        table.show(running_rows(self._run_lines, self.desk.now), self.desk.palette)

    def _show_errors(self, reading: Reading) -> None:
        name, key = ERROR_ORDERS[self._error_order]
        self._error_lines = sorted(reading.errors, key=key) if self._error_order else list(reading.errors)
        table = self.query_one("#errors", Listing)
        kinds = "1 kind" if len(self._error_lines) == 1 else f"{len(self._error_lines):,} kinds"
        table.border_title = f"Errors: {kinds}, {name}" if self._error_lines else "Errors: none"
        table.show(error_rows(self._error_lines, self.desk.now), self.desk.palette)

    def aim(self) -> Aim:
        """Return the event or the errors under the cursor of the table that has the focus."""
        if self.focused is self.query_one("#errors"):
            place = self.query_one("#errors", Listing).cursor_row
            return self._error_lines[place] if place < len(self._error_lines) else None
        chosen = self.query_one("#running", Listing).chosen
        return next((line for line in self._run_lines if line.id == chosen), None)

    def action_sort(self) -> None:
        """Sort the table that has the focus in the next order."""
        if self.focused is self.query_one("#errors"):
            self._error_order = (self._error_order + 1) % len(ERROR_ORDERS)
        else:
            self._running_order = (self._running_order + 1) % len(RUNNING_ORDERS)
        self.show()

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Open the event, or the events with the error."""
        aim = self.aim()
        if isinstance(aim, EventLine):
            self.app.push_screen(EventScreen(self.desk, aim.id))
        elif isinstance(aim, ErrorLine):
            choice = Choice(status=aim.status, error=aim.shape)
            self.app.push_screen(EventsScreen(self.desk, f"{aim.status}: {aim.shape}", choice))
