"""How numbers, names and commands are shown to people: in messages, and in the progress lines of a run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# From this many seconds on, a length of time is shown as hours, minutes and seconds.
SHOWN_PLAINLY: Final = 120.0

# About 30 years in seconds. A longer wait is shown as "ever", without a number or a date.
MAX_SECONDS: Final = 1e9


def shown_seconds(seconds: float) -> str:
    """Return a length of time as text: ``4.5 s``, ``0:02:00``, or ``ever``."""
    if seconds > MAX_SECONDS:
        return "ever"
    return f"{seconds:.3g} s" if seconds < SHOWN_PLAINLY else shown_clock(seconds)


def shown_clock(seconds: float) -> str:
    """Return a length of time as hours, minutes and whole seconds: ``0:01:30``."""
    return str(timedelta(seconds=round(seconds)))


def shown_rate(per_second: float) -> str:
    """Return a rate with two digits or more: ``0.5/s``, ``1,234/s``."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"  # noqa: PLR2004  two digits


def visible(text: str) -> str:
    """Return a text as one line that cannot control the terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shortened(text: str, most: int) -> str:
    """Return a text as one line of at most so many characters."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return the known name that an unknown word may stand for: `` (did you mean 'url'?)``. Empty if none is close."""
    from difflib import get_close_matches  # noqa: PLC0415  slow to import, for messages only

    names = {name.lower().replace("-", "_"): name for name in known}
    close = get_close_matches(str(word).lower().replace("-", "_"), names, 1)
    return f" (did you mean {names[close[0]]!r}?)" if close else ""


def check_keywords(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """
    Check the names of keyword arguments.

    Args:
        what: What takes them, for the message: ``starmap()``.
        given: The names that were given.
        known: The names that are known.

    Raises:
        TypeError: A name is unknown. The message names it, and one that may have been meant.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise TypeError(
                f"{what} has no keyword argument {name!r}{did_you_mean(name, names)}; there are {', '.join(names)}"
            )


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 line``, ``2 lines``. The default plural adds an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def install_command(extra: str) -> str:
    """Return the command that installs an extra, for messages. The package is on no index, so a clone is installed."""
    return f"pip install '.[{extra}]' (in a clone of lionpride_exec)"
