"""The errors and the durations in stored outcomes, read without the classes of the events. Some µs for each."""

from __future__ import annotations

from typing import Any

import msgspec

from lionpride_exec._base.error_shapes import code_in

from .envelope_tags import UNREADABLE


class StoredError(msgspec.Struct):
    """An error, without its traceback."""

    type: str
    message: str = ""
    details: Any = None

    @property
    def text(self) -> str:
        """The class and the message."""
        return f"{self.type}: {self.message}" if self.type and self.message else self.type or self.message

    @property
    def line(self) -> str:
        """Like :attr:`text`, but the message begins on the line of the class."""
        return f"{self.type}: {self.message.lstrip()}" if self.message else self.type

    @property
    def status_code(self) -> int | None:
        """The status code of the HTTP answer behind it. None if there is none."""
        return code_in(self.details)


class StoredOutcome(msgspec.Struct):
    """What is read of an outcome. Its response is left out."""

    error: StoredError | None = None
    duration: float | None = None


_outcomes = msgspec.json.Decoder(StoredOutcome)


def read_outcome(outcome: Any) -> StoredOutcome:
    """Return the error and the duration in a stored outcome. Both are None if the outcome cannot be read."""
    try:
        return _outcomes.decode(outcome)
    except UNREADABLE:
        return StoredOutcome()
