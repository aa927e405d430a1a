"""The source for what somebody wants to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import snapshot
from .live_source import LiveSource

if TYPE_CHECKING:
    from lionpride_exec._executor.executor import Executor

__all__ = ["live_source", "snapshot"]


def live_source(executor: Executor, *, writable: bool = True) -> snapshot.OpenSource:
    """
    Return the source that reads a running executor, or one that will be started.

    Args:
        executor: The executor.
        writable: Whether ``act()`` does anything.
    """
    return LiveSource(executor, writable=writable)
