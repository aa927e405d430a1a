"""The work of all events of a class, done in another way for some time."""

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
    Inside the block, do the work of each event of a class by ``await wrap(event, work)``.

    The class itself is changed, and changed back at the end of the block. So the change holds for events that other
    events append, and for executors that take exactly this class.

    Args:
        event_type: The class.
        wrap: Calls ``await work(event)`` and returns the response.
    """
    work = event_type._perform
    is_own = "_perform" in vars(event_type)

    async def wrapped(self: Event) -> Any:
        """Do the work of an event as the block has it."""
        return await wrap(self, work)

    event_type._perform = wrapped  # type: ignore[method-assign]  # for the block only
    try:
        yield
    finally:
        if is_own:
            event_type._perform = work  # type: ignore[method-assign]  # and back
        else:
            del event_type._perform
