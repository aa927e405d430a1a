"""
``--pause-on``: errors with a status code, such as 429, become the error that pauses a key.

``_clients.errors`` reads the errors of clients. The errors are converted around the work of an event, not in the
executor: a program decides by itself which errors ask for a pause.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lionpride_exec._base.exception_groups import leaves
from lionpride_exec._base.redaction import mask, secrets_of
from lionpride_exec._clients.errors import status_of
from lionpride_exec._clients.readings import readings
from lionpride_exec._events.wrapped_work import wrapping_work
from lionpride_exec.errors import RateLimited

from .target import describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterator

    from lionpride_exec._events.event import Event

    from .error_rules import RetryRule

# Seconds to pause if the error does not say how long.
DEFAULT_PAUSE = 1.0


@contextmanager
def pausing_on(event_type: type[Event], codes: Container[int], rule: RetryRule | None = None) -> Iterator[None]:
    """
    Inside the block, errors of these events with one of the codes become ``RateLimited``.

    Args:
        event_type: The class of the events.
        codes: Status codes.
        rule: Tells which errors are never retried. They pause nothing.
    """

    async def perform_or_pause(event: Event, work: Callable[[Event], Awaitable[Any]]) -> Any:
        """Do the work of an event. An error with one of the codes becomes a request to pause."""
        try:
            return await work(event)
        except Exception as exc:
            seconds = pause_for(exc, codes)
            if seconds is None or (rule is not None and rule.is_hopeless(exc)):
                raise
            raise RateLimited(mask(_reason(exc), secrets_of(event)), retry_after=seconds) from exc

    with wrapping_work(event_type, perform_or_pause):
        yield


def pause_for(error: BaseException, codes: Container[int]) -> float | None:
    """Return the seconds to pause for an error, of a group the most. None if the error has none of the codes."""
    return max(
        (
            DEFAULT_PAUSE if reading.seconds is None else reading.seconds
            for leaf in leaves(error)
            if not isinstance(leaf, RateLimited)
            for reading in readings(leaf)
            if any(status is not None and status in codes for status in (reading.status, reading.own_status))
        ),
        default=None,
    )


def _reason(error: BaseException) -> str:
    """Return the status code and the text of an error."""
    status, text = status_of(error), describe(error)
    return text if status is None or str(status) in text else f"{status}, {text}"
