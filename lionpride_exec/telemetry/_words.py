"""The names that spans and metrics share, and what is remembered of each kind of event."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from lionpride_exec._events.call import Call
from lionpride_exec._events.log_fields import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lionpride_exec._events.event import Event

T = TypeVar("T")

# What makes spans and metrics: the name of the library, its version, and the names of attributes that it uses.
LIBRARY: Final = "lionpride_exec"
VERSION: Final = version("lionpride-exec")
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

# Above this number of kinds, all others have one name. A program that makes classes or functions as it goes would
# otherwise make a metric of each.
MAX_KINDS: Final = 100
OTHER: Final = "_other"

# How many classes and functions are remembered with what belongs to their kind. Above that, all of them are forgotten:
# a program that makes functions as it goes would otherwise keep each of them alive.
MAX_REMEMBERED: Final = 1000


def encodable(text: str) -> str:
    """Return a text that UTF-8 has: exporters lose whole batches, or raise, at halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class ByKind(Generic[T]):
    """
    What belongs to the kind of an event, remembered by the class of the event, or by the function of a ``Call``.

    Args:
        make: Makes it for a kind.
    """

    __slots__ = ("_made", "_make", "_of")

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._made: dict[str, T] = {}
        self._of: dict[Hashable, T] = {}

    def of(self, event: Event[Any]) -> T:
        """Return what belongs to the kind of an event. Above 100 kinds, that of ``_other``. O(1)."""
        what: Any = event.function if isinstance(event, Call) else type(event)
        try:
            return self._of[what]
        except KeyError:
            found = self._find(event)
            if len(self._of) >= MAX_REMEMBERED:
                self._of.clear()
            self._of[what] = found
            return found
        except TypeError:  # a function that cannot be hashed
            return self._find(event)

    def all(self) -> tuple[T, ...]:
        """Return what there is. For any thread."""
        return tuple(self._made.values())

    def _find(self, event: Event[Any]) -> T:
        kind = encodable(kind_of(event))
        if kind not in self._made and len(self._made) >= MAX_KINDS:
            kind = OTHER
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]
