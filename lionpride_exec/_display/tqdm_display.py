"""The display that is a bar of ``tqdm``: a widget in a notebook, and a line elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TextIO

from tqdm.auto import tqdm

from lionpride_exec._base.wording import visible

from .parts import LONGEST_BAR, fitted, joined

if TYPE_CHECKING:
    from .parts import View

# What tqdm itself writes in front of the text: the percentage and the frame of the bar.
FRAME: Final = len("100%|| ")


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A bar whose text is ours: our rate and time left know of the limits."""

    monitor_interval = 0  # no thread beside the event loop
    text = ""

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values of the format."""
        return {**super().format_dict, "text": self.text}


class TqdmDisplay:
    """
    Shows a bar of ``tqdm``.

    Args:
        file: The stream. None for the usual one of ``tqdm``.
        description: What the progress is of.
        is_transient: Whether the bar disappears at the end.
    """

    interval = 0.5
    draws = True

    def __init__(self, file: TextIO | None, *, description: str, is_transient: bool) -> None:
        self._bar = _Bar(
            total=1,  # a bar without a total would never get one in a notebook
            desc=visible(description) or None,
            file=file,
            leave=not is_transient,
            dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {text}",
        )

    def update(self, view: View) -> None:
        """Draw the bar again."""
        bar = self._bar
        bar.set_description_str(f"{visible(view.description)}: " if view.description else "", refresh=False)
        bar.n, bar.total = round(view.done), view.total and round(view.total)
        if (widget := getattr(bar, "container", None)) is not None:  # in a notebook, which has a total of its own
            widget.children[1].max = bar.total or max(bar.n, 1)
        columns = bar.format_dict["ncols"]
        if columns is None:  # a notebook has room for all
            text = joined(part for line in view.lines for part in line)
        else:
            text = fitted(view.lines[0], max(columns - len(bar.desc) - FRAME - LONGEST_BAR, 0))
        bar.text = visible(text)
        bar.refresh()

    def message(self, text: str) -> None:
        """Show a line above the bar."""
        self._bar.write(visible(text), file=self._bar.fp)

    def close(self, last: View | None = None) -> None:
        """Draw the last view, which stays, or remove the bar."""
        if last is not None and not self._bar.disable:
            self.update(last)
        self._bar.close()
