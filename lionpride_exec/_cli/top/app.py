"""The application behind ``top``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import App
from textual.binding import Binding

from lionpride_exec._faces.snapshot import Action, Choice

from .desk import Desk
from .dialogs import FindScreen, HelpScreen
from .events_screen import EventsScreen
from .feed import Pace
from .overview import OverviewScreen
from .screen import BY, TopScreen
from .tones import Palette

if TYPE_CHECKING:
    from textual.binding import BindingType

    from .feed import Feed

# The themes of the key "d". Others can be had by TEXTUAL_THEME.
DARK: Final = "textual-dark"
LIGHT: Final = "textual-light"


class TopApp(App[None]):
    """
    Shows a run, and reads it once a second.

    Args:
        feed: What is shown. It has been read once.

    Attributes:
        failure: The error of a program that has ended the application. None if there was none.
    """

    CSS_PATH = "top.tcss"
    TITLE = "lionpride-exec top"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  Textual declares it so
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False),
        Binding("space", "freeze", "Freeze", key_display="Space"),
        Binding("slash", "find", "Find", key_display="/"),
        Binding("f", "failed", "Failed"),
        Binding("p", "pause", "Pause"),
        Binding("d", "darken", show=False),
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.desk = Desk(feed)
        self.failure: Exception | None = None
        self.animation_level = "none"  # what moves costs CPU

    def get_default_screen(self) -> OverviewScreen:
        """Return the screen below all others."""
        return OverviewScreen(self.desk)

    def on_mount(self) -> None:
        """Begin to read."""
        self._recolour()
        self.theme_changed_signal.subscribe(self, lambda _: self._recolour())
        self.run_worker(self._keep_reading())

    async def _keep_reading(self) -> None:
        pace = Pace()
        try:
            while True:
                is_woken = await self.desk.sleep(pace.wait)
                pace.begin()
                await self.read(anew=is_woken)
                pace.end()
        except Exception as exc:  # noqa: BLE001  else Textual draws the traceback, with the values of all variables
            self.failure = exc
            self.exit()

    async def read(self, *, anew: bool = False) -> None:
        """
        Read the source, unless the screen is frozen, and show what has changed.

        Args:
            anew: Read although nothing has changed.
        """
        self.desk.count_down()
        screen = self.screen
        if self.desk.frozen_at is None:
            is_new = await self.desk.feed.read(anew=anew)
            if is_new and self.desk.feed.error is None and isinstance(screen, TopScreen):
                await screen.follow()
        self._show()

    def _show(self) -> None:
        if isinstance(self.screen, TopScreen):
            self.screen.show()

    def _recolour(self) -> None:
        self.desk.palette = Palette.of(self.theme_variables)
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether a key is offered: those that change something only where the source takes actions."""
        if action == "pause":
            return self.desk.source.takes_actions
        return super().check_action(action, parameters)

    # ---------------------------------------------------------------- keys

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(HelpScreen(takes_actions=self.desk.source.takes_actions))

    def action_freeze(self) -> None:
        """Let the screen stay as it is, or go on."""
        if self.desk.frozen_at is None:
            self.desk.frozen_at = self.desk.feed.now
            self._show()
        else:
            self.desk.frozen_at = None
            self.desk.wake()

    def action_find(self) -> None:
        """Ask for a text, and show the events that have it."""

        def found(text: str | None) -> None:
            """Show the events."""
            if text:
                self._open(EventsScreen(self.desk, f"Found: {text}", Choice(text=text), text))

        self.push_screen(FindScreen(), found)

    def action_failed(self) -> None:
        """Show the events that failed."""
        self._open(EventsScreen(self.desk, "Failed events", Choice(status="failed")))

    def _open(self, screen: EventsScreen) -> None:
        """Show a list of events, in place of another list."""
        if isinstance(self.screen, EventsScreen):
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    def action_pause(self) -> None:
        """Ask whether to pause, or to resume."""
        reading, screen = self.desk.feed.reading, self.screen
        if reading is None or not isinstance(screen, TopScreen):
            return
        if reading.snapshot.state == "paused":
            screen.ask("Resume: start events again?", Action(what="resume", by=BY))
        else:
            screen.ask("Pause: start no more events? Running events go on.", Action(what="pause", by=BY))

    def action_darken(self) -> None:
        """Change between the dark and the light theme."""
        self.theme = LIGHT if self.current_theme.dark else DARK
