"""Many events at once, by way of ``append()``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lionpride_exec._events.event import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterable
    from uuid import UUID

    from .coming import Coming
    from .durable_submissions import DurableSubmissions
    from .facade import Facade

E = TypeVar("E", bound=Event[Any])


async def extend(
    executor: Facade,
    durable: DurableSubmissions | None,
    events: Iterable[E] | AsyncIterable[E],
    priority: float | Callable[[E], float | None] | None,
    key: Callable[[E], Hashable] | None,
) -> list[E]:
    """Append events one after the other; see ``Executor.extend()``."""
    if key is not None and not callable(cast("object", key)):
        raise TypeError(f"key must be a function of an event, got {key!r}")
    coming: dict[UUID, Coming] = {}

    def append(event: E) -> Coroutine[Any, Any, E | Coming]:
        """Return the coroutine that takes an event in."""
        own_priority = priority(event) if callable(priority) else priority
        own_key = None if key is None else key(event)
        if durable is not None:
            return durable.append_together(event, own_priority, own_key, coming)
        if own_key is None:  # an overridden append() may have no such parameter
            return executor.append(event, own_priority, wait=True)
        return executor.append(event, own_priority, wait=True, key=own_key)

    try:
        if isinstance(events, AsyncIterable):
            source = aiter(events)
            is_generator = isinstance(source, AsyncGenerator)
            async with aclosing(cast("AsyncGenerator[E]", source)) if is_generator else nullcontext():
                taken = [await append(event) async for event in source]
        else:
            taken = [await append(event) for event in events]
    finally:
        if durable is not None:
            await durable.wait_all_stored(coming)
    if durable is None:
        return cast("list[E]", taken)
    from .coming import Coming  # noqa: PLC0415  slow to import, for journals only

    return [cast("E", one.taken) if isinstance(one, Coming) else one for one in taken]
