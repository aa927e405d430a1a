"""The records that ``find()`` returns, and the filters that it takes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

import attrs

from lionpride_exec._base.error_shapes import (
    WholeError,
    error_line,
    error_shape,
    group_words,
    message_shape,
    status_code_of,
)
from lionpride_exec._base.redaction import secrets_of
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.call import Call, lasting_name_of
from lionpride_exec._events.event import tag_of
from lionpride_exec._events.stored_names import publish_classes
from lionpride_exec._model.execution import to_status
from lionpride_exec._status import BAD, EventStatus
from lionpride_exec._validation import check_seconds

if TYPE_CHECKING:
    from collections.abc import Hashable
    from uuid import UUID

    from lionpride_exec._events.event import Event

# The statuses of events that have ended, and not completed.


@attrs.frozen
class FoundEvent:
    """
    An event as it was when :meth:`Executor.find` looked.

    Attributes:
        id: Its id.
        status: Its status. A held event is PENDING.
        key: Its key. With a journal or a cluster as JSON has it: a tuple is a list. None if it has none.
        tag: The tag under which a journal stores such events. Without a tag, the full name of the class or function.
        error: The class and the message of its error, "ValueError: no". None if it has none.
        attempt: Number of the last run that counts. 0 before any run.
        queued_at: When it was taken in (UTC).
        started_at: When its last run began (UTC). None before that, and of an open event of a cluster.
        finished_at: When it ended (UTC). None before that.
        number: The number of its row in the journal, by which ``lionpride-exec show`` finds it too. 0 without one.
        event: The event: that of the executor, or a copy as :meth:`Executor.get` returns it, which may have gone on
            since. None if this process cannot read it.
        status_code: The status code of the HTTP answer behind its error. None if there is none.
    """

    id: UUID
    status: EventStatus
    key: Any = None
    tag: str = ""
    error: str | None = None
    attempt: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    number: int = 0
    event: Event[Any] | None = None
    status_code: int | None = None

    @property
    def error_shape(self) -> str | None:
        """
        What its error has in common with others of its kind. None if it has none.

        That is the first line, such as "HTTPError: <n> for <url>", with ``<url>``, ``<id>`` and ``<n>`` for what
        varies. At most 200 characters.
        """
        return None if self.error is None else error_shape(self.error)

    @property
    def _words(self) -> str:
        """The words for errors of its kind, as ``lionpride-exec inspect`` has them. "" if it has no error."""
        name, _, message = (self.error or "").partition(": ")
        return group_words(name, message_shape(name, message), self.status_code)


class Filters(TypedDict, total=False):
    """The arguments of ``find()`` that say what fits."""

    status: EventStatus | str | Iterable[EventStatus | str] | None
    tag: str | Iterable[str] | None
    key: Hashable
    error: str | type[BaseException] | None
    since: float | datetime | None


@attrs.frozen
class Wanted:
    """
    Which events are asked for: those that fit all of these.

    Attributes:
        statuses: The statuses that an event may have. None if all fit.
        tags: The tags that an event may have. None if all fit.
        key: The key of the event. None if all keys fit.
        error: A part of the error, or of its shape, with the status code behind the class or without. A
            :class:`WholeError` stands for all of the shape. None if all errors fit.
        error_type: The name of the class of the error. None if all classes fit.
        since: Seconds since 1970, after which the event ended, or else began, or else came. None if all times fit.
    """

    statuses: tuple[EventStatus, ...] | None
    tags: frozenset[str] | None
    key: Hashable
    error: str | None
    error_type: str | None
    since: float | None

    @property
    def is_plain(self) -> bool:
        """Whether statuses are all that is asked for."""
        return self.key is None and self._is_quick

    @property
    def _is_quick(self) -> bool:
        return self.tags is None and self.error is None and self.error_type is None and self.since is None

    def fits(self, found: FoundEvent) -> bool:
        """Return whether an event is asked for. Its key is not looked at."""
        if self.statuses is not None and found.status not in self.statuses:
            return False
        if self._is_quick:
            return True
        if self.since is not None:
            moment = found.finished_at or found.started_at or found.queued_at
            if moment is None or moment.timestamp() < self.since:
                return False
        return (self.tags is None or found.tag in self.tags) and self._fits_error(found)

    def _fits_error(self, found: FoundEvent) -> bool:
        text = found.error
        if self.error is None and self.error_type is None:
            return True
        if text is None:
            return False
        if self.error_type is not None:
            return text.partition(":")[0].rpartition(".")[2] == self.error_type
        if isinstance(self.error, WholeError):
            return self.error.is_of(found._words)
        wanted = (self.error or "").casefold()
        if wanted in text.casefold() or ("<" in wanted and wanted in error_shape(text).casefold()):
            return True
        return found.status_code is not None and wanted in found._words.casefold()


def wanted(
    status: EventStatus | str | Iterable[EventStatus | str] | None,
    tag: str | Iterable[str] | None,
    key: Hashable,
    error: str | type[BaseException] | None,
    since: float | datetime | None,
) -> Wanted:
    """
    Return what the arguments of ``find()`` ask for.

    Raises:
        NotFoundError: A status does not exist.
        TypeError: An argument is of another type.
        ValueError: ``since`` is negative, not finite, or has no time zone; or a text is empty.
    """
    hash(key)  # raises TypeError
    statuses = None if status is None else _statuses(status)
    text, name = _error(error)
    if error is not None:
        statuses = tuple(one for one in BAD if statuses is None or one in statuses)  # no other event has an error
    return Wanted(statuses, None if tag is None else _tags(tag), key, text, name, _since(since))


def _statuses(status: EventStatus | str | Iterable[EventStatus | str]) -> tuple[EventStatus, ...]:
    if isinstance(status, str):
        return (to_status(status),)
    if not isinstance(status, Iterable):
        raise TypeError(f"status must be a status or several, got {status!r}")
    return tuple(dict.fromkeys(to_status(one) for one in status))


def _tags(tag: str | Iterable[str]) -> frozenset[str]:
    tags: Any = [tag] if isinstance(tag, str) else tag
    if not isinstance(tags, Iterable) or isinstance(tags, bytes):
        raise TypeError(f"tag must be a text or several, got {tag!r}")
    found = frozenset(tags)
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"tag must be a text or several, got {one!r}")
    return found


def _error(error: object) -> tuple[str | None, str | None]:
    """Return the text of an error, and the name of its class, that are asked for."""
    if error is None:
        return None, None
    if isinstance(error, type) and issubclass(error, BaseException):
        return None, error.__name__
    if not isinstance(error, str):
        raise TypeError(f"error must be a text or an exception class, got {error!r}")
    if not error.strip():
        raise ValueError(f"error must not be empty, got {error!r}")
    return error, None


def _since(since: float | datetime | None) -> float | None:
    if since is None:
        return None
    if isinstance(since, datetime):
        if since.utcoffset() is None:
            raise ValueError(f"since must have a time zone, got {since!r}: use utc_now() or .astimezone()")
        return since.timestamp()
    return wall_clock.seconds() - check_seconds("since", since)


def tag_for(event: Event) -> str:
    """Return the tag of an event that is in memory only."""
    if isinstance(event, Call):
        return lasting_name_of(event.function)
    kind = type(event)
    return tag_of(kind) or f"{kind.__module__}.{kind.__qualname__}"


def found_in_memory(event: Event, key: Any, tag: str | None = None) -> FoundEvent:
    """
    Return what is known of an event.

    Args:
        event: The event.
        key: Its key.
        tag: Its tag. None if no journal and no cluster gives it one.
    """
    execution = event.execution
    return FoundEvent(
        event.id,
        execution.status,
        key,
        tag_for(event) if tag is None else tag,
        error_line(execution.error, secrets_of(event)),
        execution.attempt,
        execution.queued_at,
        execution.started_at,
        execution.finished_at,
        event._seq,
        event,
        status_code_of(execution.error),
    )


publish_classes(FoundEvent)
