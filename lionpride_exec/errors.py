"""
The errors of the package: one root, families below it.

Where there is a builtin that a caller would guess, an error is also a child of it, so ``except KeyError`` around a
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

# Seconds of a pause if the other side does not say how long it has to be.
_UNKNOWN_PAUSE = 1.0


class LionprideError(Exception):
    """
    The root of all errors of the package.

    Args:
        message: What went wrong; None or "" gives the default of the class.
        details: Facts for a program to read.
        retryable: Whether trying again may help; None gives the default of the class.
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
        """Give name, message, retryable, and the details if there are any."""
        data: dict[str, Any] = {
            "error": type(self).__name__,
            "message": self.message,
            "retryable": self.retryable,
        }
        if self.details:
            data["details"] = dict(self.details)
        return data


class ValidationError(LionprideError, ValueError):
    """A value is not what it has to be."""

    default_message = "Validation failed"
    default_retryable = False


class AccessError(LionprideError):
    """Permission was denied."""

    default_message = "Access denied"
    default_retryable = False


class ConfigurationError(LionprideError, TypeError, ValueError, AttributeError):
    """Something is set up wrongly; nothing was started."""

    default_message = "Configuration error"
    default_retryable = False


class NotFoundError(LionprideError, KeyError):
    """There is no such item. Nothing has changed."""

    default_message = "Item not found"
    default_retryable = False


class ExistsError(LionprideError):
    """There is one already. Nothing has changed."""

    default_message = "Item already exists"
    default_retryable = False


class ExecutionError(LionprideError):
    """Running something failed; also what a restored record says instead of the original exception."""

    default_message = "Execution failed"


class LionConnectionError(LionprideError):
    """A connection failed."""

    default_message = "Connection error"


class LionTimeoutError(LionprideError):
    """An event took longer than its own timeout. Not a builtin ``TimeoutError``."""

    default_message = "Operation timed out"


class QueueFullError(LionprideError):
    """The queue has no room. Nothing was queued."""

    default_message = "Queue is full"


class OperationError(LionprideError):
    """An operation failed."""

    default_message = "Operation failed"
    default_retryable = False


class ExecutorClosedError(LionprideError, RuntimeError):
    """The executor is being left, or was, and the event in question will not be run by it."""

    default_message = "The executor is closed"


class WatcherTooSlow(LionprideError):
    """A reader of ``watch(on_full="error")`` was too far behind: transitions were missed. ``watch()`` again goes on."""

    default_message = "The reader of the transitions was too slow"


class EventNotFinished(LionprideError, RuntimeError):
    """The result of an event was asked for before its end."""

    default_message = "The event has not ended"


class EventFailed(ExecutionError):
    """
    An event ended without a response; ``__cause__`` is its error, if there was one.

    Attributes:
        event_id: Which event.
        status: How it ended: FAILED, CANCELLED, SKIPPED or ABORTED.
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
    """The error of an event that ``Executor.cancel()`` ended; its message is the reason."""

    default_message = "The event was cancelled"
    default_retryable = False


class Skip(LionprideError):
    """
    Raised inside ``_invoke()``: there is nothing to do, the event ends SKIPPED. Its message is the reason.

    Also the error of an event that ``Executor.skip()`` ended, or whose dependency did not complete.
    """

    default_message = "The event was skipped"
    default_retryable = False


class RateLimited(LionprideError):
    """
    Raised inside ``_invoke()``: the other side wants fewer calls.

    Nothing of the event's keys starts for ``retry_after`` seconds. The event is queued again where it stood, and the
    attempt does not count. A pause lasts 0.1 s at least, and longer if refusals follow one another. If the pause is
    longer than ``Retry(max_pause=...)`` allows, the event ends FAILED with a :class:`PauseTooLong`.

    Args:
        message: The reason.
        retry_after: Seconds, such as the other side's ``Retry-After``. None and NaN: the other side did not say, which
            counts as 1. A negative number, such as that of a date that is over, counts as 0. ``inf``: never.

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
        Return an error that asks for the pause that another one asks for, as :func:`retry_after` reads it, else 1 s.

        Args:
            error: An error of a client. It becomes the ``__cause__``.
            message: The reason. Default: the class and the text of the error.
        """
        return cls(message or _shown(error), retry_after=seconds_of(error), cause=error)


def _shown(error: BaseException) -> str:
    """Return the class and the text of an error, or its class alone."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  an error that cannot be printed
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class PauseTooLong(RateLimited):
    """
    An event ended FAILED, since the other side asked for a pause that is longer than ``Retry(max_pause=...)`` allows.

    ``__cause__`` is the error that asked for the pause.

    Args:
        message: What was asked, and what is allowed.
        retry_after: The length of the pause in seconds. It may exceed the seconds that were asked for, since pauses
            grow while refusals follow one another.
        max_pause: Seconds that are allowed, 0 or more.
        kwargs: Of :class:`LionprideError`.
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
        ValueError: They are no number.
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
    An event cannot go from its status to that one. Nothing has changed.

    Attributes:
        item_id: Which event.
        previous: The status it has.
        target: The status it cannot go to.
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
    A journal cannot be opened, read or written; ``__cause__`` tells why.

    Nothing that was acknowledged is lost. Of what :meth:`Executor.append` raised it for, nothing is left behind.
    """

    default_message = "The journal failed"


class JournalLockedError(JournalError):
    """Another executor, of this or another process, has the journal open. Nothing was changed."""

    default_message = "The journal is in use"


class EventsOnDiskWarning(UserWarning):
    """
    A list of events, or a record of them, lacks some that are in the journal only.

    With a journal, events that have ended leave memory. ``status_counts()`` counts them, ``await executor.get(id)``
    reads one of them, and ``Executor(..., retain=Retain())`` keeps them in memory.
    """


class RemoteError(ExecutionError):
    """
    What an event ended with in another process, as a journal kept it.

    Args:
        message: The original's text.
        type_name: Qualified name of its class.
        traceback_text: Its traceback, as Python prints it; "" if there was none.
        kwargs: Of :class:`LionprideError`.

    Attributes:
        original_message: The original's text; the message of this one has the name of the class before it.
    """

    default_message = "An error of another process"

    def __init__(
        self, message: str | None = None, type_name: str = "", traceback_text: str = "", **kwargs: Any
    ) -> None:
        self.type_name: str = type_name
        self.original_message: str = message or ""
        self.traceback_text: str = traceback_text
        super().__init__(f"{type_name}: {message}" if type_name and message else type_name or message, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.original_message, self.type_name, self.traceback_text), self.__dict__
