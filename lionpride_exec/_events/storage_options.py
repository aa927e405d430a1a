"""
How a journal stores the events of a class: tag, version, and what happens to running events after a crash.

A journal finds the class of a stored event by its tag, and only in this registry. No text in a file can make Python
import a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args
from weakref import WeakValueDictionary

import attrs

from lionpride_exec._base.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

OnCrash = Literal["rerun", "fail", "hold"]

MAX_ATTEMPTS = 5


@attrs.frozen
class StorageOptions:
    """
    How a journal keeps events of a class.

    Attributes:
        tag: The text by which a journal finds the class. None if the class is not registered.
        version: The version of the fields of the class, 1 or more.
        on_crash: What happens to an event that was running when the process died.
        max_attempts: How many runs a crash may interrupt before the event ends FAILED, 1 or more.
    """

    tag: str | None = None
    version: int = 1
    on_crash: OnCrash = "rerun"
    max_attempts: int = MAX_ATTEMPTS


# Weak, so that a class made inside a function can be collected.
_tags: Final[WeakValueDictionary[str, type]] = WeakValueDictionary()


def check_options(cls: type, base: type, unknown: Iterable[str], known: Iterable[str]) -> None:
    """
    Check that some class takes the options of a class statement that an event class does not know.

    Args:
        cls: The new class.
        base: The class of all events.
        unknown: The names of the options.
        known: The names of the options of an event class.

    Raises:
        TypeError: There are some, and no other base of the class takes options.
    """
    others = (other for other in cls.__mro__ if other not in base.__mro__)
    if unknown and not any("__init_subclass__" in vars(other) for other in others):
        listed = ", ".join(f"{name}={did_you_mean(name, known)}" for name in unknown)
        raise TypeError(f"{cls.__qualname__}: an event class has no option {listed}; its options: {', '.join(known)}")


def register(cls: type, inherited: StorageOptions, given: dict[str, Any]) -> StorageOptions:
    """
    Return the storage options of a class, and register the class under its tag.

    ``on_crash`` and ``max_attempts`` are inherited, ``tag`` and ``version`` are not.

    Raises:
        TypeError: The tag is not a text, or is the tag of another class. Or the version or ``max_attempts`` is not an
            int of 1 or more. Or ``on_crash`` is unknown. Or the name of a field begins with an underscore.
    """
    tag = given.pop("tag", None)
    kind = StorageOptions(
        tag=tag,
        version=_positive(cls, "version", given.pop("version", 1)),
        on_crash=given.pop("on_crash", inherited.on_crash),
        max_attempts=_positive(cls, "max_attempts", given.pop("max_attempts", inherited.max_attempts)),
    )
    if kind.on_crash not in get_args(OnCrash):
        raise TypeError(f"{cls.__qualname__}: on_crash must be 'rerun', 'fail' or 'hold', got {kind.on_crash!r}")
    if tag is not None:
        if not isinstance(tag, str) or not tag:
            raise TypeError(f"{cls.__qualname__}: tag must be a text, got {tag!r}")
        check_fields(cls)
        _take_tag(cls, tag)
    return kind


def class_with_tag(tag: str) -> type | None:
    """Return the class with a tag. None if this process has no such class."""
    return _tags.get(tag)


def check_fields(cls: type) -> None:
    """
    Check that a journal can store all fields of a class.

    Raises:
        TypeError: A field of the constructor is private. The message names the field.
    """
    for field in attrs.fields(cls):
        if field.init and field.name.startswith("_"):
            raise TypeError(
                f"{cls.__qualname__}.{field.name} begins with an underscore: a journal does not keep private fields; "
                "rename it, or declare it with attrs.field(init=False) if it is not an input of the event"
            )


def _take_tag(cls: type, tag: str) -> None:
    known = _tags.get(tag)
    # A class statement may run twice: in a reloaded module, or in a function that is called twice.
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(f"{cls.__qualname__}: the tag {tag!r} is that of {known.__module__}.{known.__qualname__}")
    _tags[tag] = cls


def _positive(cls: type, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError(f"{cls.__qualname__}: {name} must be an integer, at least 1, got {value!r}")
    return value
