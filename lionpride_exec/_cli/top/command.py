"""The command ``top``: looks at the terminal, reads once, and gives the screen to the application."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.exit_status import COMPLETED
from lionpride_exec.errors import LionprideError

from .app import TopApp
from .feed import Feed
from .sources import Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lionpride_exec._faces.snapshot import Source

_INSTEAD: Final = "'lionpride-exec inspect' writes plain text"


def show_top(target: str) -> int:
    """
    Show a run on the terminal until somebody quits. Return the exit status.

    Args:
        target: The file of a journal, or the URL of a dashboard.

    Raises:
        UsageError: There is no terminal, or no such file.
        LionprideError: The run cannot be read at the beginning.
    """
    check_terminal()
    return anyio.run(partial(_show, target), backend="asyncio")


async def _show(target: str) -> int:
    async with aclosing(Target(target)) as opened:
        return await run_app(opened.source, opened.renew)


def check_terminal() -> None:
    """Raise UsageError unless all standard streams are a terminal on which a cursor can be moved."""
    # Textual reads keys from standard input, and draws on standard error.
    for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr)):
        if not stream.isatty():
            raise UsageError(f"top needs a terminal, but standard {name} is none; {_INSTEAD}")
    if os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        raise UsageError(f"top needs a terminal that can move the cursor, but TERM is dumb; {_INSTEAD}")


async def run_app(source: Source, renew: Callable[[], Awaitable[Source]] | None = None) -> int:
    """Show a source until somebody quits. Return the exit status. For the arguments, see :class:`Feed`."""
    feed = Feed(source, renew)
    await feed.read()
    if feed.error is not None:
        raise LionprideError(f"{source.name} cannot be read: {feed.trouble}") from feed.error
    app = TopApp(feed)
    ended_by = _exit_at_signals(app)
    await app.run_async()
    if app.failure is not None:
        raise app.failure
    return 128 + ended_by[0] if ended_by else COMPLETED


def _exit_at_signals(app: TopApp) -> list[int]:
    """Have SIGTERM end the application, which gives the terminal back. Return a list that will have the signal."""
    received: list[int] = []

    def leave() -> None:
        """End the application."""
        received.append(signal.SIGTERM)
        app.exit()

    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)
    return received
