"""The key and the priority of events for which the caller gives none: ``Executor.of(fetch, key=..., priority=...)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._events.call import Call
from lionpride_exec._validation import check_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lionpride_exec._events.event import Event


def call_defaults(
    target: Any, key: Callable[..., Hashable] | None, priority: float | Callable[..., float | None] | None
) -> CallDefaults | None:
    """
    Return the defaults of an executor. None if it has none.

    Raises:
        TypeError: The key is no function.
        ValueError: The priority is neither a function nor a finite number.
    """
    if key is None and priority is None:
        return None
    if key is not None and not callable(cast("object", key)):
        raise TypeError(f"key must be a function of what the target gets, got {key!r}")
    return CallDefaults(target, key, priority if priority is None or callable(priority) else check_priority(priority))


@attrs.frozen(eq=False)
class CallDefaults:
    """
    The key and the priority of the events of an executor, where the caller gives none.

    Attributes:
        target: The function, or the class of events. Calls of other functions have no defaults.
        key: A function of the arguments of a call, or of an event of the class. None if there is no key.
        priority: A number, or a function like ``key``. None for the default of ``append()``.
    """

    target: Any
    key: Callable[..., Hashable] | None
    priority: float | Callable[..., float | None] | None

    def fill(self, event: Event, priority: float | None, key: Hashable) -> tuple[float | None, Hashable]:
        """
        Return the priority and the key of an event. A value that the caller has given stays.

        Raises:
            BaseException: What the functions raise.
        """
        if isinstance(self.target, type):
            if not isinstance(event, self.target):
                return priority, key
            args, kwargs = (event,), {}
        else:
            if not isinstance(event, Call) or event.function != self.target:
                return priority, key
            args, kwargs = event.args, event.kwargs
        if key is None and self.key is not None:
            key = self.key(*args, **kwargs)
        if priority is None:
            priority = self.priority(*args, **kwargs) if callable(self.priority) else self.priority
        return priority, key
