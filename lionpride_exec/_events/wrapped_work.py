"""A block in which the work of all events of a class is wrapped in a function."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from .event import Event


@contextmanager
def wrapping_work(
    event_type: type[Event], wrap: Callable[[Event, Callable[[Event], Awaitable[Any]]], Awaitable[Any]]
) -> Generator[None]:
    """
    Replace the work of each event of a class by ``await wrap(event, work)``, inside the block.

    The class itself is changed, and restored at the end of the block. So the wrapper also applies to events that other
    events append, and executors that take exactly this class take the events.

    Args:
        event_type: The class of the events.
        wrap: An async function that calls ``await work(event)`` and returns the response.
    """
    work = event_type._perform
    is_own = "_perform" in vars(event_type)

    async def wrapped(self: Event) -> Any:
        """Run the wrapper around the work of the event."""
        return await wrap(self, work)

    event_type._perform = wrapped  # type: ignore[method-assign]  # for the block only
    try:
        yield
    finally:
        if is_own:
            event_type._perform = work  # type: ignore[method-assign]  # restored
        else:
            del event_type._perform
