"""The record of what happened to an event."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._base.jsonable import error_from_dict, error_to_dict, jsonable
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMES = ("queued_at", "started_at", "finished_at")


@attrs.frozen
class Attempt:
    """
    An earlier run of an event. After this run the event went back to PENDING.

    Attributes:
        number: 1 for the first run. The run after an interrupted run has the same number again.
        started_at: When the run began (UTC).
        finished_at: When the run ended (UTC).
        error: The exception that ended the run. None if there was none.
        interrupted: Whether the run does not count: it was stopped from outside, or met ``RateLimited``.
    """

    number: int
    started_at: datetime
    finished_at: datetime
    error: BaseException | None = None
    interrupted: bool = False


@attrs.define(weakref_slot=False)  # one record for each event, so 8 bytes count
class Execution:
    """
    What has happened to an event so far. ``Unset`` means not known yet, whereas ``None`` is a real value.

    Attributes:
        status: The status of the event. The methods of the event change it. Set it by hand only in fixtures.
        duration: How many seconds the last run took, by the clock of the event loop.
        response: What the event returned.
        error: ``Unset`` before a run, None after a success, otherwise the exception.
        retryable: Whether another run may succeed.
        queued_at: When an executor took the event in (UTC). None before that.
        started_at: When the last run began (UTC). None before that.
        finished_at: When the event ended (UTC). None before that.
        attempt: Number of the last run that counts: 1 for the first run, 0 before any run.
        attempts: The runs before the last one. Only the latest 100 are kept.
    """

    status: EventStatus = EventStatus.PENDING
    duration: float | UnsetType = Unset
    response: Any = Unset
    error: BaseException | UnsetType | None = Unset
    retryable: bool | UnsetType = Unset
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    attempts: tuple[Attempt, ...] = ()

    def add_error(self, exc: BaseException) -> None:
        """Add ``exc`` to the error of the event. Two or more errors form a group named "multiple errors"."""
        if self.error is None or isinstance(self.error, UnsetType):
            self.error = exc
            return
        earlier = self.error.exceptions if isinstance(self.error, BaseExceptionGroup) else (self.error,)
        # BaseExceptionGroup() returns an ExceptionGroup if all the errors are Exceptions.
        self.error = BaseExceptionGroup("multiple errors", [*earlier, exc])

    def history(self) -> list[tuple[EventStatus, datetime]]:
        """Return every status that the event has had, with the time (UTC) of the change, oldest first."""
        moments: list[tuple[EventStatus, datetime | None]] = [(EventStatus.PENDING, self.queued_at)]
        for earlier in self.attempts:
            moments += [
                (EventStatus.PROCESSING, earlier.started_at),
                (EventStatus.PENDING, earlier.finished_at),
            ]
        moments.append((EventStatus.PROCESSING, self.started_at))
        if self.status.is_terminal:
            moments.append((self.status, self.finished_at))
        return [(status, moment) for status, moment in moments if moment is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-safe data for :meth:`from_dict`. No response makes this method raise."""
        data: dict[str, Any] = {
            "status": self.status.value,
            "duration": None if isinstance(self.duration, UnsetType) else self.duration,
            "response": None if self.response is Unset else jsonable(self.response),
            "error": _error_dict(self.error),
            "retryable": None if isinstance(self.retryable, UnsetType) else self.retryable,
        }
        data |= {name: moment.isoformat() for name in _TIMES if (moment := getattr(self, name)) is not None}
        if self.attempt:
            data["attempt"] = self.attempt
        if self.attempts:
            data["attempts"] = [
                {
                    "number": earlier.number,
                    "started_at": earlier.started_at.isoformat(),
                    "finished_at": earlier.finished_at.isoformat(),
                    "error": _error_dict(earlier.error),
                    "interrupted": earlier.interrupted,
                }
                for earlier in self.attempts
            ]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Execution:
        """
        Make a record from the data that :meth:`to_dict` returned.

        An error comes back as an ``ExecutionError`` with the name of its class, its message and its details. The
        status PROCESSING stays PROCESSING, although nothing runs the event.

        Raises:
            ValueError: The status or a time cannot be parsed.
        """
        status = EventStatus(data.get("status", EventStatus.PENDING))
        completed = status is EventStatus.COMPLETED
        error = data.get("error")
        return cls(
            status=status,
            duration=_unset_if_none(data.get("duration")),
            response=data.get("response") if completed else _unset_if_none(data.get("response")),
            error=error_from_dict(error) if error is not None else None if completed else Unset,
            retryable=_unset_if_none(data.get("retryable")),
            attempt=data.get("attempt", 0),
            attempts=tuple(_attempt(item) for item in data.get("attempts", ())),
            **{name: _moment(data[name]) for name in _TIMES if data.get(name) is not None},
        )


def _attempt(data: Mapping[str, Any]) -> Attempt:
    error = data.get("error")
    return Attempt(
        number=data["number"],
        started_at=_moment(data["started_at"]),
        finished_at=_moment(data["finished_at"]),
        error=None if error is None else error_from_dict(error),
        interrupted=data.get("interrupted", False),
    )


def _error_dict(error: BaseException | UnsetType | None) -> dict[str, Any] | None:
    known = error_in(error)
    return None if known is None else error_to_dict(known)


def _unset_if_none(value: Any) -> Any:
    return Unset if value is None else value


def _moment(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def to_status(status: EventStatus | str) -> EventStatus:
    """
    Return the status for a member of ``EventStatus`` or its string.

    Raises:
        NotFoundError: There is no status of that name.
    """
    try:
        return EventStatus(status)
    except ValueError:
        known = ", ".join(EventStatus.allowed())
        hint = did_you_mean(status, EventStatus.allowed())
        raise NotFoundError(f"Status {status!r} not found{hint}; there are {known}") from None
