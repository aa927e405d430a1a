"""Silence for asyncio, where an event raises ``SystemExit`` or ``KeyboardInterrupt``: the run tells of it itself."""

from __future__ import annotations

import asyncio
import warnings


def silence_asyncio() -> None:
    """Keep the running loop of asyncio, which these two break, from telling at length what is told in a line."""
    asyncio.get_running_loop().set_exception_handler(_tell_nothing)
    # It does not even begin the tasks that were about to begin.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def _tell_nothing(_loop: object, _context: object) -> None:
    pass
