"""The HTTP answer that an error of a client stands for: what results and journals keep of it."""

from __future__ import annotations

import json
from typing import Any, Final

from .answers import attribute

OF_ANSWERS: Final = frozenset({"status_code", "body"})  # what is kept of an answer

# A longer body is not kept: an event may fail many times.
MAX_KEPT: Final = 4096  # characters
MAX_PARTS: Final = 200  # lists and objects in it

_FIRST, _LAST = 400, 599  # of the status codes of HTTP that tell of an error
_HOLDERS: Final = (("status_code", "http_status", "status"), ("status_code", "status"))


def http_answer(error: BaseException) -> dict[str, Any]:
    """
    Return ``status_code`` and ``body`` of the answer behind an error. Empty if there is none. Never raises.

    The errors that an error was raised ``from`` are looked at too. ``body`` is a value of JSON or a text. It is left
    out if it was not read, or is long.
    """
    seen: set[int] = set()
    following: BaseException | None = error
    while isinstance(following, Exception) and id(following) not in seen:
        seen.add(id(following))
        status = _status_of(following)
        if status is not None:
            body = _body_of(following)
            return {"status_code": status} if body is None else {"status_code": status, "body": body}
        following = following.__cause__
    return {}


def _status_of(error: Exception) -> int | None:
    for holder, names in zip((error, attribute(error, "response")), _HOLDERS, strict=True):
        for name in names:
            value = attribute(holder, name)
            if isinstance(value, int) and not isinstance(value, bool) and _FIRST <= value <= _LAST:
                return int(value)
    return None


def _body_of(error: Exception) -> Any:
    """Return the body as far as it is in memory: nothing is read here."""
    # Of httpx and requests, of googleapiclient, of OpenAI and Anthropic.
    places = (attribute(error, "response"), "_content"), (error, "content"), (error, "body")
    texts = (_text_of(attribute(holder, name)) for holder, name in places)
    text = next((text for text in texts if text), "")
    return _parsed(text) if 0 < len(text) <= MAX_KEPT else None


def _text_of(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, dict | list):
        return value if isinstance(value, str) else ""
    try:
        return json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return ""


def _parsed(text: str) -> Any:
    if text.count("[") + text.count("{") > MAX_PARTS:
        return text
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text
