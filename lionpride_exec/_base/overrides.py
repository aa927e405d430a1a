"""Which methods of an object are overridden: in a subclass, or by a function that was set on the instance."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Recorded(partial[Any]):
    """
    A function that replaces a method of an instance, records each call, and calls the method.

    A recording must not change the behaviour. So ``is_overridden()`` ignores the recording, and checks the function
    that the recording calls.

    Attributes:
        replaced: The function that was set on the instance before. None if there was none.
    """

    replaced: Callable[..., Any] | None = None


def is_overridden(instance: object, base: type, name: str) -> bool:
    """Return whether a subclass, or the instance itself, overrides a method of ``base``."""
    if getattr(type(instance), name) is not getattr(base, name):
        return True
    own = instance.__dict__.get(name)
    while isinstance(own, Recorded):
        own = own.replaced
    return own is not None
