"""The screen of the events that fit a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.widgets import DataTable, Static

from lionpride_exec._base.wording import shortened
from lionpride_exec.errors import NotFoundError

from .event_screen import EventScreen
from .feed import CANNOT_READ, shown_error
from .listing import Listing
from .rows import EVENT_ORDERS, EVENTS, event_rows
from .screen import TopScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.binding import BindingType
    from textual.widget import Widget

    from lionpride_exec._faces.snapshot import Choice, EventLine

    from .desk import Desk
    from .screen import Aim

# Events that are read at a time.
PAGE = 50


class EventsScreen(TopScreen):
    """
    The events that fit, the newest first. More are read when the cursor comes to the last one.

    While nobody has asked for more, the list follows what happens. A search for a text shows what it found.

    Args:
        desk: What the screens share.
        title: What is shown.
        choice: Which events.
        ref: An event that comes first, if there is one that this text means.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.back", "Back")]
    AUTO_FOCUS = "#events"

    def __init__(self, desk: Desk, title: str, choice: Choice, ref: str | None = None) -> None:
        super().__init__(desk)
        self._title = title
        self._choice = choice
        self._ref = ref
        self._order = 0
        self._lines: list[EventLine] = []
        self._before: str | None = None
        self._is_whole = False  # nothing is left to be read
        self._is_reading = False
        self._is_followed = choice.text is None
        self._trouble = ""

    def body(self) -> Iterable[Widget]:
        """Yield the title and the table."""
        yield Static(id="title")
        yield Listing(EVENTS, id="events")

    def show_body(self) -> None:
        """Show the events that were read."""
        palette = self.desk.palette
        title = palette.text(shortened(self._title, 500), bold=True)
        title.truncate(max(self.size.width - 2, 1), overflow="ellipsis")
        self.query_one("#title", Static).update(title, layout=False)
        table = self.query_one("#events", Listing)
        table.border_title = self._found()
        table.show(event_rows(self._sorted()), palette)

    def _sorted(self) -> list[EventLine]:
        return sorted(self._lines, key=EVENT_ORDERS[self._order][1])

    def _found(self) -> str:
        count = f"{len(self._lines):,} {'event' if len(self._lines) == 1 else 'events'}"
        if self._is_reading:
            return f"{count}, reading …"
        if self._trouble:
            return f"{count}, then it could not be read"
        name = EVENT_ORDERS[self._order][0]
        return f"{count}, {name}" if self._is_whole else f"{count}, {name}; go down for more"

    def begin(self) -> None:
        """Read the first events."""
        self._read(PAGE)

    async def follow(self) -> None:
        """Read the first page again, if the list follows what happens."""
        if self._is_followed and not self._is_reading:
            try:
                page = await self.desk.source.events(self._choice, None, PAGE)
            except CANNOT_READ:
                return  # the line for messages says so
            self._lines, self._before = list(page.lines), page.before
            self._is_whole, self._trouble = page.before is None, ""
            self.show()

    def _read(self, wanted: int) -> None:
        """Begin to read until there are so many events."""
        self._is_reading = True
        self.run_worker(self._read_until(wanted), group="read", exclusive=True)

    async def _read_until(self, wanted: int) -> None:
        try:
            if not self._lines and self._before is None:
                await self._read_named()
            while len(self._lines) < wanted and not self._is_whole:
                page = await self.desk.source.events(self._choice, self._before, PAGE)
                known = {line.id for line in self._lines}
                self._lines += [line for line in page.lines if line.id not in known]
                self._before, self._is_whole = page.before, page.before is None
                self.show()
            self._trouble = ""
        except CANNOT_READ as exc:
            self._trouble = shown_error(exc)
            self.desk.say(f"Cannot be read now: {self._trouble}")
        finally:
            self._is_reading = False
        self.show()

    async def _read_named(self) -> None:
        """Read the event that the text to find names, if it does."""
        if self._ref is not None:
            try:
                self._lines.append((await self.desk.source.event(self._ref)).line)
            except NotFoundError:
                return

    def aim(self) -> Aim:
        """Return the event under the cursor."""
        chosen = self.query_one("#events", Listing).chosen
        return next((line for line in self._lines if line.id == chosen), None)

    def action_sort(self) -> None:
        """Sort the events that were read in the next order."""
        self._order = (self._order + 1) % len(EVENT_ORDERS)
        self.show()

    def on_data_table_row_highlighted(self, highlighted: DataTable.RowHighlighted) -> None:
        """Read more when the cursor is on the last event."""
        at_end = highlighted.cursor_row == len(self._lines) - 1
        if at_end and not self._is_whole and not self._is_reading and len(self._lines) >= PAGE:
            self._is_followed = False
            self._read(len(self._lines) + PAGE)

    def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Open the event."""
        aim = self.aim()
        if aim is not None:
            self.app.push_screen(EventScreen(self.desk, aim.id))
