"""
The contents of an error: the leaves of a group, and what they mean together.

Errors are objects of user classes, and may run any code when they are inspected. So no function here uses the methods
or properties of an error. The type comes from ``type()``, which cannot be overridden, and the attributes are read past
overridden properties.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

import anyio

from lionpride_exec.errors import EventCancelled, LionprideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from .sentinel import UnsetType

X = TypeVar("X", bound=BaseException)
Kinds = type[BaseException] | tuple[type[BaseException], ...]

# The descriptors of the interpreter, which a class cannot override.
_members: Any = BaseExceptionGroup.__dict__["exceptions"]
_message: Any = BaseExceptionGroup.__dict__["message"]
_links: tuple[Any, ...] = (BaseException.__dict__["__context__"], BaseException.__dict__["__cause__"])

_traceback: Any = BaseException.__dict__["__traceback__"]
_suppresses: Any = BaseException.__dict__["__suppress_context__"]

UNPRINTABLE = "<unprintable>"


def is_of(error: BaseException, kind: type[X] | tuple[type[X], ...]) -> TypeGuard[X]:
    """Return whether an error is of one of some types. ``type()`` decides, because ``__class__`` may lie or raise."""
    return issubclass(type(error), kind)


def error_in(value: object) -> BaseException | None:
    """Return the value if it is an error. Otherwise return None."""
    return cast("BaseException", value) if issubclass(type(value), BaseException) else None


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the members of a group."""
    return cast("tuple[BaseException, ...]", _members.__get__(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group, at any depth. For a plain error, yield the error itself."""
    if is_of(error, BaseExceptionGroup):
        for member in members_of(error):
            yield from leaves(member)
    else:
        yield error


def is_cancellation(error: BaseException) -> bool:
    """Return whether an error consists only of cancellations of the running event loop."""
    return consists_of(error, anyio.get_cancelled_exc_class())


def consists_of(error: BaseException, kind: Kinds) -> bool:
    """Return whether all leaves of an error are of one of some types."""
    return all(is_of(leaf, kind) for leaf in leaves(error))


def is_retryable(error: BaseException | UnsetType) -> bool:
    """Return whether an error may be retried: none of its leaves is an error of this package that says otherwise."""
    known = error_in(error)
    return known is None or all(_says_retryable(leaf) for leaf in leaves(known) if is_of(leaf, LionprideError))


def _says_retryable(error: Any) -> bool:
    try:
        return bool(error.retryable)
    except Exception:  # noqa: BLE001  a property of a user class
        return False


def recorded(error: BaseException) -> BaseException:
    """
    Return the error to record for a run: the error that ended the run, without the cancellations of the event loop.

    By a cancellation the event loop ends a task. Its text has addresses and differs between the backends, and it is not
    an error of the event. A cancellation may be the error itself, a member of a group, or the context of the error.
    """
    kind = anyio.get_cancelled_exc_class()
    if consists_of(error, kind):
        return EventCancelled("cancelled", retryable=True)
    kept = _without(error, kind)
    _unlink(kept, kind)
    return kept


def _without(error: BaseException, kind: Kinds) -> BaseException:
    """Return a group without the members of some types. At least one member must remain. Return other errors as is."""
    if not any(is_of(leaf, kind) for leaf in leaves(error)):
        return error
    members = [_without(one, kind) for one in members_of(error) if not consists_of(one, kind)]
    try:
        group = cast("Any", error).derive(members)
        if not is_of(group, BaseExceptionGroup) or len(members_of(group)) != len(members):
            raise TypeError  # noqa: TRY301  handled like an exception of derive()
    except Exception:  # noqa: BLE001  a method of a user class
        group = BaseExceptionGroup(str.__str__(_message.__get__(error)), members)
    kept: BaseException = group
    _traceback.__set__(kept, traceback_of(error))
    for link in _links:
        link.__set__(kept, link.__get__(error))
    return kept


def _unlink(error: BaseException, kind: Kinds) -> None:
    """Remove cancellations from the causes and contexts of an error."""
    seen: set[int] = set()
    found = [error]
    while found:
        one = found.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if is_of(one, BaseExceptionGroup):
            found += members_of(one)
        hides_context = bool(_suppresses.__get__(one))
        for link in _links:
            linked = link.__get__(one)
            if linked is not None and consists_of(linked, kind):
                linked = _first_before(linked, kind)
                link.__set__(one, linked)
                if link is _links[1] and linked is None:  # the error was raised from cancellations only
                    hides_context = False
            if linked is not None:
                found.append(linked)
        _suppresses.__set__(one, hides_context)


def _first_before(error: BaseException | None, kind: Kinds) -> BaseException | None:
    """Return the first error in the chain of causes and contexts that is not a cancellation. None if there is none."""
    seen: set[int] = set()
    while error is not None and consists_of(error, kind) and id(error) not in seen:
        seen.add(id(error))
        error = _links[1].__get__(error) or _links[0].__get__(error)
    return None if error is None or id(error) in seen else error


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error."""
    return cast("TracebackType | None", _traceback.__get__(error))


def repr_of(error: object) -> str:
    """Return the repr of an error. Never raises."""
    try:
        return str.__str__(repr(error))
    except Exception:  # noqa: BLE001  a repr of a user class
        return f"{type(error).__name__}({UNPRINTABLE})"


def text_of(error: object) -> str:
    """Return the text of an error. Never raises."""
    try:
        return str.__str__(str(error))
    except Exception:  # noqa: BLE001  a text of a user class
        return UNPRINTABLE


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, unless the error refuses notes."""
    with suppress(Exception):  # __notes__ may be overridden
        BaseException.add_note(error, note)
