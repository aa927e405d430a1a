"""What the screens of ``top`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from .tones import Palette

if TYPE_CHECKING:
    from lionpride_exec._faces.snapshot import Source

    from .feed import Feed

# Readings for which a message stays.
_KEPT: Final = 10


class Desk:
    """
    What the screens share: what was read, the colours, and the line for messages.

    Args:
        feed: Where the screens get their readings.

    Attributes:
        palette: The styles of the theme.
        frozen_at: When the screen was frozen, by the clock of the source. None if it is not.
        message: What came of an action. "" if there is nothing to say.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.palette = Palette.of({})
        self.frozen_at: float | None = None
        self.message = ""
        self._message_left = 0  # readings
        self._woken = anyio.Event()

    @property
    def source(self) -> Source:
        """The source."""
        return self.feed.source

    @property
    def now(self) -> float:
        """The time that the screens show: that of the source, or when the screen was frozen."""
        return self.feed.now if self.frozen_at is None else self.frozen_at

    def say(self, message: str) -> None:
        """Show a message for the next readings."""
        self.message, self._message_left = message, _KEPT

    def count_down(self) -> None:
        """Note a reading. Remove the message if it has been shown for long enough."""
        self._message_left -= 1
        if self._message_left <= 0:
            self.message = ""

    def wake(self) -> None:
        """Read the source at once."""
        self._woken.set()

    async def sleep(self, seconds: float) -> bool:
        """Wait until :meth:`wake` is called, at most for so many seconds. Return whether it was called."""
        with anyio.move_on_after(seconds):
            await self._woken.wait()
        is_woken = self._woken.is_set()
        if is_woken:
            self._woken = anyio.Event()
        return is_woken
