"""What a user says of a journal. The work is done by the book (``session``) that an executor makes of it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lionpride_exec._events.call import _full_name_of
from lionpride_exec._model.retain import Retain, RetainRule, by_status
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from lionpride_exec._events.event import Event
    from lionpride_exec._status import EventStatus

Ack = Literal["lazy", "strict"]
Synchronous = Literal["FULL", "NORMAL"]


class Journal:
    """
    Keeps the events of an executor in a file: ``Executor(journal=Journal("run.db"))``. See ``docs/durability.md``.

    ``append()`` returns once the event is on disk. When the executor is started again with the same file, in whatever
    process and on whatever backend, it goes on where it was. It is opened by the executor's start and closed by its
    end; one executor at a time can have it, any number of processes can look at it meanwhile.

    Args:
        path: Of the file, a SQLite database; its directory has to exist. ``-wal``, ``-shm`` and ``-lock`` stand beside.
        ack: "lazy": what becomes of an event is written soon after; of what ended in the last milliseconds before a
            crash some may run again. "strict": PROCESSING is written before an event runs, and the final status before
            anybody is told, so nothing that was seen to end runs again.
        synchronous: "FULL": what is acknowledged survives a power failure. "NORMAL": it survives the death of the
            process; the last moments before a power failure may be lost.
        audit: Whether each transition is kept, not only the last status.
        retain: What is kept on disk of events that have ended: a :class:`Retain`, or one by status. None: everything.
        types: Classes, or async functions whose calls are to be kept, by tags that are not said in a class statement.

    Raises:
        ConfigurationError: The extra ``journal`` is not installed, or an argument is none of those.
        ValueError: A ``retain`` is about a status that is not final.
        TypeError: One of ``types`` or ``retain`` is no such thing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ack: Ack = "lazy",
        synchronous: Synchronous = "FULL",
        audit: bool = True,
        retain: RetainRule = None,
        types: Mapping[str, type[Event] | Callable[..., Awaitable[Any]]] | None = None,
    ) -> None:
        if find_spec("msgspec") is None:
            raise ConfigurationError("a journal needs msgspec: pip install 'lionpride-exec[journal]'")
        if ack not in ("lazy", "strict"):
            raise ConfigurationError(f"ack must be 'lazy' or 'strict', got {ack!r}")
        if synchronous not in ("FULL", "NORMAL"):
            raise ConfigurationError(f"synchronous must be 'FULL' or 'NORMAL', got {synchronous!r}")
        if os.fspath(path) in {"", ":memory:"}:
            raise ConfigurationError("a journal is a file; give its path")
        from .codec import Codec  # noqa: PLC0415  needs the extra

        # Resolved: one file has one lock, whatever path leads to it, and wherever the program goes meanwhile.
        self.path: Path = Path(path).expanduser().resolve()
        self.ack: Ack = ack
        self.synchronous: Synchronous = synchronous
        self.audit: bool = audit
        self.retain: Mapping[EventStatus, Retain] = by_status(retain)
        self._codec = Codec(types or {})
        self._left: dict[str, int] = {}
        self._owner: object = None  # the executor it belongs to

    def __repr__(self) -> str:
        return f"Journal({os.fspath(self.path)!r}, ack={self.ack!r})"

    @property
    def is_strict(self) -> bool:
        """Whether nobody is told of an end before it is on disk."""
        return self.ack == "strict"

    @property
    def left(self) -> Mapping[str, int]:
        """
        How many open events were left in the file as they are when it was opened last, by why.

        "unreadable": their class is not known here, or does not take what is stored; "held": they wait for a decision;
        "after what is left": they come after one of those.
        """
        return dict(self._left)

    def _know_function(self, function: Callable[..., Awaitable[Any]]) -> None:
        if not self._codec.knows_function(function):
            self._codec.add_function(_lasting_name_of(function), function)

    def _check_class(self, event_type: type[Event]) -> None:
        """
        Check that events of a class can be kept.

        Raises:
            TypeError: The class has no tag, or its annotations cannot be used.
        """
        self._codec.check_class(event_type)

    def _tag_for(self, event_type: type[Event]) -> str:
        """Return the tag under which events of a class are kept. An empty text if the class has none."""
        return self._codec.tag_of(event_type)

    @staticmethod
    def _key_of(key: object) -> str:
        """
        Give the text that a key is known by.

        Raises:
            TypeError: JSON cannot hold it.
        """
        from .codec import encode_key  # noqa: PLC0415  needs the extra

        return encode_key(key)

    def _belong_to(self, owner: object) -> None:
        if self._owner is not None and self._owner is not owner:
            raise ConfigurationError(f"{self!r} belongs to another executor; make one journal for each")
        self._owner = owner


def _lasting_name_of(function: Callable[..., Any]) -> str:
    """Give the full name of a function, which is the same whether its module is run or imported."""
    name = _full_name_of(function)
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not name.startswith("__main__.") or file is None:
        return name
    return Path(file).stem + name.removeprefix("__main__")
