"""
Reading an error of a client: the status of the answer behind it, and how long the answer asks to wait.

An error may be raised from another error, or be a member of a group. In a chain of causes the first error with an
answer decides. In a group each member counts.
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
    What was read from one error and its causes. The error is not a group.

    Attributes:
        status: The HTTP status code that the error stands for. None if there is none.
        own_status: The status code of the answer itself. It differs from ``status`` if a 400 or 403 says that calls
            come too fast.
        seconds: How many seconds the other side asks to wait, 0 or more. None if the answer does not say.
    """

    status: int | None
    own_status: int | None
    seconds: float | None


def readings(error: object) -> Iterator[Reading]:
    """Yield what was read from an error, or from an answer. For a group, yield that for each member."""
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
            break  # an earlier answer, which was handled before this error
        if status is None:
            status, own = its_status, its_own
        if seconds is None:
            seconds = answer.seconds()
        if None not in {status, seconds}:
            break
    yield Reading(status, own, seconds)


def names_of(error: BaseException) -> frozenset[str]:
    """
    Return the names of an error: its classes, with and without the module, and the codes in the answer.

    The names of the ``__cause__`` are included. The names of the ``__context__`` are not, because the context may be
    an unrelated error.
    """
    found: set[str] = set()
    for each in _chain(error, causes_only=True):
        for cls in type(each).__mro__[:-1]:
            found |= {cls.__name__, f"{cls.__module__}.{cls.__qualname__}"}
        found.update(Answer(each).codes())
    return frozenset(found)


def _chain(error: object, *, causes_only: bool = False) -> Iterator[object]:
    """Yield an error, then its cause, or its context if it has no cause, and so on. Of an answer, yield itself."""
    seen: set[int] = set()
    following: object | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        if not isinstance(following, BaseException):
            return
        context = None if causes_only or following.__suppress_context__ else following.__context__
        reason = attribute(following, "reason")  # the MaxRetryError of urllib3 has no cause
        following = following.__cause__ or (reason if isinstance(reason, BaseException) else None) or context
