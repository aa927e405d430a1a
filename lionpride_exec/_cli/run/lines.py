"""Make an event of a line of INPUT, and a line of the output of an event that has ended."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import attrs

from lionpride_exec._base.exception_groups import error_in
from lionpride_exec._base.field_paths import MISSING, look_up
from lionpride_exec._base.json_text import shown, write_json
from lionpride_exec._base.jsonable import form_of
from lionpride_exec._base.redaction import NO_SECRETS, keep_secrets, mask, mask_data, redacted_paths, secrets_of
from lionpride_exec._base.sentinel import UnsetType
from lionpride_exec._base.tracebacks import has_traceback
from lionpride_exec._base.wording import did_you_mean
from lionpride_exec._cli.errors import BadLineError, UsageError
from lionpride_exec._model.unknown_fields import explain_unknown
from lionpride_exec._status import EventStatus

from .columns import Columns
from .error_report import traceback_of
from .json_lines import parse_json
from .limit_options import absence_of, keep_values, value_at
from .line_identity import Identity, Lines
from .redacted_fields import Redaction
from .target import describe
from .text_options import check_encoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from lionpride_exec._events.event import Event

    from .inputs.records import Line
    from .options import RunOptions


@attrs.frozen
class Job:
    """
    A line that has become an event.

    Attributes:
        event: The event.
        record: The record as JSON, for the result.
        priority: The priority in the record. None for the order of arrival.
        secrets: Texts that no message may quote.
    """

    event: Event
    record: bytes
    priority: float | None = None
    secrets: frozenset[str] = NO_SECRETS


class JobMaker:
    """
    Makes jobs of lines.

    Args:
        event_type: The class of the events.
        is_function: Whether the field ``record`` gets the whole record.
        options: ``field``, ``priority``, ``timeout``, ``event_fields``, ``result_id`` and the fields of the limits are
            used.

    Raises:
        UsageError: The events have no field ``options.field``.
    """

    def __init__(self, event_type: type[Event], is_function: bool, options: RunOptions) -> None:
        self._event_type = event_type
        self._is_function = is_function
        self._field = options.field
        self._encoding = check_encoding(options.encoding)
        self._priority = options.priority
        self._limits = options.limits.fields
        self._columns = Columns(event_type, options.event_fields, options.timeout, is_function=is_function)
        # Type checkers do not see that Event is an attrs class.
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", event_type))
        self._fields = {field.alias for field in fields if field.init} - {"execution", "retry"}
        self._result_id = options.result_id
        named = (options.priority, options.line_id, options.result_id)
        ours = self._limits.names | {name for name in named if name is not None}
        # Fields of a record for the options only, or with such a field inside. The event does not get them.
        self._ours = (ours | {name.partition(".")[0] for name in ours}) - self._fields
        self._part = options.request_field
        inside = "" if self._part is None else f"{self._part}."
        own = () if is_function else {f"{inside}{path}" for path in redacted_paths(event_type)}
        self.redaction = Redaction(options.redact, own)
        # Whether the field `record` of each event has the record of its line, with nothing redacted.
        self.keeps_record: bool = is_function and not self.redaction and self._part is None
        # The ids of requests so far. With a journal or a cluster, the run checks them.
        self._ids = None if self._part is None else Lines(Identity(options.line_id))
        is_secret = self._limits.key is not None and self.redaction.covers(self._limits.key)
        self._secret_key = self._limits.key if is_secret else None
        if self._field is not None and not is_function and self._field not in self._fields:
            known = ", ".join(sorted(self._fields))
            hint = did_you_mean(self._field, self._fields)
            raise UsageError(f"--field {self._field}: {event_type.__name__} has no such field{hint}; it has {known}")

    def use_places(self, place: Callable[[int, int], str]) -> None:
        """Have messages about two lines name the other one by a function; see :attr:`Lines.place`."""
        if self._ids is not None:
            self._ids.place = place

    def is_blank(self, line: Line) -> bool:
        """Whether a line is passed over: it is empty or, if JSON is expected, has only white space."""
        return not isinstance(line, BadLineError) and not (line.strip() if self._field is None else line)

    def record_of(self, line: Line) -> bytes:
        """
        Return the record of a line as JSON. The line is not checked.

        Raises:
            BadLineError: The format of INPUT has found no record.
        """
        if isinstance(line, BadLineError):
            raise line
        if self._field is None:
            return line.strip()
        return write_json(self.value_of(line))

    def value_of(self, line: Line) -> Any:
        """
        Return the value of the record of a line.

        Raises:
            BadLineError: The line is not JSON.
        """
        if isinstance(line, BadLineError):
            raise line
        if self._field is None:
            return parse_json(line, encoding=self._encoding)
        value = line.decode("utf-8", "surrogateescape")  # a file's name may be any bytes
        return value if self._is_function else {self._field: value}

    def make(self, line: Line, number: int) -> Job:
        """
        Make an event of a line.

        Args:
            line: The line.
            number: Its number.

        Raises:
            BadLineError: The line is not a record, or does not fit the event. Or it is a request of a batch whose id is
                missing, or that of an earlier one.
        """
        value, record = self.value_of(line), self.record_of(line)
        if self._ids is not None:
            self._ids.key_of(record, number)
        return self.make_of(value, record)

    def make_of(self, record: Any, line: bytes) -> Job:
        """
        Make an event of a record that was read already.

        Args:
            record: The value of the record.
            line: The record as JSON.

        Raises:
            BadLineError: The record does not fit the event.
        """
        if not self.redaction:
            return self._make(record, line)
        secrets = self.redaction.secrets(record)
        text = self.redaction.record(record, secrets)
        try:
            job = self._make(record, text)
        except BadLineError as exc:
            raise BadLineError(mask(str(exc), secrets)) from exc
        keep_secrets(job.event, secrets)
        return attrs.evolve(job, secrets=secrets)

    def _make(self, record: Any, text: bytes) -> Job:
        priority = self._priority_of(record)
        values = self._limits.read(record)
        if self._result_id is not None and value_at(record, self._result_id) is None:
            absence = absence_of(record, self._result_id)
            raise BadLineError(f"{self._result_id!r} is {absence}: the results of a batch file are told by it")
        event = self._make_event(record if self._part is None else _request_in(record, self._part))
        keep_values(event, values, self._secret_key)
        return Job(event, text, priority)

    def _priority_of(self, record: Any) -> float | None:
        if self._priority is not None:
            return _priority_of(record, self._priority)
        return None if self._limits.key is None else 0.0  # keys take turns among equal priorities

    def _make_event(self, record: Any) -> Event:
        own = self._columns.read(record if self._field is None else None)
        if self._is_function:
            keywords = {"record": record}
        elif isinstance(record, dict):
            keywords = self._columns.others(cast("dict[str, Any]", record), but=self._field)
            for name in self._ours:
                keywords.pop(name, None)
        else:
            raise BadLineError(f"must be a JSON object, got {type(record).__name__}")
        try:
            return self._event_type(**own | keywords)
        except Exception as exc:
            unknown = explain_unknown(self._event_type, own | keywords) if isinstance(exc, TypeError) else None
            raise BadLineError(f"does not fit {self._event_type.__name__}: {unknown or describe(exc)}") from exc


def _request_in(record: Any, part: str) -> dict[str, Any]:
    """
    Return the part of a record of a batch that the target gets.

    Raises:
        BadLineError: The record has no such part.
    """
    found = look_up(record, part)
    if not isinstance(found, dict):
        is_missing = found is MISSING
        raise BadLineError(
            f"{part!r} of a request must be an object: {'it is missing' if is_missing else shown(found)}"
        )
    return cast("dict[str, Any]", found)


def result_line(event: Event, record: bytes, number: int | None, *, with_traceback: bool = False) -> bytes:
    """
    Return the result of an event that has ended, as one line of JSON.

    Args:
        event: The event.
        record: The record that the event was made of, as JSON.
        number: The number of the line. None if the event was made of no line.
        with_traceback: Whether an error has its traceback.
    """
    execution = event.execution
    outcome = "response" if execution.status is EventStatus.COMPLETED else "error"
    duration = None if isinstance(execution.duration, UnsetType) else round(execution.duration, 6)
    rest: dict[str, Any] = {
        "status": execution.status.value,
        outcome: None,
        "duration": duration,
        "line": number,
    }
    error = error_in(execution.error)
    rest[outcome], _ = form_of(execution.response if outcome == "response" else error)
    if with_traceback and isinstance(rest[outcome], dict) and error is not None and has_traceback(error):
        rest[outcome]["traceback"] = traceback_of(error)
    rest[outcome] = mask_data(rest[outcome], secrets_of(event))
    text = write_json(rest)
    return b'{"record": ' + record + b", " + text[1:] + b"\n"


def _priority_of(record: Any, field: str) -> float:
    value = value_at(record, field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = f"it is {absence_of(record, field)}" if value is None else f"got {shown(value)}"
        raise BadLineError(f"priority {field!r} must be a number: {found}")
    try:
        priority = float(value)
    except OverflowError:
        priority = float("inf")
    if not isfinite(priority):
        raise BadLineError(f"priority {field!r} must be finite")
    return priority
