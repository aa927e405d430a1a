"""
Results as the batch files of OpenAI and Anthropic have them.

The services say more about a failure than an error of Python does. What is not known is left out, or has the most
general value that the format allows.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from lionpride_exec._base.error_shapes import code_in
from lionpride_exec._base.json_text import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping


class Refusal(NamedTuple):
    """
    How a service has answered.

    Attributes:
        status: The HTTP status code.
        openai: The type of the error for OpenAI.
        anthropic: The type of the error for Anthropic.
    """

    status: int
    openai: str
    anthropic: str


# The errors of both clients by their names, and RateLimited, which stands for a 429 here.
_REFUSALS: Final[Mapping[str, Refusal]] = {
    "BadRequestError": Refusal(400, "invalid_request_error", "invalid_request_error"),
    "AuthenticationError": Refusal(401, "authentication_error", "authentication_error"),
    "PermissionDeniedError": Refusal(403, "permission_error", "permission_error"),
    "NotFoundError": Refusal(404, "not_found_error", "not_found_error"),
    "ConflictError": Refusal(409, "invalid_request_error", "invalid_request_error"),
    "RequestTooLargeError": Refusal(413, "invalid_request_error", "invalid_request_error"),
    "UnprocessableEntityError": Refusal(422, "invalid_request_error", "invalid_request_error"),
    "RateLimitError": Refusal(429, "rate_limit_error", "rate_limit_error"),
    "RateLimited": Refusal(429, "rate_limit_error", "rate_limit_error"),
    "PauseTooLong": Refusal(429, "rate_limit_error", "rate_limit_error"),
    "InternalServerError": Refusal(500, "server_error", "api_error"),
    "ServiceUnavailableError": Refusal(503, "server_error", "overloaded_error"),
    "OverloadedError": Refusal(529, "server_error", "overloaded_error"),
}
# What a status code stands for, if the class of the error says nothing. Any other code is like 400 or 500.
_BY_STATUS: Final[Mapping[int, Refusal]] = {
    **{refusal.status: refusal for refusal in reversed(list(_REFUSALS.values()))},
    504: Refusal(504, "server_error", "timeout_error"),
}
_TIMEOUTS: Final = ("LionTimeoutError", "TimeoutError", "APITimeoutError", "DeadlineExceededError")


class _BatchResult:
    """What both formats have in common. An event that was made of no line has no result."""

    def convert(self, line: bytes) -> bytes:
        """Return the result as a line. Empty if there is no request."""
        result = read_json(line)
        record = result["record"]
        if not isinstance(record, dict) or "custom_id" not in record:
            return b""
        return write_json(self.made_of(str(record["custom_id"]), result)) + b"\n"

    def made_of(self, custom_id: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a request."""
        raise NotImplementedError

    def message(self) -> str | None:
        """Return None."""
        return None


class OpenAIBatch(_BatchResult):
    """The lines of OpenAI's output file, and of its error file, as one."""

    def made_of(self, custom_id: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a request: a response, or an error that is no answer of the service."""
        digest = blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        response, error = None, None
        if result["status"] == "completed":
            response = {"status_code": 200, "request_id": digest, "body": result["response"]}
        elif (refusal := _refusal_of(result)) is not None:
            response = {"status_code": refusal.status, "request_id": digest, "body": self._body_of(result, refusal)}
        else:
            error = {"code": self._code_of(result), "message": _message_of(result)}
        return {"id": f"batch_req_{digest}", "custom_id": custom_id, "response": response, "error": error}

    @staticmethod
    def _body_of(result: Mapping[str, Any], refusal: Refusal) -> dict[str, Any]:
        """Return the body of the answer if it is one of the service, else what is known."""
        body = _details_of(result).get("body")
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            return cast("dict[str, Any]", body)
        if isinstance(body, dict) and "message" in body:  # its client keeps the inner object
            return {"error": body}
        return {"error": {"message": _message_of(result), "type": refusal.openai, "param": None, "code": None}}

    @staticmethod
    def _code_of(result: Mapping[str, Any]) -> str:
        if _is_timeout(result):
            return "request_timeout"
        return "batch_cancelled" if _was_given_up(result) else "request_failed"


class AnthropicBatch(_BatchResult):
    """The lines of Anthropic's results."""

    def made_of(self, custom_id: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a request: succeeded, errored or canceled."""
        found: dict[str, Any]
        if result["status"] == "completed":
            found = {"type": "succeeded", "message": result["response"]}
        elif _was_given_up(result) and not _is_timeout(result):
            found = {"type": "canceled"}
        else:
            found = {"type": "errored", "error": self._answer_of(result)}
        return {"custom_id": custom_id, "result": found}

    @staticmethod
    def _answer_of(result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of the answer if it is one of the service, else what is known."""
        body = _details_of(result).get("body")
        if isinstance(body, dict) and body.get("type") == "error" and isinstance(body.get("error"), dict):
            return {"type": "error", "error": body["error"], "request_id": body.get("request_id")}
        refusal = _refusal_of(result)
        kind = refusal.anthropic if refusal is not None else "timeout_error" if _is_timeout(result) else "api_error"
        return {"type": "error", "error": {"type": kind, "message": _message_of(result)}, "request_id": None}


def _error_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("error") or {}


def _details_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    details = _error_of(result).get("details")
    return cast("Mapping[str, Any]", details) if isinstance(details, dict) else {}


def _refusal_of(result: Mapping[str, Any]) -> Refusal | None:
    """Return how the service has answered: by the status code of the answer, else by the class of the error."""
    status = code_in(_details_of(result))
    if status is None:
        return _REFUSALS.get(_error_of(result).get("error", ""))
    known = _BY_STATUS.get(status, _BY_STATUS[400 if status < 500 else 500])  # noqa: PLR2004  HTTP
    return known._replace(status=status)


def _is_timeout(result: Mapping[str, Any]) -> bool:
    return _error_of(result).get("error") in _TIMEOUTS


def _was_given_up(result: Mapping[str, Any]) -> bool:
    """Whether a request was cancelled or skipped. It may have run, but it has not failed."""
    return result["status"] in {"cancelled", "skipped"}


def _message_of(result: Mapping[str, Any]) -> str:
    error = _error_of(result)
    parts = [str(error[name]) for name in ("error", "message") if error.get(name)]
    return ": ".join(parts) or str(result["status"])
