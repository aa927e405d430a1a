"""The errors of a run, told at its end: how many of each class, and where the first was raised."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._base.tracebacks import format_traceback, in_target
from lionpride_exec._cli.streams import say_block
from lionpride_exec._tracking.unseen_failures import failure_of

if TYPE_CHECKING:
    from lionpride_exec._events.event import Event

# How many classes are counted by name, and how many of them are named at the end.
MAX_KEPT, MAX_NAMED = 1000, 5
OTHERS = "others"


class Failures:
    """The errors of a run: a count by class, and the first traceback that leads into the code of the target."""

    def __init__(self) -> None:
        self._classes: Counter[str] = Counter()
        self._first: tuple[int | None, str] | None = None  # line of INPUT, traceback
        self._is_placed = False  # whether that traceback leads into code of the target

    def note(self, event: Event, number: int | None) -> None:
        """Count an event that failed, timed out or was aborted. Other events are no failure."""
        error = failure_of(event, event.execution.status)
        if error is None:
            return
        name = type(error).__name__
        self._classes[name if name in self._classes or len(self._classes) < MAX_KEPT else OTHERS] += 1
        if not self._is_placed:
            place = in_target(error.__traceback__)
            if place is not None or self._first is None:
                text = traceback_of(error)
                self._first = number, mask(text, secrets_of(event))
                self._is_placed = place is not None

    def tell(self) -> None:
        """Write the report to standard error. Write nothing if nothing has failed."""
        if self._first is None:
            return
        named = self._classes.most_common(MAX_NAMED)
        others = self._classes.total() - sum(number for _, number in named)
        parts = [f"{number:,} {name}" for name, number in named] + ([f"{others:,} {OTHERS}"] if others else [])
        number, text = self._first
        where = "" if number is None else f", of line {number:,}"
        say_block(f"errors: {', '.join(parts)}; the first{where}:", text)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, from the code of the target on. Never raise."""
    try:
        return format_traceback(error)
    except Exception:  # noqa: BLE001  an error may fail when it is formatted
        return type(error).__name__
