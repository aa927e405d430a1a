"""Texts with a meaning that a colour repeats. Nothing is told by a colour alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs
from rich.text import Text

from lionpride_exec._base.wording import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

Tone: TypeAlias = Literal["plain", "good", "bad", "warning", "accent", "quiet"]

STATUS_TONES: Final[dict[str, Tone]] = {
    "processing": "accent",
    "completed": "good",
    "failed": "bad",
    "aborted": "bad",
    "cancelled": "warning",
    "skipped": "quiet",
    "pending": "plain",
    "held": "warning",
}

_VARIABLES: Final[dict[Tone, str]] = {
    "good": "text-success",
    "bad": "text-error",
    "warning": "text-warning",
    "accent": "text-primary",
}


@attrs.frozen
class Palette:
    """The styles of the tones, in one theme."""

    styles: Mapping[Tone, str]

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Palette:
        """Return the palette of a theme: its variables, as Textual has them."""
        styles: dict[Tone, str] = {tone: variables.get(name, "") for tone, name in _VARIABLES.items()}
        return cls({**styles, "plain": "", "quiet": "dim"})

    def text(self, words: str, tone: Tone = "plain", *, bold: bool = False) -> Text:
        """Return words as one line that has a tone, cannot control the terminal, and has no markup."""
        style = self.styles[tone]
        return Text(visible(words), f"bold {style}" if bold else style, no_wrap=True, end="")


def fitted(text: Text, width: int, *, right: bool = False) -> Text:
    """Return a text cut or filled to a width. A cut text ends with ``…``."""
    if text.cell_len > width:
        text = text.copy()
        text.truncate(width, overflow="ellipsis")
    missing = width - text.cell_len
    if missing <= 0:
        return text
    return Text.assemble(" " * missing, text) if right else Text.assemble(text, " " * missing)


def flowed(parts: list[Text], width: int, gap: str = "   ") -> list[Text]:
    """Return parts on as few lines of a width as they need. A part longer than a line is cut."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + len(gap) + part.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], gap, part)
        else:
            whole = part.copy()
            whole.truncate(width, overflow="ellipsis")
            lines.append(whole)
    return lines
