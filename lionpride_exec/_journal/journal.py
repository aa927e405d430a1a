"""The options of a journal. An executor makes a ``JournalSession`` of them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from lionpride_exec._model.retain import Retain, RetainRule, by_status
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lionpride_exec._events.event import Event
    from lionpride_exec._status import EventStatus

Ack = Literal["lazy", "strict"]
Synchronous = Literal["FULL", "NORMAL"]


class Journal:
    """
    Keeps the events of an executor in a file: ``Executor(journal=Journal("run.db"))``. See ``docs/durability.md``.

    ``append()`` returns once the event is on disk. An executor that is started with the same file goes on where the
    last one ended, in any process and on any backend. The executor's start opens the file, and its end closes it. One
    executor at a time can have a journal. Any number of processes can read it at the same time.

    Args:
        path: The file, a SQLite database. Its directory has to exist. ``-wal``, ``-shm`` and ``-lock`` stand beside it.
        ack: "lazy": transitions are written soon after they happen. An event that ended in the last milliseconds before
            a crash may run again. "strict": PROCESSING is written before an event runs, and its final status before
            anyone is told, so an event that was seen to end never runs again.
        synchronous: "FULL": what is on disk survives a power failure. "NORMAL": it survives the death of the process,
            but a power failure may take the last moments.
        audit: Whether each transition is kept, not only the last status.
        retain: Which ended events are kept on disk: a :class:`Retain`, or one for each status. None for all of them.
        types: By tag: classes without a tag in their class statement, and functions whose calls are stored.

    Raises:
        ConfigurationError: The extra ``journal`` is not installed, or an argument has none of its values.
        ValueError: A ``retain`` is about a status that is not final.
        TypeError: A value of ``types`` or ``retain`` has the wrong type.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        ack: Ack = "lazy",
        synchronous: Synchronous = "FULL",
        audit: bool = True,
        retain: RetainRule = None,
        types: Mapping[str, type[Event] | Callable[..., Any]] | None = None,
    ) -> None:
        if find_spec("msgspec") is None:
            raise ConfigurationError("a journal needs msgspec: pip install 'lionpride-exec[journal]'")
        if ack not in ("lazy", "strict"):
            raise ConfigurationError(f"ack must be 'lazy' or 'strict', got {ack!r}")
        if synchronous not in ("FULL", "NORMAL"):
            raise ConfigurationError(f"synchronous must be 'FULL' or 'NORMAL', got {synchronous!r}")
        if os.fspath(path) in {"", ":memory:"}:
            raise ConfigurationError("a journal is a file: pass its path")
        from pathlib import Path  # noqa: PLC0415  slow to import, and only a program with a journal needs it

        from .codec import Codec  # noqa: PLC0415  needs the extra

        # Resolved: one file has one lock for each path to it, also after the program changes its directory.
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
        """Whether an end is on disk before the event, and the tasks that wait for it, are told."""
        return self.ack == "strict"

    @property
    def left(self) -> Mapping[str, int]:
        """
        How many open events were left in the file when it was opened last, by reason.

        "unreadable": the class is not known here, or refuses the stored fields. "held": the event waits for a decision.
        "after what is left": the event comes after one of these.
        """
        return dict(self._left)

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

    def _belong_to(self, owner: object) -> None:
        if self._owner is not None and self._owner is not owner:
            raise ConfigurationError(f"{self!r} belongs to another executor; make one journal for each")
        self._owner = owner
