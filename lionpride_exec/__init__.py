"""
Run thousands of async operations on asyncio or trio, and know where each of them stands.

An :class:`Event` is one operation, a :class:`Processor` starts events by priority and under limits, an
:class:`Executor` owns them and tells their status. ``async with executor:`` runs it.
"""

import typing as _typing

from . import _start as _start  # first: see there
from ._base.sentinel import Unset, UnsetType
from ._clients.errors import retry_after, status_of
from ._events.call import Call
from ._events.event import Event
from ._events.stored_names import publish as _publish
from ._executor.executor import Executor
from ._journal import Journal
from ._model.element import Element
from ._model.execution import Attempt, Execution
from ._model.flow import Flow
from ._model.limits import Concurrent, Rate
from ._model.permission import Deny, Wait
from ._model.pile import Pile
from ._model.progression import Progression
from ._model.retain import Retain
from ._model.retry import Retry
from ._processing.processor import Processor
from ._scheduling.priority_queue import PriorityQueue
from ._status import TRANSITIONS, EventStatus
from ._tracking.subscriptions import Transition, Watcher
from .errors import (
    AccessError,
    ConfigurationError,
    EventCancelled,
    EventFailed,
    EventNotFinished,
    EventsOnDiskWarning,
    ExecutionError,
    ExecutorClosedError,
    ExistsError,
    InvalidTransition,
    JournalError,
    JournalLockedError,
    LionprideError,
    LionTimeoutError,
    NotFoundError,
    PauseTooLong,
    QueueFullError,
    RateLimited,
    RemoteError,
    Skip,
    WatcherTooSlow,
)

if _typing.TYPE_CHECKING:
    from ._executor.explanation import Explanation, LimitUse, Statistics
    from ._model.waiting import WaitReason
    from ._processing.pause_records import Pause, StartPace
    from ._tracking.progress import Progress

__all__ = [
    "TRANSITIONS",
    "AccessError",
    "Attempt",
    "Call",
    "Concurrent",
    "ConfigurationError",
    "Deny",
    "Element",
    "Event",
    "EventCancelled",
    "EventFailed",
    "EventNotFinished",
    "EventStatus",
    "EventsOnDiskWarning",
    "Execution",
    "ExecutionError",
    "Executor",
    "ExecutorClosedError",
    "ExistsError",
    "Explanation",
    "Flow",
    "InvalidTransition",
    "Journal",
    "JournalError",
    "JournalLockedError",
    "LimitUse",
    "LionTimeoutError",
    "LionprideError",
    "NotFoundError",
    "Pause",
    "PauseTooLong",
    "Pile",
    "PriorityQueue",
    "Processor",
    "Progress",
    "Progression",
    "QueueFullError",
    "Rate",
    "RateLimited",
    "RemoteError",
    "Retain",
    "Retry",
    "Skip",
    "StartPace",
    "Statistics",
    "Transition",
    "Unset",
    "UnsetType",
    "Wait",
    "WaitReason",
    "Watcher",
    "WatcherTooSlow",
    "retry_after",
    "status_of",
]

_publish(__name__)

# Public names that few programs use, and the module of each, which is imported at the first use of the name. The module
# publishes the class (``publish_classes()``). So WaitReason comes from the module that publishes it, not from its own.
_ON_DEMAND = {
    "Explanation": "_executor.explanation",
    "LimitUse": "_executor.explanation",
    "Pause": "_processing.pause_records",
    "Progress": "_tracking.progress",
    "StartPace": "_processing.pause_records",
    "Statistics": "_executor.explanation",
    "WaitReason": "_executor.explanation",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  not needed by most programs

    value = globals()[name] = getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
