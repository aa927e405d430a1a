"""
What an error says about the answer of the other side: its status, and for how long to wait.

A client's error may be raised from another one's, or stand in a group: of a chain the first error that says something
decides, of a group each member counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .answers import Answer, attribute

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen
class Reading:
    """
    What an error that is no group says, its causes included.

    Attributes:
        status: The HTTP status code that it stands for; None if it has none.
        own_status: The status code of the answer itself; another one where a 400 or 403 says that calls come too fast.
        seconds: How many seconds the other side asks to wait, 0 or more; None if it does not say.
    """

    status: int | None
    own_status: int | None
    seconds: float | None


def status_of(error: BaseException) -> int | None:
    """
    Return the HTTP status code that an error of a client stands for, 100 to 599. None if it has none.

    The error itself is looked at, then its ``__cause__`` or ``__context__``, and so on; the first one that has a status
    decides. Of a group it is the first member that has one. A gRPC code is given as HTTP has it (RESOURCE_EXHAUSTED is
    429, UNAVAILABLE is 503). An answer that says that calls come too fast is a 429 whatever its own status is: a
    throttling code of AWS, a 403 whose headers say that nothing remains of a rate limit. Never raises.

    Args:
        error: An error of any client of HTTP or gRPC, or one that was raised from it.
    """
    return next((reading.status for reading in readings(error) if reading.status is not None), None)


def retry_after(error: BaseException) -> float | None:
    """
    Return how many seconds the other side asks to wait, 0 or more. None if an error does not say, or nothing readable.

    The error and its causes are looked at as by :func:`status_of`. Of a group it is the longest time. A time that is
    over is 0, so wait some least time of your own; :class:`RateLimited` does. Never raises.

    Args:
        error: An error of any client of HTTP or gRPC, or one that was raised from it.
    """
    return max((reading.seconds for reading in readings(error) if reading.seconds is not None), default=None)


def readings(error: BaseException) -> Iterator[Reading]:
    """Yield what an error says; of a group, what each member says."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from readings(member)
        return
    status = own = seconds = None
    for each in _chain(error):
        if isinstance(each, BaseExceptionGroup):
            if status is None:
                yield from readings(each)
                return
            break
        answer = Answer(each)
        its_own = next(answer.statuses(), None)
        its_status = answer.status(its_own)
        if None not in {status, its_status} and its_status != status:
            break  # it was met before, and dealt with
        if status is None:
            status, own = its_status, its_own
        if seconds is None:
            seconds = answer.seconds()
        if None not in {status, seconds}:
            break
    yield Reading(status, own, seconds)


def names_of(error: BaseException) -> frozenset[str]:
    """
    Return the names of an error: of its classes, with and without module, and the codes that the other side gave.

    Those of its ``__cause__`` are included, those of its ``__context__`` are not: that may be any other error.
    """
    found: set[str] = set()
    for each in _chain(error, causes_only=True):
        for cls in type(each).__mro__[:-1]:
            found |= {cls.__name__, f"{cls.__module__}.{cls.__qualname__}"}
        found.update(Answer(each).codes())
    return frozenset(found)


def _chain(error: BaseException, *, causes_only: bool = False) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, or else while, and so on."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        context = None if causes_only or following.__suppress_context__ else following.__context__
        reason = attribute(following, "reason")  # of urllib3, whose MaxRetryError has no cause
        following = following.__cause__ or (reason if isinstance(reason, BaseException) else None) or context
