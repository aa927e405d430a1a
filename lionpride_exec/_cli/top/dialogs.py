"""The small screens that lie above another one: a question, the words to find, and the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lionpride_exec._base.wording import shortened, visible

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

_KEYS: Final = (
    ("Tab", "go to the next table"),
    ("Up, Down", "choose a row"),
    ("Enter", "open the event, or the events with the error"),
    ("Escape", "go back"),
    ("s", "sort the table in the next order"),
    ("/", "find events: a text, or a number, id or key"),
    ("f", "show the events that failed"),
    ("Space", "freeze the screen, and go on"),
    ("d", "dark or light"),
    ("q", "quit"),
)
_ACTIONS: Final = (
    ("p", "pause: start nothing more; and resume"),
    ("c", "cancel the event"),
    ("r", "run the event again, or all with the error"),
)


class ConfirmScreen(ModalScreen[bool]):
    """
    A question, answered by a key. Its result is whether the answer was yes.

    Args:
        question: The question.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Show the question."""
        with Vertical(id="dialog"):
            yield Static(Text(visible(shortened(self._question, 400))))
            yield Static(Text.assemble("\n", ("y", "bold"), " yes     ", ("n", "bold"), " no"))

    def action_answer(self, answer: bool) -> None:
        """Close the screen with an answer."""
        self.dismiss(answer)


class FindScreen(ModalScreen[str]):
    """Asks for a text. Its result is the text, or "" if nothing is to be found."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "give_up", "Back")]

    def compose(self) -> ComposeResult:
        """Show the input."""
        with Vertical(id="dialog"):
            yield Static(Text("Find events by a part of their fields, kind, key or error; or by number, id or key."))
            yield Input(placeholder="text")

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """Close the screen with the text."""
        self.dismiss(submitted.value.strip())

    def action_give_up(self) -> None:
        """Close the screen without a text."""
        self.dismiss("")


class HelpScreen(ModalScreen[None]):
    """
    Shows the keys.

    Args:
        takes_actions: Whether the source does what people ask for.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter,space,question_mark", "close", "Back")]

    def __init__(self, *, takes_actions: bool) -> None:
        super().__init__()
        self._keys = _KEYS + (_ACTIONS if takes_actions else ())
        self._takes_actions = takes_actions

    def compose(self) -> ComposeResult:
        """Show a line for each key."""
        lines = [Text.assemble((f"{key:<10}", "bold"), words) for key, words in self._keys]
        if not self._takes_actions:
            lines.append(Text("Nothing can be changed here, only looked at.", "dim"))
        with VerticalScroll(id="dialog"):
            yield Static(Text("\n").join(lines))

    def action_close(self) -> None:
        """Close the screen."""
        self.dismiss()
