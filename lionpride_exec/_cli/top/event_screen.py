"""The screen of one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from lionpride_exec.errors import NotFoundError

from .event_text import event_text
from .feed import CANNOT_READ, shown_error
from .screen import TopScreen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.binding import BindingType
    from textual.widget import Widget

    from lionpride_exec._faces.snapshot import EventView

    from .desk import Desk
    from .screen import Aim


class EventScreen(TopScreen):
    """
    All about one event. The screen follows the event while it waits, runs and ends.

    Args:
        desk: What the screens share.
        ref: The event, as ``Source.event()`` takes it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "app.back", "Back")]
    AUTO_FOCUS = "#details"
    IS_SORTED: ClassVar[bool] = False

    def __init__(self, desk: Desk, ref: str) -> None:
        super().__init__(desk)
        self._ref = ref
        self._view: EventView | None = None
        self._trouble = ""
        self._shown = Text()

    def body(self) -> Iterable[Widget]:
        """Yield a text that can be scrolled."""
        yield VerticalScroll(Static(id="text"), id="details")

    def show_body(self) -> None:
        """Show what was read last of the event."""
        palette = self.desk.palette
        if self._view is None:
            text = palette.text(self._trouble or "reading …", "bad" if self._trouble else "quiet")
        else:
            text = event_text(self._view, self.desk.now, palette)
            if self._trouble:
                text = Text.assemble(palette.text(self._trouble, "bad", bold=True), "\n\n", text)
        text.no_wrap = False
        if text != self._shown or text.spans != self._shown.spans:
            self._shown = text
            self.query_one("#text", Static).update(text)

    async def follow(self) -> None:
        """Read the event."""
        try:
            self._view, self._trouble = await self.desk.source.event(self._ref), ""
        except NotFoundError as exc:
            self._trouble = shown_error(exc) if self._view is None else "The event is no longer there. It was:"
        except CANNOT_READ as exc:
            self._trouble = f"Cannot be read now: {shown_error(exc)}"
        self.show()

    def aim(self) -> Aim:
        """Return the event."""
        return None if self._view is None else self._view.line
