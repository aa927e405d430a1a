"""
``--pause-on``: errors that carry a status code, 429 say, become the error that pauses a key.

What an HTTP client raises differs from library to library, but each keeps the status and the headers in one of a few
places. The conversion stands around an event's work and nowhere in the core: it is a guess, good enough for a command.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from lionpride_exec._config import is_number
from lionpride_exec._leaves import leaves
from lionpride_exec.errors import RateLimited

from ._target import describe

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from lionpride_exec._event import Event

STATUS_ATTRIBUTES = ("status_code", "status", "code")

# Seconds, where the error does not say.
DEFAULT_PAUSE = 1.0


@contextmanager
def pausing_on(event_type: type[Event], codes: Container[int]) -> Iterator[None]:
    """
    Inside the block, errors of these events that carry one of the codes become ``RateLimited``.

    The class itself is changed, and changed back: so it holds for events that other events append, and for
    executors that take this very class only.
    """
    perform = event_type._perform
    is_own = "_perform" in vars(event_type)

    async def perform_or_pause(self: Event) -> Any:
        """Do the work; an error with one of the codes is a request to pause."""
        try:
            return await perform(self)
        except Exception as exc:
            seconds = pause_for(exc, codes)
            if seconds is None:
                raise
            raise RateLimited(describe(exc), retry_after=seconds) from exc

    event_type._perform = perform_or_pause  # type: ignore[method-assign]  # for the run only
    try:
        yield
    finally:
        if is_own:
            event_type._perform = perform  # type: ignore[method-assign]  # and back
        else:
            del event_type._perform


def pause_for(error: BaseException, codes: Container[int]) -> float | None:
    """Give the seconds to pause for an error, None if it carries none of the codes; of a group, the longest."""
    pauses = [
        retry_after_of(leaf)
        for leaf in leaves(error)
        if not isinstance(leaf, RateLimited) and any(status in codes for status in _statuses_of(leaf))
    ]
    return max(pauses, default=None)


def retry_after_of(error: BaseException) -> float:
    """Give the seconds that an error asks for: its ``retry_after``, or a ``Retry-After`` header of it; else 1."""
    response = getattr(error, "response", None)
    found = [
        getattr(error, "retry_after", None),
        *(_header(getattr(holder, "headers", None)) for holder in (response, error)),
    ]
    return next((seconds for value in found if (seconds := _to_seconds(value)) is not None), DEFAULT_PAUSE)


def _statuses_of(error: BaseException) -> Iterator[int]:
    response = getattr(error, "response", None)
    for holder, names in ((error, STATUS_ATTRIBUTES), (response, STATUS_ATTRIBUTES[:1])):
        for name in names:
            value = getattr(holder, name, None)
            if isinstance(value, int):  # http.HTTPStatus is one; grpc has a method of that name
                yield value


def _header(headers: Any) -> Any:
    get = getattr(headers, "get", None)
    if not callable(get):
        return None
    return get("Retry-After") or get("retry-after")  # a plain dict minds the case


def _to_seconds(value: Any) -> float | None:
    """Read a number of seconds or, as HTTP allows too, a date; None if it is neither."""
    try:
        seconds = float(value) if is_number(value) or isinstance(value, str) else None
    except (ValueError, OverflowError):
        seconds = _until(value) if isinstance(value, str) else None
    return max(seconds, 0.0) if seconds is not None and isfinite(seconds) else None


def _until(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
