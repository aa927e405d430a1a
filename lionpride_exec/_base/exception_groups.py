"""
What is in an error: the leaves of a group, and what they come to.

Errors are objects of the user's classes, and may do anything when they are looked at. So nothing here asks an error
itself: the type is that of ``type()``, which cannot lie, and what hangs together is read past overridden properties.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, cast

from anyio import get_cancelled_exc_class

from lionpride_exec.errors import EventCancelled, LionprideError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from .sentinel import UnsetType

X = TypeVar("X", bound=BaseException)
Kinds = type[BaseException] | tuple[type[BaseException], ...]

# These belong to the interpreter, whatever a class puts in their place.
_members: Any = BaseExceptionGroup.__dict__["exceptions"]
_message: Any = BaseExceptionGroup.__dict__["message"]
_links: tuple[Any, ...] = (BaseException.__dict__["__context__"], BaseException.__dict__["__cause__"])

_traceback: Any = BaseException.__dict__["__traceback__"]
_suppresses: Any = BaseException.__dict__["__suppress_context__"]

UNPRINTABLE = "<unprintable>"


def is_of(error: BaseException, kind: type[X] | tuple[type[X], ...]) -> TypeGuard[X]:
    """Tell whether an error is of a kind, or of one of several, by its type: its ``__class__`` may lie or raise."""
    return issubclass(type(error), kind)


def error_in(value: object) -> BaseException | None:
    """Return a value if it is an error, else None."""
    return cast("BaseException", value) if issubclass(type(value), BaseException) else None


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the members of a group."""
    return cast("tuple[BaseException, ...]", _members.__get__(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Return the errors in a group, at any depth; a plain error is its own and only leaf."""
    if is_of(error, BaseExceptionGroup):
        for member in members_of(error):
            yield from leaves(member)
    else:
        yield error


def is_cancellation(error: BaseException) -> bool:
    """Tell whether it consists of cancellations of the running event loop."""
    return consists_of(error, get_cancelled_exc_class())


def consists_of(error: BaseException, kind: Kinds) -> bool:
    """Tell whether all its leaves are of a kind, or of one of several."""
    return all(is_of(leaf, kind) for leaf in leaves(error))


def is_retryable(error: BaseException | UnsetType) -> bool:
    """Tell whether nowhere in it stands an error of the library that says it is not."""
    known = error_in(error)
    return known is None or all(_says_retryable(leaf) for leaf in leaves(known) if is_of(leaf, LionprideError))


def _says_retryable(error: Any) -> bool:
    try:
        return bool(error.retryable)
    except Exception:  # noqa: BLE001  a property of the user's class
        return False


def recorded(error: BaseException) -> BaseException:
    """
    Return what is recorded of an error that ended a run: the error, without the cancellations of the event loop.

    A cancellation is how the event loop ends a task. It holds addresses, differs between the backends, and is no error
    of the event. It may be all there is, a member of a group, or what was going on when the error was raised.
    """
    kind = get_cancelled_exc_class()
    if consists_of(error, kind):
        return EventCancelled("cancelled", retryable=True)
    kept = _without(error, kind)
    _unlink(kept, kind)
    return kept


def _without(error: BaseException, kind: Kinds) -> BaseException:
    """Return a group without its members of a kind, of which there are others; an error as it is."""
    if not any(is_of(leaf, kind) for leaf in leaves(error)):
        return error
    members = [_without(one, kind) for one in members_of(error) if not consists_of(one, kind)]
    try:
        group = cast("Any", error).derive(members)
        if not is_of(group, BaseExceptionGroup) or len(members_of(group)) != len(members):
            raise TypeError  # noqa: TRY301  handled as what a derive() of the user raises
    except Exception:  # noqa: BLE001  a method of the user's class
        group = BaseExceptionGroup(str.__str__(_message.__get__(error)), members)
    kept: BaseException = group
    _traceback.__set__(kept, traceback_of(error))
    for link in _links:
        link.__set__(kept, link.__get__(error))
    return kept


def _unlink(error: BaseException, kind: Kinds) -> None:
    """Take cancellations out of what an error was raised from, and out of what was going on then."""
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
    """Return what was going on before a cancellation, and was none itself."""
    seen: set[int] = set()
    while error is not None and consists_of(error, kind) and id(error) not in seen:
        seen.add(id(error))
        error = _links[1].__get__(error) or _links[0].__get__(error)
    return None if error is None or id(error) in seen else error


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an error."""
    return cast("TracebackType | None", _traceback.__get__(error))


def repr_of(error: object) -> str:
    """Return the repr of an error; it never raises."""
    try:
        return str.__str__(repr(error))
    except Exception:  # noqa: BLE001  some errors cannot even tell what they are
        return f"{type(error).__name__}({UNPRINTABLE})"


def text_of(error: object) -> str:
    """Return the text of an error; it never raises."""
    try:
        return str.__str__(str(error))
    except Exception:  # noqa: BLE001  likewise
        return UNPRINTABLE


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error, if it lets one be added."""
    with suppress(Exception):  # its notes are none of its own
        BaseException.add_note(error, note)
