"""
The one place at which a journal enters a worker thread.

The timing of threads differs from run to run. A test that has to be repeatable sets ``in_place_of_threads``, which does
the work in the event loop instead.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CapacityLimiter

T = TypeVar("T")

# Does the work in place of a thread. None: a thread does.
in_place_of_threads: ContextVar[Callable[[Callable[[], Any]], Awaitable[Any]] | None] = ContextVar(
    "in_place_of_threads", default=None
)


async def run_in_thread(function: Callable[[], T], *, limiter: CapacityLimiter, abandon_on_cancel: bool = False) -> T:
    """
    Run a function that blocks in a worker thread, and return its result.

    Cancellation: with ``abandon_on_cancel`` it is raised at once, and the function goes on. Otherwise it is raised once
    the function has returned.
    """
    instead = in_place_of_threads.get()
    if instead is not None:
        result: T = await instead(function)
        return result
    return await to_thread.run_sync(function, limiter=limiter, abandon_on_cancel=abandon_on_cancel)
