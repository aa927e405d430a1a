"""
The status of the answer behind an error of a client, and how long the answer asks to wait.

Most programs never ask, and the modules that read errors are slow to import. So they are imported at the first call.
"""

from __future__ import annotations


def status_of(error: object) -> int | None:
    """
    Return the HTTP status code that an error of a client stands for, 100 to 599. None if there is none. Never raises.

    The error itself is read first, then its ``__cause__`` or ``__context__``, and so on. The first error with a status
    decides. In a group, the first member with a status decides. A gRPC code becomes the matching HTTP code:
    RESOURCE_EXHAUSTED is 429, UNAVAILABLE is 503. An answer that says that calls come too fast is always a 429.
    Examples are a throttling code of AWS, or a 403 whose headers say that a rate limit is used up.

    Args:
        error: An error of any HTTP or gRPC client, an error that was raised from one, or the answer itself: a response
            that has a status and headers.
    """
    from .readings import readings  # noqa: PLC0415  slow to import, see above

    return next((reading.status for reading in readings(error) if reading.status is not None), None)


def retry_after(error: object) -> float | None:
    """
    Return how many seconds the other side asks to wait, 0 or more. None if the error does not say. Never raises.

    The error and its causes are read as in :func:`status_of`. For a group, the longest time is returned. A text that
    cannot be parsed counts as missing. A time that is over is 0, so wait at least a little, as :class:`RateLimited`
    does.

    Args:
        error: An error of any HTTP or gRPC client, an error that was raised from one, or the answer itself: a response
            that has a status and headers.
    """
    from .readings import readings  # noqa: PLC0415  slow to import, see above

    return max((reading.seconds for reading in readings(error) if reading.seconds is not None), default=None)
