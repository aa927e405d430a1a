"""
Run thousands of async operations on asyncio or trio, and know where each of them stands.

An :class:`Event` is one operation, a :class:`Processor` starts events by priority and under limits, an
:class:`Executor` owns them and tells their status. ``async with executor:`` runs it.
"""

from . import _start as _start  # first: see there
from ._call import Call
from ._client_errors import retry_after, status_of
from ._element import Element
from ._event import Event
from ._execution import Attempt, Execution
from ._executor import Executor
from ._explain import Explanation, LimitUse, Statistics, WaitReason
from ._flow import Flow
from ._gate import Deny, Wait
from ._journal import Journal
from ._limits import Concurrent, Rate
from ._pauses import Pause, StartPace
from ._pile import Pile
from ._processor import Processor
from ._progress import Progress
from ._progression import Progression
from ._queue import PriorityQueue
from ._retain import Retain
from ._retry import Retry
from ._sentinel import Unset, UnsetType
from ._status import TRANSITIONS, EventStatus
from ._stored_names import publish as _publish
from ._watch import Transition, Watcher
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
