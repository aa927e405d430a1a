"""
Run thousands of async operations on asyncio or trio, and know where each of them stands.

An :class:`Event` is one operation, a :class:`Processor` starts events by priority and under limits, an
:class:`Executor` owns them and tells their status. ``async with executor:`` runs it.
"""

import typing as _typing

from . import _start as _start  # first: see there
from ._base.sentinel import Unset, UnsetType
from ._base.wall_clock import utc_now
from ._clients.errors import retry_after, status_of
from ._cluster import Cluster
from ._events.call import Call
from ._events.event import Event
from ._events.stored_names import publish as _publish
from ._executor.current import current_event, current_executor, lifespan_value
from ._executor.executor import Executor
from ._journal import Journal
from ._model.adaptive import Adaptive
from ._model.element import Element
from ._model.execution import Attempt, Execution
from ._model.flow import Flow
from ._model.limits import Concurrent, Rate
from ._model.permission import Deny, Wait
from ._model.pile import Pile
from ._model.progression import Progression
from ._model.quota import Quota
from ._model.retain import Retain
from ._model.retry import Retry
from ._processing.processor import Processor
from ._scheduling.priority_queue import PriorityQueue
from ._status import TRANSITIONS, EventStatus
from ._tracking.subscriptions import Transition, Watcher
from .errors import (
    AccessError,
    ClusterError,
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
    from ._cluster.queue_queries import WorkerInfo
    from ._cluster.queue_watcher import QueueTransition, QueueWatcher
    from ._executor.explanation import Explanation, LimitUse, RemoteExplanation, Statistics
    from ._executor.found import FoundEvent
    from ._executor.pipeline import Stage, pipeline
    from ._executor.progress_bar import ProgressBar
    from ._executor.schedule import Schedule
    from ._executor.schedule_policy import ScheduleState
    from ._faces.recording import RunRecord, record_runs
    from ._faces.report import report
    from ._model.waiting import WaitReason
    from ._processing.pause_records import Pause, StartPace
    from ._tracking.progress import Progress

__all__ = [
    "TRANSITIONS",
    "AccessError",
    "Adaptive",
    "Attempt",
    "Call",
    "Cluster",
    "ClusterError",
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
    "FoundEvent",
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
    "ProgressBar",
    "Progression",
    "QueueFullError",
    "QueueTransition",
    "QueueWatcher",
    "Quota",
    "Rate",
    "RateLimited",
    "RemoteError",
    "RemoteExplanation",
    "Retain",
    "Retry",
    "RunRecord",
    "Schedule",
    "ScheduleState",
    "Skip",
    "Stage",
    "StartPace",
    "Statistics",
    "Transition",
    "Unset",
    "UnsetType",
    "Wait",
    "WaitReason",
    "Watcher",
    "WatcherTooSlow",
    "WorkerInfo",
    "current_event",
    "current_executor",
    "lifespan_value",
    "pipeline",
    "record_runs",
    "report",
    "retry_after",
    "status_of",
    "utc_now",
]

_publish(__name__)

# Public names that few programs use, and the module of each, which is imported at the first use of the name. The module
# publishes the class (``publish_classes()``). So WaitReason comes from the module that publishes it, not from its own.
_ON_DEMAND = {
    "Explanation": "_executor.explanation",
    "FoundEvent": "_executor.found",
    "LimitUse": "_executor.explanation",
    "RemoteExplanation": "_executor.explanation",
    "Pause": "_processing.pause_records",
    "Progress": "_tracking.progress",
    "ProgressBar": "_executor.progress_bar",
    "Schedule": "_executor.schedule",
    "ScheduleState": "_executor.schedule",
    "QueueTransition": "_cluster.queue_watcher",
    "QueueWatcher": "_cluster.queue_watcher",
    "RunRecord": "_faces.recording",
    "Stage": "_executor.pipeline",
    "StartPace": "_processing.pause_records",
    "Statistics": "_executor.explanation",
    "WaitReason": "_executor.explanation",
    "WorkerInfo": "_cluster.queue_queries",
    "pipeline": "_executor.pipeline",
    "record_runs": "_faces.recording",
    "report": "_faces.report",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  not needed by most programs

    value = globals()[name] = getattr(import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
