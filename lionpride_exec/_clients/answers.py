"""
The answer of the other side, read from an error of a client.

Clients keep the answer in different places: in attributes of the error, in a response that is an object or a dict, in
methods, in trailing metadata. Nothing is imported from any client. A value counts only if it has the right type, and an
attribute that raises is skipped. So reading an error never fails.
"""

from __future__ import annotations

import json
import re
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, cast

from .grpc_details import seconds_of_retry_info, seconds_of_status
from .retry_after import explicit_seconds, is_used_up, seconds_until_reset, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FORBIDDEN, THROTTLED = 403, 429

# The mapping to HTTP in google.rpc.Code.
HTTP_OF_GRPC: Final = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": THROTTLED,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}

# Throttling codes of AWS. They count with any HTTP status, because some services throttle with a 400.
# LimitExceededException is left out: in many services it means a quota of resources, and waiting does not help.
THROTTLING_CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

# Types of errors that come inside a stream. The status of the answer is that of its good beginning, or is missing.
STATUS_OF_TYPE: Final = {
    "rate_limit_error": THROTTLED,
    "rate_limit_exceeded": THROTTLED,
    "overloaded_error": 529,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
}

STATUS_ATTRIBUTES: Final = ("status_code", "http_status", "status", "code")
HEADER_HOLDERS: Final = ("response", "resp", "meta")
DETAIL_ATTRIBUTES: Final = ("details", "error_details", "body", "json_body", "content")
TOO_MANY: Final = re.compile(
    r"too many ([1-5]\d\d) error responses", re.ASCII
)  # urllib3 keeps only this text of an answer

# The fields of a body that say how long to wait, each with its unit in seconds.
BODY_KEYS: Final = {
    "retryDelay": 1.0,
    "retry_delay": 1.0,
    "retry_after": 1.0,
    "retryAfter": 1.0,
    "retry_after_seconds": 1.0,
    "retry_after_ms": 1e-3,  # Matrix
}

MAX_BODY = 65_536
MAX_DEPTH = 8


