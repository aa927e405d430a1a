"""Many events at once, by way of ``append()``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import check_expires

from .dependencies import each_once

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterable
    from datetime import datetime, timedelta
    from uuid import UUID

    from .call_defaults import CallDefaults
    from .facade import Facade

E = TypeVar("E", bound=Event[Any])


class BulkAppends(Protocol):
    """Takes in many events at once: in one commit of a journal, or in one round trip to a cluster."""

    async def append_together(
        self,
        event: Event[Any],
        priority: float | None,
        key: Hashable,
        coming: dict[UUID, Any],
        expires: float | timedelta | datetime | None = None,
    ) -> Any:
        """
        Return the event that ``append()`` returns, or an entry of ``coming`` that gets it as its ``taken``.

        Raises what ``append()`` raises, here or later in :meth:`wait_all_stored`.
        """

    async def wait_all_stored(self, coming: dict[UUID, Any]) -> None:
        """Wait until all of these are taken in. Then raise what prevented one of them, and forget all of them."""


class AppendingParts(Protocol):
    """The parts of an executor, as :func:`extend` sees them."""

    @property
    def bulk(self) -> BulkAppends | None:
        """Takes in many events at once. None if there is neither a journal nor a cluster."""

    @property
    def call_defaults(self) -> CallDefaults | None:
        """The key and the priority of events for which the caller gives none."""


async def extend(
    executor: Facade,
    parts: AppendingParts,
    events: Iterable[E] | AsyncIterable[E],
    priority: float | Callable[[E], float | None] | None,
    key: Callable[[E], Hashable] | None,
    expires: float | timedelta | datetime | None,
    after: Event | UUID | Iterable[Event | UUID],
    after_any_end: Event | UUID | Iterable[Event | UUID],
) -> list[E]:
    """
    Append events, several at once if a part can do so; see ``Executor.extend()``.

    Raises:
        TypeError: ``events`` is not iterable, or ``key`` is not callable.
        ValueError: ``expires`` is not valid, or a text in ``after`` or ``after_any_end`` is no id.
        BaseException: What ``append()``, the iterable, ``priority`` or ``key`` raises.

    Cancellation: see ``Executor.extend()``.
    """
    if key is not None and not callable(cast("object", key)):
        raise TypeError(f"key must be a function of an event, got {key!r}")
    check_expires(expires)
    first = {name: each_once(named, name) for name, named in (("after", after), ("after_any_end", after_any_end))}
    first = {name: others for name, others in first.items() if others}
    bulk, defaults = None if first else parts.bulk, parts.call_defaults
    coming: dict[UUID, Any] = {}

    def append(event: E) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that takes an event in."""
        own_priority = priority(event) if callable(priority) else priority
        own_key = None if key is None else key(event)
        if bulk is not None:
            if defaults is not None:
                own_priority, own_key = defaults.fill(event, own_priority, own_key)
            return bulk.append_together(event, own_priority, own_key, coming, expires)
        # An overridden append() may not have the parameters that are not given.
        given: dict[str, Any] = {
            name: value for name, value in (("key", own_key), ("expires", expires)) if value is not None
        }
        return executor.append(event, own_priority, wait=True, **first, **given)

    try:
        if isinstance(events, AsyncIterable):
            source = aiter(events)
            is_generator = isinstance(source, AsyncGenerator)
            async with aclosing(cast("AsyncGenerator[E]", source)) if is_generator else nullcontext():
                taken = [await append(event) async for event in source]
        else:
            taken = [await append(event) for event in events]
    finally:
        if bulk is not None:
            await bulk.wait_all_stored(coming)
    return [cast("E", one if isinstance(one, Event) else one.taken) for one in taken]
