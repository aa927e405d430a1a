"""The keyword arguments of ``Executor.of()``, for type checkers and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionpride_exec._processing.keywords import ProcessorKeywords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from contextvars import ContextVar
    from typing import Any

    from lionpride_exec._cluster import Cluster
    from lionpride_exec._journal import Journal
    from lionpride_exec._model.retain import RetainRule

    from .surroundings import Middleware


class ExecutorKeywords(ProcessorKeywords, total=False):
    """
    The keywords of ``Executor.of()``, which explains them, without those that depend on the target.

    Attributes:
        strict_event_type: Whether to refuse subclasses of the event type.
        name: Name of the flow.
        journal: Keeps the events on disk.
        cluster: Queues the events on a server.
        retain: Which events stay in memory after their end.
        lifespan: Returns an async context manager for what all events share.
        middleware: Async functions around each run.
        carry: Context variables that go from the caller of ``append()`` to the run.
    """

    strict_event_type: bool
    name: str | None
    journal: Journal | None
    cluster: Cluster | None
    retain: RetainRule
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None
    middleware: Iterable[Middleware]
    carry: Iterable[ContextVar[Any]]


# What ``Executor.of()`` takes beside the keywords of the processor, for messages.
OWN_NAMES = frozenset({"key", "priority", *ExecutorKeywords.__annotations__} - ProcessorKeywords.__annotations__.keys())
