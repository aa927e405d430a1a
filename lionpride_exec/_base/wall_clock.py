"""The wall clock of the package, in one place so that tests can replace it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class WallClock:
    """
    A source of the time of day.

    Attributes:
        now: Returns the time (UTC). An attribute and no method, because an event reads the time four times: a
            ``functools.partial`` is called without a Python frame.
        is_replaced: Whether another function than the clock of the machine tells the time.
        latest: The latest creation time so far. The default priority is the creation time, and the clock may be set
            back. A later element must not overtake an earlier one.
    """

    __slots__ = ("is_replaced", "latest", "now")

    def __init__(self) -> None:
        self.is_replaced: bool = False
        self.now: Callable[[], datetime] = partial(datetime.now, UTC)
        self.latest: datetime = datetime.min.replace(tzinfo=UTC)

    def seconds(self) -> float:
        """Return the time in seconds since 1970. Like ``time.time()``, unless the clock is replaced."""
        return self.now().timestamp() if self.is_replaced else time.time()

    @contextmanager
    def replaced(self, now: Callable[[], datetime]) -> Iterator[None]:
        """Read the time by another function while the block runs. What the block makes ages nothing after it."""
        from lionpride_exec._clients import retry_after  # noqa: PLC0415  for tests only

        before, read_time = (self.now, self.latest, self.is_replaced), retry_after.read_time
        self.now, self.latest, self.is_replaced = now, datetime.min.replace(tzinfo=UTC), True
        retry_after.read_time = self.seconds
        try:
            yield
        finally:
            self.now, self.latest, self.is_replaced = before
            retry_after.read_time = read_time


wall_clock: Final = WallClock()


def utc_now() -> datetime:
    """
    Return the time (UTC) by the clock that the package reads.

    That is ``datetime.now(UTC)``, but in a test that runs with ``lionpride_exec.testing.run(..., start=)`` it is the
    virtual wall clock. Code that computes an ``at=`` or an ``expires=`` can be tested in virtual time if it uses this
    function.
    """
    return wall_clock.now()
