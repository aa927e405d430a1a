"""
A wall clock that follows the virtual clock of an event loop.

The package reads the time of day in one place (``_base.wall_clock``). While a :class:`VirtualWall` is in force, that
place returns the start plus what the event loop's clock says. ``time.time()`` and ``datetime.now()`` of other code stay
real.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from lionpride_exec._base.wall_clock import wall_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class VirtualWall:
    """
    The time of day of one run.

    Args:
        start: The time at the moment 0 of the event loop's clock.
    """

    def __init__(self, start: datetime) -> None:
        if not isinstance(cast("object", start), datetime):
            raise TypeError(f"start must be a datetime, got {start!r}")
        if start.utcoffset() is None:
            raise ValueError(f"start must have a time zone, got {start!r}: use datetime(..., tzinfo=UTC)")
        self._start = start.astimezone(UTC)
        self._clock: Callable[[], float] = float  # 0.0 until there is an event loop

    def now(self) -> datetime:
        """Return the time (UTC). Works in any thread."""
        return self._start + timedelta(seconds=self._clock())

    def follow(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a backend, whose event loop this clock follows from now on."""
        if "clock" in options:  # trio
            self._clock = options["clock"].current_time
            return options
        make_loop = options["loop_factory"]

        def loop_factory() -> Any:
            """Make the event loop, and follow its clock."""
            loop = make_loop()
            self._clock = loop.time
            return loop

        return options | {"loop_factory": loop_factory}

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Have the package read this clock while the block runs."""
        with wall_clock.replaced(self.now):
            yield


def wall_from(start: datetime | None, options: dict[str, Any]) -> tuple[dict[str, Any], AbstractContextManager[None]]:
    """
    Return the options of a backend, and a context in which the package's wall clock begins at ``start``.

    None: the clock stays real, and the context does nothing.

    Raises:
        TypeError: ``start`` is no datetime.
        ValueError: ``start`` has no time zone.
    """
    if start is None:
        return options, nullcontext()
    wall = VirtualWall(start)
    return wall.follow(options), wall.in_force()
