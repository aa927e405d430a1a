"""What ``top`` has read of a run, and how often it reads."""

from __future__ import annotations

from math import inf
from time import monotonic, process_time
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from lionpride_exec.errors import LionprideError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lionpride_exec._faces.snapshot import ErrorLine, EventLine, LimitLine, Second, Snapshot, Source

# Seconds from one reading to the next.
INTERVAL: Final = 1.0

# The part of a core that reading may take. Drawing takes about another hundredth.
SHARE: Final = 0.04

# Seconds after which a run is read again though its version has not changed: limits free themselves, pauses end.
STALE: Final = 5.0

# Seconds to wait for an answer.
PATIENCE: Final = 10.0

# What is read at most: a screen has fewer lines.
LIMITS: Final = 12
RUNNING: Final = 50
ERRORS: Final = 50

# Seconds of the small chart of the throughput.
CHARTED: Final = 30

# What a source raises where it cannot be read now.
CANNOT_READ: Final = (LionprideError, OSError)


@attrs.frozen
class Reading:
    """What was read at one moment."""

    snapshot: Snapshot
    limits: tuple[LimitLine, ...] = ()
    running: tuple[EventLine, ...] = ()
    errors: tuple[ErrorLine, ...] = ()
    ended: tuple[Second, ...] = ()


class Feed:
    """
    Reads a source, and keeps what was read last.

    Args:
        source: The source.
        renew: Called before each reading. Returns the source, or another one that takes its place.
        clock: Seconds that only grow, for tests.

    Attributes:
        reading: What was read last. None before the first reading.
        error: Why the last reading failed. None if it did not.
    """

    def __init__(
        self,
        source: Source,
        renew: Callable[[], Awaitable[Source]] | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.source = source
        self.reading: Reading | None = None
        self.error: Exception | None = None
        self._renew = renew
        self._clock = clock
        self._version: object = None
        self._read_at = -inf  # by the clock

    @property
    def trouble(self) -> str | None:
        """Why the last reading failed, in words. None if it did not."""
        return None if self.error is None else shown_error(self.error)

    @property
    def now(self) -> float:
        """The time by the clock of the source, seconds since 1970. 0 before the first reading."""
        return 0.0 if self.reading is None else self.reading.snapshot.at + self._clock() - self._read_at

    async def read(self, *, anew: bool = False) -> bool:
        """
        Read the source, if something has changed since. Return whether there is anything new to show.

        A source that cannot be read raises nothing here: the reason is in ``error``, and the last reading stays.

        Args:
            anew: Read although nothing has changed.
        """
        before = self.trouble
        try:
            with anyio.fail_after(PATIENCE):
                anew |= await self._is_another()
                version = await self.source.version()
                if not anew and version == self._version and self._clock() - self._read_at < STALE:
                    self.error = None
                    return before is not None
                reading = await self._read_all()
        except CANNOT_READ as exc:
            self.error = exc
            return self.trouble != before
        self.reading, self.error = reading, None
        self._version, self._read_at = version, self._clock()
        return True

    async def _is_another(self) -> bool:
        """Take what has taken the place of the source. Return whether there is another one."""
        before = self.source
        if self._renew is not None:
            self.source = await self._renew()
        return self.source is not before

    async def _read_all(self) -> Reading:
        source = self.source
        return Reading(
            await source.snapshot(),
            await source.limits(LIMITS),
            await source.running(RUNNING),
            await source.errors(ERRORS),
            await source.ended(CHARTED),
        )


class Pace:
    """
    How long to wait until the next reading: ``INTERVAL``, or longer if a reading takes more than ``SHARE`` of a core.

    Args:
        cpu: The seconds of CPU that this process has used, for tests.
    """

    def __init__(self, cpu: Callable[[], float] = process_time) -> None:
        self.wait = INTERVAL
        self._cpu = cpu
        self._began = 0.0

    def begin(self) -> None:
        """Note that a reading begins."""
        self._began = self._cpu()

    def end(self) -> None:
        """Note that the reading has ended. ``wait`` has what follows from it."""
        self.wait = max(INTERVAL, (self._cpu() - self._began) / SHARE)


def shown_error(error: BaseException) -> str:
    """Return why a source cannot be read, in words."""
    if isinstance(error, TimeoutError) and not str(error):
        return f"no answer for {PATIENCE:.0f} s"
    return str(error) or type(error).__name__
