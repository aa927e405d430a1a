"""The keyword arguments of a processor, for type checkers and editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lionpride_exec._model.limits import Limit
    from lionpride_exec._model.retry import Retry
    from lionpride_exec._offload.settings import RunIn


class ProcessorKeywords(TypedDict, total=False):
    """
    The keywords of ``Processor``, which explains them. A subclass may have more.

    Attributes:
        queue_capacity: Starts allowed in any window of ``capacity_refresh_time`` seconds.
        capacity_refresh_time: Length of that window in seconds.
        concurrency_limit: Events that may run at the same time.
        max_queue_size: Events that may be queued.
        max_denial_tracking: Events whose denials are counted at the same time.
        limits: Any number of limits, or one.
        retry: For events that have no ``retry`` of their own.
        run_in: Where plain functions run whose class does not say.
        threads: Functions that work in threads at the same time.
        processes: The same in processes.
        interpreters: The same in interpreters.
        abandon_on_cancel: Whether a cancelled event ends at once while its thread goes on.
        timeout: How many seconds a run may take, for events that have no ``timeout`` of their own.
    """

    queue_capacity: int
    capacity_refresh_time: float
    concurrency_limit: int
    max_queue_size: int
    max_denial_tracking: int
    limits: Iterable[Limit] | Limit
    retry: Retry | None
    run_in: RunIn | None
    threads: int | None
    processes: int | None
    interpreters: int | None
    abandon_on_cancel: bool
    timeout: float | None
