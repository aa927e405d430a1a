"""The arguments of the command ``top``. The command needs the extra ``top`` when it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .guard import TOP, guarded

if TYPE_CHECKING:
    from cyclopts import App


def add_top_command(app: App) -> None:
    """Add the command ``top`` to an app."""
    app.command(top)


@guarded(TOP)
def top(target: str, /) -> int:
    """
    Show a run on the terminal while it goes on, read once a second, until q is pressed; ? shows the keys.

    Args:
        target: File of a journal, or the URL of a dashboard, http://127.0.0.1:8765/, with its ?token= if it has one.
    """
    from .top.command import show_top  # noqa: PLC0415  the extra may not be installed

    return show_top(target)
