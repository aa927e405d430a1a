"""The options of a run that are given beside the event: a timeout and a retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._model.retry import Retry
from lionpride_exec._validation import check_seconds

if TYPE_CHECKING:
    from .running import RunnableEvent


def check_options(timeout: float | None, retry: Any) -> None:
    """
    Check the options.

    Raises:
        ValueError: The timeout is not finite or not positive, or the retry is neither a Retry nor None.
    """
    if timeout is not None:
        check_seconds("timeout", timeout, zero_allowed=False)
    if retry is not None and not isinstance(retry, Retry):
        raise ValueError(f"retry must be a Retry or None, got {retry!r}")


def set_options(event: RunnableEvent, timeout: float | None, retry: Retry | None) -> None:
    """Set the options of an event. None leaves an option as it is."""
    if timeout is not None:
        event.timeout = timeout
    if retry is not None:
        event.retry = retry


def set_defaults(event: RunnableEvent, timeout: float | None, retry: Retry | None) -> None:
    """Set the options of an event that has none of its own."""
    set_options(event, timeout if event.timeout is None else None, retry if event.retry is None else None)
