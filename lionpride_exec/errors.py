"""
The errors of the package: one root, and families below the root.

An error is also a child of the builtin that a caller would guess, if there is one. So ``except KeyError`` around a
look-up works.
"""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ._clients.errors import retry_after as seconds_of
from ._validation import is_number

if TYPE_CHECKING:
    from uuid import UUID

    from ._status import EventStatus

# The length of a pause, in seconds, if the other side does not say how long to wait.
_UNKNOWN_PAUSE = 1.0


class LionprideError(Exception):
    """
    The root of all errors of the package.

    Args:
        message: What went wrong. None or "" means the default of the class.
        details: Facts for a program to read.
        retryable: Whether another attempt may help. None means the default of the class.
        cause: Becomes ``__cause__``.
    """

    default_message: ClassVar[str] = "lionpride_exec error"
    default_retryable: ClassVar[bool] = True

    def __init__(
        self,
        message: str | None = None,
        *,
        details: dict[str, Any] | None = None,
        retryable: bool | None = None,
        cause: BaseException | None = None,
    ) -> None:
        self.message: str = message or self.default_message
        self.details: dict[str, Any] = details or {}
        self.retryable: bool = self.default_retryable if retryable is None else retryable
        super().__init__(self.message)
        if cause is not None:
            super().__setattr__("__cause__", cause)  # what `raise ... from` does

    # KeyError would show the repr of its argument.
    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the name, the message, ``retryable``, and the details if there are any."""
        data: dict[str, Any] = {
            "error": type(self).__name__,
            "message": self.message,
            "retryable": self.retryable,
        }
        if self.details:
            data["details"] = dict(self.details)
        return data


class ValidationError(LionprideError, ValueError):
    """A value breaks a rule."""

    default_message = "Validation failed"
    default_retryable = False


class AccessError(LionprideError):
    """Permission was denied."""

    default_message = "Access denied"
    default_retryable = False


class ConfigurationError(LionprideError, TypeError, ValueError, AttributeError):
    """The configuration is wrong. Nothing was started."""

    default_message = "Configuration error"
    default_retryable = False


class NotFoundError(LionprideError, KeyError):
    """The item does not exist. Nothing has changed."""

    default_message = "Item not found"
    default_retryable = False


class ExistsError(LionprideError):
    """The item exists already. Nothing has changed."""

    default_message = "Item already exists"
    default_retryable = False


class ExecutionError(LionprideError):
    """A run failed. Also the error in a restored record, in place of the original exception."""

    default_message = "Execution failed"


class LionConnectionError(LionprideError):
    """A connection failed."""

    default_message = "Connection error"


class LionTimeoutError(LionprideError):
    """An event took longer than its own timeout. Not a child of the builtin ``TimeoutError``."""

    default_message = "Operation timed out"


class QueueFullError(LionprideError):
    """The queue has no room. Nothing was queued."""

    default_message = "Queue is full"


class OperationError(LionprideError):
    """An operation failed."""

    default_message = "Operation failed"
    default_retryable = False


class ExecutorClosedError(LionprideError, RuntimeError):
    """The executor is being left, or was left, and does not run the event."""

    default_message = "The executor is closed"


class WatcherTooSlow(LionprideError):
    """
    A reader of ``watch(on_full="error")`` was too slow and missed transitions.

    The iteration is over. Call ``watch()`` again to continue with later transitions.
    """

    default_message = "The reader of the transitions was too slow"


class EventNotFinished(LionprideError, RuntimeError):
    """The result of an event was asked for before the event has ended. The event is not changed."""

    default_message = "The event has not ended"


class EventFailed(ExecutionError):
    """
    An event ended without a response. ``__cause__`` is the error of the event, if there is one.

    Attributes:
        event_id: The id of the event.
        status: How the event ended: FAILED, CANCELLED, SKIPPED or ABORTED.
    """

    default_message = "The event failed"

    def __init__(
        self,
        message: str | None = None,
        *,
        event_id: UUID | None = None,
        status: EventStatus | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.event_id = event_id
        self.status = status


class EventCancelled(LionprideError):
    """The error of an event that ``Executor.cancel()`` ended. The message is the reason."""

    default_message = "The event was cancelled"
    default_retryable = False


class Skip(LionprideError):
    """
    Raise this inside ``_invoke()`` if there is nothing to do: the event ends SKIPPED. The message is the reason.

    Also the error of an event that ``Executor.skip()`` ended, or whose dependency did not complete. In the second case
    the message names the event with which it began and its error, and ``__cause__`` is that error.
    """

    default_message = "The event was skipped"
    default_retryable = False

    # The event that did not complete, and its error, as a text. None if the event was not skipped because of another.
    _first: str | None = None


class RateLimited(LionprideError):
    """
    Raise this inside ``_invoke()`` if the other side wants fewer calls.

    No event with one of this event's keys starts for ``retry_after`` seconds. The event is queued again in its old
    place, and the attempt does not count. A pause lasts at least 0.1 s, and longer if refusals follow one another. If
    the pause is longer than ``Retry(max_pause=...)`` allows, the event ends FAILED with a :class:`PauseTooLong`.

    Example::

        if response.status == 429:
            raise RateLimited(retry_after=float(response.headers["Retry-After"]))

    Args:
        message: The reason.
        retry_after: Seconds, such as the other side's ``Retry-After``. None or NaN if the other side did not say; this
            counts as 1. A negative number, such as that of a date in the past, counts as 0. ``inf`` means never.

    Attributes:
        retry_after: Seconds, 0 or more.

    Raises:
        ValueError: ``retry_after`` is no number.
    """

    default_message = "Rate limited"

    def __init__(self, message: str | None = None, *, retry_after: float | None = 1.0, **kwargs: Any) -> None:
        self.retry_after: float = _seconds_asked(retry_after)
        super().__init__(message, **kwargs)

    @classmethod
    def from_error(cls, error: BaseException, message: str | None = None) -> Self:
        """
        Return an error with the pause that a client's error asks for, as :func:`retry_after` reads it, or else 1 s.

        Args:
            error: An error of a client. It becomes the ``__cause__``.
            message: The reason. Default: the class and the text of the error.
        """
        return cls(message or _shown(error), retry_after=seconds_of(error), cause=error)


def _shown(error: BaseException) -> str:
    """Return the class and the text of an error. Return only the class if the error has no text."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  an error that cannot be printed
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class PauseTooLong(RateLimited):
    """
    The other side asked for a longer pause than ``Retry(max_pause=...)`` allows. The event ended FAILED.

    ``__cause__`` is the error that asked for the pause.

    Args:
        message: The pause that was asked for, and the pause that is allowed.
        retry_after: The length of the pause in seconds. The pause may be longer than the other side asked for, since
            pauses grow while refusals follow one another.
        max_pause: The longest allowed pause in seconds, 0 or more.
        kwargs: Keywords of :class:`LionprideError`.
    """

    default_message = "The pause is too long"

    def __init__(
        self, message: str | None = None, *, retry_after: float | None = inf, max_pause: float = inf, **kwargs: Any
    ) -> None:
        self.max_pause: float = max_pause
        super().__init__(message, retry_after=retry_after, **kwargs)


