"""The errors of a run, told at its end: how many of each kind, and where the first was raised."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lionpride_exec._base.error_shapes import status_code_of
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._base.tracebacks import PACKAGE, format_traceback, is_placed, traceback_of_user
from lionpride_exec._base.wording import shortened
from lionpride_exec._cli.streams import say_block
from lionpride_exec._tracking.unseen_failures import failure_of
from lionpride_exec.errors import RemoteError

from .target import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event

# How many kinds are counted apart, and how many of them are named at the end.
MAX_KEPT, MAX_NAMED = 1000, 5
OTHERS = "others"
# Characters of the message of a brief report, and how to get a longer one.
LONGEST_BRIEF, MORE = 300, "--traceback shows the whole traceback"

# What stands between the errors of a chain, and how the frames of a traceback name their files.
_BETWEEN: Final = re.compile(
    r"(\n\n(?:The above exception was the direct cause|During handling of the above exception).*\n\n)"
)
_FILES: Final = re.compile(r'^ {2}File "([^"]+)"', re.MULTILINE)
_FRAMES: Final = re.compile(r'^ {2}File "([^"]+)", line (\d+), in (.+)$', re.MULTILINE)
_MESSAGE: Final = re.compile(r"^\S(?!raceback ).*", re.MULTILINE | re.DOTALL)
# Where installed packages and Python are.
_INSTALLED: Final = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})


class Failures:
    """The errors of a run: a count by kind, and the first traceback that leads into the code of the target."""

    def __init__(self) -> None:
        # By the name of the class, and the status code of the HTTP answer behind the error, None if there is none.
        self._kinds: Counter[tuple[str, int | None]] = Counter()
        self._first: tuple[int | None, str, str] | None = None  # line of INPUT, class with message, traceback
        self._is_placed = False  # whether that traceback leads into code of the target

    @property
    def counts(self) -> dict[str, int]:
        """How many events have failed, by the class of the error. The class with most of them comes first."""
        classes: Counter[str] = Counter()
        for (name, _), number in self._kinds.items():
            classes[name] += number
        return dict(classes.most_common())

    def note(self, event: Event, number: int | None) -> None:
        """Count an event that failed, timed out or was aborted. Other events are no failure."""
        error = failure_of(event, event.execution.status)
        if error is None:
            return
        name, remote = type(error).__name__, ""
        if type(error) is RemoteError and error.type_name:  # of an event that a cluster ran, in whichever process
            name, remote = error.type_name.rpartition(".")[2], error.traceback_text
        kind = name, status_code_of(error)
        self._kinds[kind if kind in self._kinds or len(self._kinds) < MAX_KEPT else (OTHERS, None)] += 1
        if not self._is_placed:
            leads_there = bool(remote) or is_placed(error)
            if leads_there or self._first is None:
                text = remote or traceback_of(error)
                secrets = secrets_of(event)
                self._first = number, mask(describe(error), secrets), mask(without_frames_of_causes(text), secrets)
                self._is_placed = leads_there

    def tell(self, place: Callable[[int], str], *, is_brief: bool = False) -> None:
        """
        Write the report to standard error. Write nothing if nothing has failed.

        Args:
            place: Tells where a line of INPUT is.
            is_brief: Whether the first error has its message and the line of code that raised it, without a traceback.
        """
        if self._first is None:
            return
        named = self._kinds.most_common(MAX_NAMED)
        others = self._kinds.total() - sum(number for _, number in named)
        parts = [f"{number:,} {name}{'' if code is None else f' {code}'}" for (name, code), number in named]
        parts += [f"{others:,} {OTHERS}"] if others else []
        number, described, text = self._first
        if is_brief:
            text = f"{shortened(described, LONGEST_BRIEF)}\n{_place_in_user_code(text)}{MORE}"
        where = "" if number is None else f", of {place(number)}"
        say_block(f"errors: {', '.join(parts)}; the first{where}:", text)


def without_frames_of_causes(text: str) -> str:
    """
    Return a traceback without the frames of causes that were raised and caught inside installed packages.

    Their messages stay, and so does all of the last error. A client library has dozens of frames below the one that the
    target called.
    """
    *causes, last = _BETWEEN.split(text)
    return "".join(map(_short, causes)) + last


def _place_in_user_code(text: str) -> str:
    """Return the innermost frame of a traceback that is in no package, with a semicolon. "" if none is."""
    frames = [
        frame for frame in _FRAMES.findall(_BETWEEN.split(text)[-1]) if not frame[0].startswith((*_INSTALLED, PACKAGE))
    ]
    if not frames:
        return ""
    file, line, function = frames[-1]
    path = Path(file)
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{line}, in {function}; "


def _short(cause: str) -> str:
    files = _FILES.findall(cause)
    message = _MESSAGE.search(cause)
    if not files or message is None or not all(file.startswith(_INSTALLED) for file in files):
        return cause
    return message[0]


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, from the code of the target on. Never raise."""
    return _formatted(format_traceback, error)


def user_traceback_of(error: BaseException) -> str:
    """Return the traceback of an error that no event has, from the code of the user on. "" if none is in it."""
    return _formatted(traceback_of_user, error)


def _formatted(function: Callable[[BaseException], str], error: BaseException) -> str:
    try:
        return function(error)
    except Exception:  # noqa: BLE001  an error may fail when it is formatted
        return type(error).__name__
