"""What the queries of addresses mean."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final, overload

from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._faces.snapshot import Choice
from lionpride_exec._status import FINAL, OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping

# Stretches of time that events can be chosen by on a page. Seconds.
WITHIN: Final = {"300": "5 minutes", "3600": "hour", "86400": "day"}

# The texts by which events are chosen, and all fields of a choice.
TEXTS: Final = ("text", "kind", "key", "error")
CHOICE: Final = ("status", *TEXTS, "within", "since")

# The longest text that is searched for.
LONGEST: Final = 1000


class BadQueryError(ValueError):
    """A request asks for something that there is not. The answer has the status 400."""


def choice_of(query: Mapping[str, Any]) -> Choice:
    """
    Return which events a query asks for. What is empty fits all.

    Args:
        query: ``status``, ``text``, ``kind``, ``key``, ``error``; and ``since``, seconds since 1970, or ``within``, a
            number of seconds until now.

    Raises:
        BadQueryError: The status does not exist, a text is too long, or a time is none.
    """
    status = query.get("status") or None
    if status is not None and not (isinstance(status, str) and status in {*FINAL, *OPEN}):
        raise BadQueryError(f"status must be one of {', '.join((*OPEN, *FINAL))}, got {status!r}")
    since = _seconds(query, "since")
    if since is None and (within := _seconds(query, "within")) is not None:
        since = wall_clock.now().timestamp() - within
    return Choice(status=status, since=since, **{name: _text(query, name) for name in TEXTS})


def _text(query: Mapping[str, Any], name: str) -> str | None:
    value = query.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST:
        raise BadQueryError(f"{name} must be a text of at most {LONGEST:,} characters")
    return value


def _seconds(query: Mapping[str, Any], name: str) -> float | None:
    value = query.get(name)
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if not isfinite(found):
        raise BadQueryError(f"{name} must be a number of seconds, got {value!r}")
    return found


@overload
def number_of(query: Mapping[str, Any], name: str, default: int, *, most: int) -> int: ...
@overload
def number_of(query: Mapping[str, Any], name: str, default: None, *, most: int) -> int | None: ...
def number_of(query: Mapping[str, Any], name: str, default: int | None, *, most: int) -> int | None:
    """
    Return a whole number of a query, from 1 to ``most``.

    Raises:
        BadQueryError: It is no such number.
    """
    value = query.get(name)
    if value is None or value == "":
        return default
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):  # noqa: PLR2004  digits
        raise BadQueryError(f"{name} must be a number from 1 to {most:,}, got {value!r}")
    return int(text)
