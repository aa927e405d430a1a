"""The wall clock of the package, in one place so that tests can replace it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class WallClock:
    """
    A source of the time of day.

    Attributes:
        now: Returns the time (UTC). An attribute and no method, because an event reads the time four times: a
            ``functools.partial`` is called without a Python frame.
    """

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Callable[[], datetime] = partial(datetime.now, UTC)


wall_clock: Final = WallClock()
