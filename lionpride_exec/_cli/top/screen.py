"""What all screens of ``top`` have: the line at the top, the line for messages, the keys, and questions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from rich.text import Text
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Footer, Static

from lionpride_exec._base.wording import shortened
from lionpride_exec._faces.snapshot import Action, Choice, ErrorLine, EventLine

from .dialogs import ConfirmScreen
from .feed import CANNOT_READ, shown_error
from .panels import clock, head
from .rows import event_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.events import Resize, ScreenResume
    from textual.widget import Widget

    from .desk import Desk
    from .feed import Reading

# From this width on, the keys at the bottom have room between them.
_ROOMY: Final = 110

# What actions are said to come from.
BY: Final = "top"

# What an action is about.
Aim: TypeAlias = "EventLine | ErrorLine | None"


class TopScreen(Screen[None]):
    """
    A screen of ``top``.

    Args:
        desk: What the screens share.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort"),
        Binding("c", "cancel", "Cancel"),
        Binding("r", "retry", "Retry"),
    ]

    # How many lines of the head are shown. None for all.
    HEAD_LINES: ClassVar[int | None] = 1

    # Whether there is a table to be sorted.
    IS_SORTED: ClassVar[bool] = True

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    # ---------------------------------------------------------------- what the screens have of their own

    def body(self) -> Iterable[Widget]:
        """Yield what stands between the head and the line for messages."""
        raise NotImplementedError

    def show_body(self) -> None:
        """Show what was read last. Called once a second, and when something of the screen has changed."""
        raise NotImplementedError

    def begin(self) -> None:
        """Begin to read what only this screen shows."""
        self.run_worker(self.follow(), group="follow", exclusive=True)

    async def follow(self) -> None:
        """Read what only this screen shows. Called when something has changed in the source."""

    def aim(self) -> Aim:
        """Return what an action is about: the event or the errors that the cursor is on."""
        return None

    def action_sort(self) -> None:
        """Sort in the next order. Offered where ``IS_SORTED`` is set."""

    # ---------------------------------------------------------------- what they have in common

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        yield Static(id="head")
        yield from self.body()
        yield Static(id="message")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show what is known, and read what only this screen shows."""
        self.show()
        self.begin()

    def on_screen_resume(self, _: ScreenResume) -> None:
        """Show what has changed while another screen lay above."""
        self.show()

    def on_resize(self, _: Resize) -> None:
        """Fit the lines into the new width."""
        self.query_one(Footer).compact = self.size.width < _ROOMY
        self.call_after_refresh(self.show)

    def show(self) -> None:
        """Show what was read last."""
        reading = self.desk.feed.reading
        if reading is None or not self.is_mounted:
            return
        with suppress(NoMatches):  # the screen is being taken apart
            self._show_all(reading)

    def _show_all(self, reading: Reading) -> None:
        lines = head(reading, max(self.size.width - 2, 1), self.desk.palette, self.desk.frozen_at)
        put_lines(self.query_one("#head", Static), lines[: self.HEAD_LINES])
        self._show_message()
        self.show_body()

    def _show_message(self) -> None:
        trouble, text = self.desk.feed.trouble, self.desk.message
        if trouble is not None:
            reading = self.desk.feed.reading
            since = "" if reading is None else f" This is of {clock(reading.snapshot.at)}."
            text = f"Cannot be read now: {shortened(trouble, 300)}.{since} Trying again."
        message = self.query_one("#message", Static)
        message.set_class(bool(text), "-shown")
        shown = self.desk.palette.text(text, "plain" if trouble is None else "bad", bold=trouble is not None)
        shown.no_wrap = False
        message.update(shown)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether a key is offered: those that change something, only where the source takes actions."""
        if action in {"cancel", "retry"}:
            return self.desk.source.takes_actions
        if action == "sort":
            return self.IS_SORTED
        return super().check_action(action, parameters)

    # ---------------------------------------------------------------- actions

    def action_cancel(self) -> None:
        """Ask whether to cancel the event."""
        aim = self.aim()
        if isinstance(aim, EventLine):
            self.ask(f"Cancel event {_named(aim)}?", Action(what="cancel", by=BY, id=aim.id))
        else:
            self.tell("No event is chosen that could be cancelled.")

    def action_retry(self) -> None:
        """Ask whether to run the event again, or all events with an error."""
        aim = self.aim()
        if isinstance(aim, EventLine):
            self.ask(f"Run event {_named(aim)} again?", Action(what="retry", by=BY, id=aim.id))
        elif isinstance(aim, ErrorLine):
            question = f"Run {aim.count:,} {aim.status} events again, with the error {shortened(aim.shape, 200)}?"
            choice = Choice(status=aim.status, error=aim.shape)
            self.ask(question, Action(what="retry", by=BY, choice=choice))
        else:
            self.tell("No event is chosen that could be run again.")

    def ask(self, question: str, action: Action) -> None:
        """Ask whether to do something, and do it if the answer is yes."""

        def answered(is_yes: bool | None) -> None:
            """Do it."""
            if is_yes:
                self.run_worker(self._act(action), group="act")

        self.app.push_screen(ConfirmScreen(question), answered)

    async def _act(self, action: Action) -> None:
        try:
            answer = await self.desk.source.act(action)
        except CANNOT_READ as exc:
            answer = f"{action.what}: {shown_error(exc)}"
        self.tell(answer)
        self.desk.wake()

    def tell(self, message: str) -> None:
        """Show a message."""
        self.desk.say(message)
        self.show()


def put_lines(widget: Static, lines: Sequence[Text]) -> None:
    """Show lines in a widget. Nothing is laid out anew if their number is as before."""
    text = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
    before = widget.content
    if isinstance(before, Text) and before == text and before.spans == text.spans:
        return
    height = str(before).count("\n") if isinstance(before, Text) else None
    widget.update(text, layout=height != len(lines) - 1)


def _named(line: EventLine) -> str:
    return f"{event_name(line)} {line.kind}".strip()