def _seconds_asked(seconds: float | None) -> float:
    """
    Return the seconds that the other side asked for, 0 or more.

    Raises:
        ValueError: The value is no number.
    """
    if seconds is None:
        return _UNKNOWN_PAUSE
    if not is_number(seconds):
        raise ValueError(f"retry_after must be a number of seconds, got {seconds!r}")
    try:
        number = float(seconds)
    except OverflowError:  # an int beyond all floats
        number = inf if seconds > 0 else 0.0
    return _UNKNOWN_PAUSE if isnan(number) else max(number, 0.0)


class InvalidTransition(LionprideError, RuntimeError):
    """
    An event cannot go from its status to the target status. Nothing has changed.

    Attributes:
        item_id: The id of the event.
        previous: The status that the event has.
        target: The status that the event cannot go to.
    """

    default_retryable = False

    def __init__(self, item_id: UUID, previous: EventStatus, target: EventStatus) -> None:
        self.item_id = item_id
        self.previous = previous
        self.target = target
        super().__init__(str(self))

    def __str__(self) -> str:
        return f"event {self.item_id} cannot go from {self.previous} to {self.target}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.item_id, self.previous, self.target), self.__dict__


class JournalError(LionprideError):
    """
    A journal cannot be opened, read or written. ``__cause__`` has the reason.

    No event whose writing was confirmed is lost. If :meth:`Executor.append` raises this error, the event is not left
    behind.
    """

    default_message = "The journal failed"


class JournalLockedError(JournalError):
    """Another executor, of this or another process, has the journal open. Nothing was changed."""

    default_message = "The journal is in use"


class ClusterError(LionprideError):
    """
    The server of a cluster cannot be reached, refuses a command, or has lost its data. ``__cause__`` has the reason.

    ``retryable`` is True if the same call may succeed later. The server may have carried out a call that failed. To
    submit an event again does no harm: the server knows the event by its id.
    """

    default_message = "The cluster failed"
    default_retryable = False


class EventsOnDiskWarning(UserWarning):
    """
    A list of events, or a record of events, lacks some events that are only in the journal.

    With a journal, events that have ended leave memory. ``status_counts()`` counts them, ``await executor.get(id)``
    reads one of them, and ``Executor(..., retain=Retain())`` keeps them in memory.
    """


class RemoteError(ExecutionError):
    """
    The error of an event that ended in another process, as a journal kept the error.

    Args:
        message: The text of the original error.
        type_name: The qualified name of the original's class.
        traceback_text: The original's traceback, as Python prints it. "" if there was none.
        kwargs: Keywords of :class:`LionprideError`.

    Attributes:
        original_message: The text of the original error. The message of this error puts the class name before the text.
    """

    default_message = "An error of another process"

    def __init__(
        self, message: str | None = None, type_name: str = "", traceback_text: str = "", **kwargs: Any
    ) -> None:
        self.type_name: str = type_name
        self.original_message: str = message or ""
        self.traceback_text: str = traceback_text
        super().__init__(f"{type_name}: {message}" if type_name and message else type_name or message, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the message of the original, ``retryable``, and the details if there are any."""
        data = super().to_dict()
        return (
            data | {"error": self.type_name.rpartition(".")[2], "message": self.original_message}
            if self.type_name
            else data
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.original_message, self.type_name, self.traceback_text), self.__dict__