def attribute(holder: object, name: str) -> Any:
    """Return an attribute. None if there is none, or if reading it raises."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001  a property of the class of a client
        return None


class Answer:
    """
    The answer of the other side, read from one error.

    Args:
        error: An error that is not a group, or an answer. The causes of an error are not read.
    """

    def __init__(self, error: object) -> None:
        self._error = error
        response = attribute(error, "response")
        self._response = response
        # The response of botocore is a dict.
        self._fields: Mapping[str, Any] = cast("Mapping[str, Any]", response) if isinstance(response, dict) else {}
        metadata = self._fields.get("ResponseMetadata")
        self._metadata: Mapping[str, Any] = cast("Mapping[str, Any]", metadata) if isinstance(metadata, dict) else {}

    def statuses(self) -> Iterator[int]:
        """Yield the status codes that the error has, the most reliable one first."""
        values = [attribute(self._error, name) for name in STATUS_ATTRIBUTES]
        values += [attribute(self._response, "status_code"), attribute(self._response, "status")]
        values += [self._metadata.get("HTTPStatusCode"), HTTP_OF_GRPC.get(_grpc_code(self._error))]
        match attribute(self._error, "args"):
            case (str(text), *_) if found := TOO_MANY.fullmatch(text):
                values.append(int(found[1]))
            case _:
                pass
        for value in values:
            if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:  # noqa: PLR2004  HTTP
                yield int(value)

    def status(self, own: int | None) -> int | None:
        """
        Return the status code that the error stands for. None if there is none.

        Args:
            own: The first status of :meth:`statuses`. None if there is none.
        """
        codes = self.codes()
        if codes & THROTTLING_CODES and self._fields:
            return THROTTLED
        if own == FORBIDDEN and any(is_used_up(headers) for headers in self._headers()):
            return THROTTLED
        if own is None or 200 <= own <= 299:  # noqa: PLR2004  HTTP: a success
            return next((STATUS_OF_TYPE[code] for code in codes if code in STATUS_OF_TYPE), own)
        return own

    def codes(self) -> frozenset[str]:
        """Return the codes and types by which the answer names the error."""
        body = attribute(self._error, "body")
        fields = cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}
        parts = [fields, fields.get("error"), self._fields.get("Error")]
        found = [attribute(self._error, "code"), attribute(self._error, "type")]
        found += [part.get(key) for part in parts if isinstance(part, dict) for key in ("code", "type", "Code")]
        return frozenset(code for code in found if isinstance(code, str))

    def seconds(self) -> float | None:
        """Return how many seconds the answer asks to wait, 0 or more. None if the answer does not say."""
        own = to_seconds(attribute(self._error, "retry_after"))
        if own is not None:
            return own
        headers = list(self._headers())
        ways = (
            *(explicit_seconds(each) for each in headers),
            _seconds_of_metadata(self._error),
            *(_search(detail) for detail in self._details()),
            *(seconds_until_reset(each) for each in headers),
        )
        return next((seconds for seconds in ways if seconds is not None), None)

    def _headers(self) -> Iterator[Mapping[str, str]]:
        """Yield each set of headers of the error, by lower-case names."""
        holders = [self._error, *(attribute(self._error, name) for name in HEADER_HOLDERS)]
        found = [attribute(holder, "headers") for holder in holders]
        found += [attribute(self._error, "resp"), self._metadata.get("HTTPHeaders")]
        for headers in found:
            if read := lower_headers(headers):
                yield read

    def _details(self) -> Iterator[Any]:
        """Yield the values that may contain the fields of a body. A body that was not read yet is not read here."""
        for value in (
            *(attribute(self._error, name) for name in DETAIL_ATTRIBUTES),
            attribute(self._response, "_content"),  # of httpx and requests, set once the body was read
        ):
            yield _parsed(value) if isinstance(value, str | bytes) else value


def lower_headers(headers: object) -> dict[str, str]:
    """Return headers by lower-case names. Of several headers with the same name, the first one counts."""
    items = attribute(headers, "items")
    try:
        pairs = cast(
            "Iterable[Any]", items() if callable(items) else headers if isinstance(headers, list | tuple) else ()
        )
        found: dict[str, str] = {}
        for name, value in pairs:
            found.setdefault(_text(name).lower(), _text(value))
    except Exception:  # noqa: BLE001  not pairs, or a mapping that raises
        return {}
    return found


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _grpc_code(error: object) -> str:
    """Return the name of the code of a gRPC call, which is the result of a method. "" if there is none."""
    code = attribute(error, "code")
    if not callable(code) or iscoroutinefunction(code):
        return ""
    try:
        name = attribute(code(), "name")
    except Exception:  # noqa: BLE001  an unrelated method of that name
        return ""
    return name if isinstance(name, str) else ""


def _seconds_of_metadata(error: object) -> float | None:
    """Return the seconds in the trailing metadata of a gRPC call. None if there are none."""
    method = attribute(error, "trailing_metadata")
    if not callable(method) or iscoroutinefunction(method):
        return None
    try:
        pairs = {str(key).lower(): value for key, value in cast("Iterable[Any]", method() or ())}
    except Exception:  # noqa: BLE001  an unrelated method of that name
        return None
    pushback = pairs.get("grpc-retry-pushback-ms")
    info, status = pairs.get("google.rpc.retryinfo-bin"), pairs.get("grpc-status-details-bin")
    ways = (
        to_seconds(pushback, unit=1e-3) if isinstance(pushback, str) else None,
        seconds_of_retry_info(info) if isinstance(info, bytes) else None,
        seconds_of_status(status) if isinstance(status, bytes) else None,
        explicit_seconds({key: value for key, value in pairs.items() if isinstance(value, str)}),
    )
    return next((seconds for seconds in ways if seconds is not None), None)


def _parsed(text: str | bytes) -> Any:
    if len(text) > MAX_BODY:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _search(value: Any, depth: int = 0) -> float | None:
    """Return the seconds in a body: ``retryDelay`` (Google), ``retry_after`` (Discord, Telegram) or a similar field."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, dict):
        fields = cast("Mapping[Any, Any]", value)
        for key, unit in BODY_KEYS.items():
            seconds = _duration(fields.get(key), unit)
            if seconds is not None:
                return seconds
        parts: Iterable[Any] = fields.values()
    elif isinstance(value, list | tuple):
        parts = cast("Iterable[Any]", value)
    else:
        return _duration(attribute(value, "retry_delay"))  # of a protobuf message
    return next((seconds for part in parts if (seconds := _search(part, depth + 1)) is not None), None)


def _duration(value: Any, unit: float = 1.0) -> float | None:
    """Return the seconds of a duration: a text, a number, or the fields of protobuf. None if it cannot be read."""
    if isinstance(value, dict):
        seconds, nanos = value.get("seconds", 0), value.get("nanos", 0)
    elif isinstance(attribute(value, "nanos"), int):
        seconds, nanos = attribute(value, "seconds"), attribute(value, "nanos")
    else:
        return to_seconds(value, unit=unit)
    whole, rest = to_seconds(seconds), to_seconds(nanos)
    return None if whole is None or rest is None else whole + rest * 1e-9
