"""The outcome of an event as JSON: its response or error, and the attempts before the last run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from lionpride_exec import errors
from lionpride_exec._base.exception_groups import error_in, is_cancellation, is_of, is_retryable
from lionpride_exec._base.json_text import read_json, write_json
from lionpride_exec._base.jsonable import error_text, form_of, jsonable
from lionpride_exec._base.redaction import NO_SECRETS, mask, mask_data
from lionpride_exec._base.sentinel import Unset, UnsetType
from lionpride_exec._base.tracebacks import format_traceback, has_traceback
from lionpride_exec._clients.http_answer import OF_ANSWERS, http_answer
from lionpride_exec._model.execution import Attempt, Execution
from lionpride_exec._status import EventStatus
from lionpride_exec.errors import LionprideError, RemoteError

from .annotations import has_private_fields, read_path
from .fixes import Fix, apply_fixes
from .response_fixes import add_moment_fixes, add_number_fixes, apply_moment_fixes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import Row

NO_TYPE: Any = Any


NULL = msgspec.Raw(b"null")


class ErrorData(msgspec.Struct, omit_defaults=True):
    """An error."""

    type: str
    message: str = ""
    traceback: str = ""
    retryable: bool = True
    details: dict[str, Any] = {}


def tells_retryable(type_name: object, *, retryable: object, details: object) -> bool:
    """
    Return whether people are told ``retryable`` of a stored error: of errors of this package, which alone have it.

    A subclass of a user is known by details that are not of an HTTP answer, or by its ``False``.
    """
    known = getattr(errors, type_name.rpartition(".")[2], None) if isinstance(type_name, str) else None
    is_ours = isinstance(known, type) and issubclass(known, LionprideError)
    return is_ours or retryable is False or (isinstance(details, dict) and not details.keys() <= OF_ANSWERS)


class OutcomeData(msgspec.Struct, omit_defaults=True):
    """How an event ended. At most one of response, escaped, repr and error is set. If none is, the response is None."""

    response: msgspec.Raw = NULL  # not in a union, where msgspec reads Raw as another type
    escaped: str | None = None  # JSON text of a response with half a surrogate pair, which msgspec does not read
    repr: str | None = None  # the repr of a response without a JSON form
    fixes: list[Fix] = []  # for the zones of datetimes, and for NaN and infinities
    error: ErrorData | None = None
    duration: float | None = None
    retryable: bool | None = None


class AttemptData(msgspec.Struct, omit_defaults=True):
    """A run that did not settle an event. Times are seconds since 1970, UTC."""

    number: int
    started: float
    finished: float
    error: ErrorData | None = None
    interrupted: bool = False


_encode = msgspec.json.Encoder().encode
_outcomes = msgspec.json.Decoder(OutcomeData)
_attempts = msgspec.json.Decoder(list[AttemptData])


def to_seconds(moment: datetime | None) -> float | None:
    """Return a time as seconds since 1970."""
    return None if moment is None else moment.timestamp()


def from_seconds(since: float) -> datetime:
    """Return the UTC time of a number of seconds since 1970."""
    return datetime.fromtimestamp(since, UTC)


# ---------------------------------------------------------------- to JSON


def encode_outcome(
    status: EventStatus,
    response: Any,
    error: BaseException | UnsetType | None,
    duration: float | UnsetType,
    secrets: frozenset[str] = NO_SECRETS,
) -> bytes:
    """
    Return an outcome. Never raises: a response without a JSON form is stored as its repr.

    Args:
        status: The final status.
        response: What the event returned.
        error: What the event raised.
        duration: Seconds that the last run took.
        secrets: Texts that are masked in the error.
    """
    data = OutcomeData(
        duration=None if isinstance(duration, UnsetType) else duration,
    )
    if status is not EventStatus.COMPLETED:
        data.retryable = error is None or is_retryable(error)
        known = error_in(error)
        data.error = None if known is None else error_data(known, secrets)
    elif response is not None and response is not Unset:
        form, is_lost = form_of(response)
        if is_lost:
            data.repr = form
        else:
            if form is not response:
                add_moment_fixes(response, (), data.fixes)
            if form is not response or type(form) is float:
                add_number_fixes(form, data.fixes)
            try:
                data.response = msgspec.Raw(_encode(form))
            except ValueError:  # UnicodeEncodeError
                data.escaped = write_json(form).decode()
    return _encode(data)


def encode_attempts(attempts: Sequence[Attempt], secrets: frozenset[str] = NO_SECRETS) -> bytes | None:
    """Return the attempts before the last run. None if there are none."""
    if not attempts:
        return None
    return _encode(
        [
            AttemptData(
                number=one.number,
                started=one.started_at.timestamp(),
                finished=one.finished_at.timestamp(),
                error=None if one.error is None else error_data(one.error, secrets),
                interrupted=one.interrupted,
            )
            for one in attempts
        ]
    )


def error_data(error: BaseException, secrets: frozenset[str] = NO_SECRETS) -> ErrorData:
    """Return an error as data. A RemoteError becomes the data it was made of. Never raises."""
    try:
        data = _error_data(error)
        if secrets:
            data.message, data.traceback = mask(data.message, secrets), mask(data.traceback, secrets)
            data.details = mask_data(data.details, secrets)
        _encode(data)
    except Exception:  # noqa: BLE001  an error may raise when it is read; the event has ended
        return ErrorData(type(error).__qualname__, mask(error_text(error), secrets))
    return data


def _error_data(error: BaseException) -> ErrorData:
    if is_of(error, RemoteError):
        data = ErrorData(error.type_name, error.original_message, error.traceback_text, error.retryable)
    else:
        # What event loops write into a cancellation (addresses, paths) is for debugging, not for a record.
        message = "interrupted" if not is_of(error, LionprideError) and _is_cancellation(error) else error_text(error)
        data = ErrorData(type(error).__qualname__, message, _traceback(error), is_retryable(error))
    if is_of(error, LionprideError) and error.details:
        details = jsonable(error.details)
        data.details = details if isinstance(details, dict) else {}
    if not is_of(error, BaseExceptionGroup):
        data.details = http_answer(error) | data.details
    return data


def one_line(error: BaseException | UnsetType | None, secrets: frozenset[str] = NO_SECRETS) -> str | None:
    """Return an error as one line for the audit trail. None if there is no error."""
    known = error_in(error)
    if known is None:
        return None
    if is_of(known, RemoteError):
        return " ".join(mask(error_text(known), secrets).split())[:500]
    if not is_of(known, LionprideError) and _is_cancellation(known):
        return "interrupted"
    return " ".join(f"{type(known).__qualname__}: {mask(error_text(known), secrets)}".split())[:500]


def _is_cancellation(error: BaseException) -> bool:
    try:
        return is_cancellation(error)
    except Exception:  # noqa: BLE001  no event loop runs, so AnyIO cannot tell
        return False


def _traceback(error: BaseException) -> str:
    if not has_traceback(error):
        return ""
    try:
        return format_traceback(error) + "\n"
    except Exception:  # noqa: BLE001  as above
        return ""


# ---------------------------------------------------------------- from JSON


def restore_execution(row: Row, response_type: Any = NO_TYPE) -> Execution:
    """
    Return the record of an event from its row.

    Args:
        row: The row.
        response_type: The return type that the class or function is annotated with.

    Raises:
        msgspec.MsgspecError: The outcome or the attempts cannot be read.
    """
    status = EventStatus(row.status)
    execution = Execution(
        status=status,
        queued_at=None if row.queued is None else from_seconds(row.queued),
        started_at=None if row.started is None else from_seconds(row.started),
        finished_at=None if row.finished is None else from_seconds(row.finished),
        attempt=row.attempt,
        attempts=restore_attempts(row.attempts),
    )
    if row.outcome is not None and status.is_terminal:
        data = _outcomes.decode(row.outcome)
        execution.duration = Unset if data.duration is None else data.duration
        execution.retryable = status is not EventStatus.COMPLETED and data.retryable is not False
        if status is EventStatus.COMPLETED:
            response = _response(data, response_type)
            execution.response = apply_moment_fixes(response, data.fixes) if data.fixes else response
            execution.error = None
        elif data.error is not None:
            execution.error = remote_error(data.error)
    return execution


def restore_attempts(attempts: bytes | None) -> tuple[Attempt, ...]:
    """
    Return the attempts before the last run.

    Raises:
        msgspec.MsgspecError: They cannot be read.
    """
    return tuple(
        Attempt(
            number=one.number,
            started_at=from_seconds(one.started),
            finished_at=from_seconds(one.finished),
            error=None if one.error is None else remote_error(one.error),
            interrupted=one.interrupted,
        )
        for one in (() if attempts is None else _attempts.decode(attempts))
    )


def remote_error(data: ErrorData) -> RemoteError:
    """Return the error that stands for an error of another process."""
    return RemoteError(data.message, data.type, data.traceback, retryable=data.retryable, details=data.details)


def _response(data: OutcomeData, response_type: Any) -> Any:
    if data.repr is not None:
        return data.repr
    is_whole = not has_private_fields(response_type)
    numbers = [[("it", *path), *change] for path, *change in data.fixes if change[0] == "json"]
    if data.escaped is not None or numbers:
        holder = {"it": msgspec.json.decode(data.response) if data.escaped is None else read_json(data.escaped)}
        apply_fixes(holder, numbers)
        value = holder["it"]
        try:
            return msgspec.convert(value, response_type, dec_hook=read_path, str_keys=True) if is_whole else value
        except (ValueError, TypeError, NotImplementedError):
            return value
    try:
        if is_whole:
            return msgspec.json.decode(data.response, type=response_type, dec_hook=read_path)
    except (msgspec.ValidationError, TypeError, NotImplementedError):  # not what the class says, or unknown to msgspec
        pass
    return msgspec.json.decode(data.response)
