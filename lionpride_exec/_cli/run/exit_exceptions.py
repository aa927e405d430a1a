"""Keep asyncio silent when an event raises ``SystemExit`` or ``KeyboardInterrupt``. The run reports them itself."""

from __future__ import annotations

import asyncio
import warnings


def silence_asyncio() -> None:
    """Drop what the running asyncio loop logs from now on. These two exceptions break the loop."""
    asyncio.get_running_loop().set_exception_handler(_tell_nothing)
    # The broken loop does not start tasks that were about to start.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def _tell_nothing(_loop: object, _context: object) -> None:
    pass
