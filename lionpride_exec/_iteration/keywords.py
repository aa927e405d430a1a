"""The keyword arguments of maps, for type checkers and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from datetime import datetime, timedelta

    from lionpride_exec._model.retry import Retry

X = TypeVar("X")


class MapKeywords(TypedDict, Generic[X], total=False):
    """
    The keyword arguments of ``Executor.map()``, which explains them.

    Attributes:
        ordered: Whether the events come in the order of the items.
        fail_fast: Whether the first failure ends the loop.
        lookahead: The largest number of events that are appended and not yet returned.
        max_lookahead: The same, with events that wait for their key.
        priority: The priority of each event, or a function that returns the priority of an item's event.
        key: A function that returns the key of an item's event.
        expires: When an event ends if it has not begun.
        timeout: How many seconds a run may take.
        retry: Whether and when an event runs again after a failure.
        total: The number of items.
    """

    ordered: bool
    fail_fast: bool
    lookahead: int | None
    max_lookahead: int | None
    priority: float | Callable[[X], float | None] | None
    key: Callable[[X], Hashable] | None
    expires: float | timedelta | datetime | None
    timeout: float | None
    retry: Retry | None
    total: int | None
