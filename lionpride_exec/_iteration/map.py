"""
``Executor.map()``: an event for each item, and each event back when it has ended.

At most ``lookahead`` events are in the executor that the consumer has not got yet. An event that the consumer got
leaves the executor when the consumer asks for the next. So memory does not grow with the number of items.

Items of a plain iterable are taken while the consumer asks for an event, without a task. Items of an async iterable
have to be awaited while events run. One task in the executor's task group takes them. It also closes the iterable,
since the task that iterates an async generator has to close it.

The hard part is a loop that is left. An async generator learns of a ``break`` from a hook of the event loop, at some
later time. A plain object learns of it at once, by ``__del__``, and then cleans up synchronously.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._events.call import Call, check_async
from lionpride_exec._events.event import Event

from .completion import E, EventIterator
from .map_state import MapState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .map_options import MapOptions


def maker_for(target: type[Event] | Callable[..., Any]) -> Callable[[Any], Event]:
    """
    Return the function that makes an event of an item.

    Raises:
        TypeError: The target is neither an Event subclass nor an async function.
    """
    if isinstance(target, type) and issubclass(target, Event):
        required = [
            field.alias
            for field in attrs.fields(cast("type[attrs.AttrsInstance]", target))
            if field.init and field.default is attrs.NOTHING
        ]
        return partial(_event_of, target, required)
    try:
        check_async(target)
    except TypeError as exc:
        raise TypeError(f"target must be an Event subclass or an async function: {exc}") from None
    function = cast("Callable[..., Any]", target)
    kind = cast("type[Call[Any]]", Call)  # ``Call[Any]()`` takes two calls more

    def call(item: Any) -> Event:
        """Return the event that calls the function with an item, as ``Call.of()`` does."""
        return kind(function=function, args=(item,), kwargs={})

    return call


def _event_of(cls: type[Event], required: list[str], item: Any) -> Event:
    if isinstance(item, cls):
        return item
    if isinstance(item, Mapping):
        return cls(**cast("Mapping[str, Any]", item))
    if len(required) == 1:
        return cls(**{required[0]: item})
    raise TypeError(
        f"an item for {cls.__name__} must be a {cls.__name__} or a mapping of its fields, got {type(item).__name__} "
        f"(a plain value is enough for a class with exactly one required field; this one has {len(required)})"
    )


class EventMap(EventIterator[E]):
    """The iterator of ``Executor.map()``."""

    def __init__(self, plan: MapOptions) -> None:
        self._run = MapState[E](plan)

    def __anext__(self) -> Coroutine[Any, Any, E]:
        # A coroutine function would put a second coroutine around each event.
        return self._run.next(self)

    async def aclose(self) -> None:
        """
        Cancel the events that have not ended, and return when the source of the items is closed. Idempotent.

        Cancellation: while the source is being closed; the source is still closed.
        """
        self._run.close()
        await self._run.wait_closed()

    def __del__(self) -> None:
        # The garbage collector may call this from another thread. There it can cancel nothing: the events go on.
        if self._run.thread == get_ident():
            self._run.close()
