"""
Server-sent events of our own: the page again, whenever it has changed.

A stream ends after 5 seconds, and the browser asks for the next one. A server that has to stop waits for open requests,
and none of the servers tells a request of it reliably, so a stream without an end would keep the process alive.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import anyio

from lionpride_exec.errors import LionprideError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

# Seconds for which a stream lives, and between two looks at the source.
LIVES: Final = 5.0
PACE: Final = 1.0

# What ends a line for a browser. Python's splitlines() knows more.
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def message(text: str, event_id: str) -> bytes:
    """Return a message of a stream. Each line of the text has a line of its own, so no text can begin a new message."""
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"id: {event_id}\n{lines}\n".encode()


async def messages(
    render: Callable[[], Awaitable[str]],
    version: Callable[[], Awaitable[object]],
    last: str,
    is_closing: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """
    Yield a page now and whenever it changes, for 5 s.

    The page is made again only if the version of the source has changed. What changes with time alone, such as ages,
    is up to date with the next stream.

    Args:
        render: Makes the page.
        version: Says whether anything has changed.
        last: The id of the last message that the browser has. The same page is not sent again.
        is_closing: Whether the server is about to stop.
    """
    ends = anyio.current_time() + LIVES
    yield b": \n\n"  # the browser sees at once that it is connected
    before: object = None
    while True:
        try:
            now = await version()
            if before is None or now != before:
                before = now
                text = await render()
                event_id = blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
                if event_id != last:
                    last = event_id
                    yield message(text, event_id)
        except LionprideError:  # the page stays as it is. Loaded anew, it says what is wrong
            return
        if anyio.current_time() + PACE > ends:
            return
        await anyio.sleep(PACE)
        if is_closing():
            return
