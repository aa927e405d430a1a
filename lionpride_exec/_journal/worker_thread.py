"""
The way to the worker thread, the only one that a journal takes.

Threads take their time, so two runs of a program with one are never quite the same. Where a test has to go the same way
again, it sets something that does the work in the event loop instead.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import CapacityLimiter

T = TypeVar("T")

# What does the work in place of a thread, where that is set.
in_place_of_threads: ContextVar[Callable[[Callable[[], Any]], Awaitable[Any]] | None] = ContextVar(
    "in_place_of_threads", default=None
)


async def run_in_thread(function: Callable[[], T], *, limiter: CapacityLimiter, abandon_on_cancel: bool = False) -> T:
    """
    Have a function that blocks run in a worker thread, and give its result.

    Cancellation: with ``abandon_on_cancel`` it returns at once, and the function goes on; else it waits for that.
    """
    instead = in_place_of_threads.get()
    if instead is not None:
        result: T = await instead(function)
        return result
    return await to_thread.run_sync(function, limiter=limiter, abandon_on_cancel=abandon_on_cancel)
