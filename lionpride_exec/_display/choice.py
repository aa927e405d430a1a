"""Which display a stream gets."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal, TextIO, get_args

from lionpride_exec._base.wording import install_command
from lionpride_exec.errors import ConfigurationError

from .displays import PlainDisplay, SilentDisplay, is_terminal

if TYPE_CHECKING:
    from .displays import Display

Style = Literal["auto", "rich", "tqdm", "plain", "none"]

# The packages behind two of the styles.
NEEDS_PACKAGE: Final = ("rich", "tqdm")


def check_style(style: str) -> None:
    """
    Check a style.

    Raises:
        ValueError: There is no such style.
        ConfigurationError: The package that the style needs is not installed.
    """
    if style not in get_args(Style):
        raise ValueError(f"style must be one of {', '.join(get_args(Style))}, got {style!r}")
    if style in NEEDS_PACKAGE and find_spec(style) is None:
        raise ConfigurationError(f"style {style!r} needs {style}: {install_command('progress')}")


def make_display(style: Style, file: TextIO | None, description: str = "", *, is_transient: bool = False) -> Display:
    """
    Return the display for a stream.

    Args:
        style: A style that :func:`check_style` accepts.
        file: The stream. None for standard error, or for the output of a notebook.
        description: What the progress is of.
        is_transient: Whether nothing stays at the end.
    """
    stream = sys.stderr if file is None else file
    if stream is None:  # a program without a console has no standard error
        return SilentDisplay(None)
    if style == "auto":
        style = _style_for(stream, may_be_notebook=file is None)
    if style == "tqdm":
        from .tqdm_display import TqdmDisplay  # noqa: PLC0415  needs the extra

        return TqdmDisplay(file, description=description, is_transient=is_transient)
    return make_own_display(style, stream)


def make_own_display(style: str, file: TextIO, prefix: str = "") -> Display:
    """
    Return a display that needs no other library than ``rich``, which draws only where it can.

    Args:
        style: "rich", "plain" or "none".
        file: The stream.
        prefix: What each message begins with.
    """
    if style == "rich":
        from .rich_display import RichDisplay, can_draw  # noqa: PLC0415  slow to import, and needs the extra

        if can_draw(file):
            return RichDisplay(file, prefix)
    return SilentDisplay(file, prefix) if style == "none" else PlainDisplay(file, prefix)


def _style_for(file: TextIO, *, may_be_notebook: bool) -> Style:
    """Return what suits a stream, of what is installed."""
    if may_be_notebook and _is_notebook():
        return "tqdm" if find_spec("tqdm") else "plain"
    if not is_terminal(file):
        return "plain"
    return "rich" if find_spec("rich") else "tqdm" if find_spec("tqdm") else "plain"


def _is_notebook() -> bool:
    """Return whether this program is a kernel of Jupyter."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if ask is None else ask()
    return "IPKernelApp" in getattr(shell, "config", ())
