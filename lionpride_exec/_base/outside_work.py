"""
Work for an event loop outside of this program, which will end by itself: calls in processes.

A virtual clock stands still during such work, as it does while a thread works.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .backend import running_loop

if TYPE_CHECKING:
    from collections.abc import Generator

# How much of it there is, without zeros: by loop of asyncio, or by the token of a run of trio. A virtual clock looks
# here at each pass of its loop, so there is no function for it.
at_work: dict[object, int] = {}


@contextmanager
def outside_work() -> Generator[None]:
    """Let the virtual clock of the running event loop stand still in this block."""
    loop = running_loop()
    at_work[loop] = at_work.get(loop, 0) + 1
    try:
        yield
    finally:
        at_work[loop] -= 1
        if not at_work[loop]:
            del at_work[loop]
