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

from lionpride_exec._events.call import Call, check_function
from lionpride_exec._events.event import Event
from lionpride_exec._events.run_options import check_options, set_defaults
from lionpride_exec._model.unknown_fields import make_instance

from .completion import E, EventIterator
from .map_state import MapState

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from lionpride_exec._model.retry import Retry

    from .map_options import MapOptions


def maker_for(
    target: type[Event] | Callable[..., Any], timeout: float | None, retry: Retry | None, *, starred: bool = False
) -> Callable[[Any], Event]:
    """
    Return the function that makes an event of an item.

    Args:
        target: An Event subclass or a function.
        timeout: Of each event that is made and has none of its own.
        retry: Likewise.
        starred: Whether an item has all positional arguments of the function.

    Raises:
        TypeError: The target is neither an Event subclass nor a function.
        ValueError: The timeout or the retry is wrong.
    """
    check_options(timeout, retry)
    if not starred:
        make = _maker_for(target)
    elif isinstance(target, type) and issubclass(target, Event):
        raise TypeError(f"starmap() is for functions: the fields of {target.__name__} have names, so use map()")
    else:
        make = _star_maker(_checked(target))
    if timeout is None and retry is None:
        return make

    def make_with_options(item: Any) -> Event:
        """Make an event, and set its options. An event that is the item itself stays as it is."""
        event = make(item)
        if event is not item:
            set_defaults(event, timeout, retry)
        return event

    return make_with_options


def _checked(target: Any) -> Callable[..., Any]:
    try:
        check_function(target)
    except TypeError as exc:
        raise TypeError(f"target must be an Event subclass or a function: {exc}") from None
    return cast("Callable[..., Any]", target)


def _star_maker(function: Callable[..., Any]) -> Callable[[Any], Event]:
    def call(item: Iterable[Any]) -> Event:
        """Return the event that calls the function with all values of an item."""
        return kind(function=function, args=tuple(item), kwargs={})

    kind = cast("type[Call[Any]]", Call)
    return call


def _maker_for(target: type[Event] | Callable[..., Any]) -> Callable[[Any], Event]:
    if isinstance(target, type) and issubclass(target, Event):
        required = [
            field.alias
            for field in attrs.fields(cast("type[attrs.AttrsInstance]", target))
            if field.init and field.default is attrs.NOTHING
        ]
        return partial(_event_of, target, required)
    function = _checked(target)
    kind = cast("type[Call[Any]]", Call)  # ``Call[Any]()`` takes two calls more

    def call(item: Any) -> Event:
        """Return the event that calls the function with an item, as ``Call.of()`` does."""
        return kind(function=function, args=(item,), kwargs={})

    return call


def _event_of(cls: type[Event], required: list[str], item: Any) -> Event:
    if isinstance(item, cls):
        return item
    if isinstance(item, Mapping):
        return cast("Event", make_instance(cls, dict(cast("Mapping[str, Any]", item))))
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
