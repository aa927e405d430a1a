"""The options of a journal. An executor makes a ``JournalSession`` of them."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from lionpride_exec._base.wording import install_command
from lionpride_exec._events.event import Event
from lionpride_exec._model.retain import Retain, RetainRule, by_status
from lionpride_exec.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Mapping
    from datetime import datetime, timedelta
    from pathlib import Path
    from uuid import UUID

    from lionpride_exec._events.submit_options import Unique
    from lionpride_exec._status import EventStatus

Ack = Literal["lazy", "strict"]
Synchronous = Literal["FULL", "NORMAL"]

E = TypeVar("E", bound=Event[Any])


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
            raise ConfigurationError(f"a journal needs msgspec: {install_command('journal')}")
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

    @staticmethod
    async def submit(
        path: str | os.PathLike[str],
        event: Event[Any],
        priority: float | None = None,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        key: Hashable = None,
        expires: float | timedelta | datetime | None = None,
        unique: Unique = "ever",
        types: Mapping[str, type[Event] | Callable[..., Any]] | None = None,
    ) -> UUID:
        """
        Hand an event to the executor that has a journal, in any process: ``await Journal.submit("run.db", event)``.

        The call returns once the event is on disk, synchronized as by ``synchronous="FULL"``. A running executor takes
        the event in within about a second, the next one at its start, as ``append(wait=True)`` does: with the same
        rules for keys, limits and a full queue. It runs a copy of the event with the same id; this object stays
        PENDING. An executor that cannot take the event in leaves it in the file with an error, which
        ``lionpride-exec inspect`` shows, and each later start tries again.

        Args:
            path: The file. An executor has to have made it.
            event: A PENDING event that belongs to no executor. Its class has a tag that the executor knows, or is a
                ``Call`` of a function that the executor knows.
            priority: Lower runs first; finite. This option and the next ones are those of :meth:`Executor.append`, and
                times count from now. ``after`` and ``after_any_end`` are not available.
            delay: Seconds, 0 or more, before which the event does not start.
            at: A wall-clock time with a time zone, before which the event does not start.
            key: Names this work, so that it is done once however often it is submitted. JSON must be able to hold it.
            expires: Positive seconds or ``timedelta``, or a time: when the event ends SKIPPED if it has not begun.
            unique: For how long the key is taken: "ever", or "open" until its event has ended.
            types: By tag: classes without a tag of their own, and functions, as for ``Journal``. A function that has no
                tag is stored under its full name, as ``Executor.of()`` does.

        Returns:
            The id of the event. If its key turns out to be known, the event is dropped, and no event has this id.

        Raises:
            JournalError: There is no such journal; it is of version 1; or the file could not be written. Nothing has
                changed. While other processes write, the call tries again for about 30 s.
            ValidationError: A field cannot be stored. The message names the field. (Also a ValueError.)
            ValueError: An argument has none of its values, or the event is not PENDING.
            TypeError: The class of the event has no tag, or ``key`` cannot be stored.
            ExistsError: The event belongs to an executor of this process.

        Cancellation: while the call waits for its turn. Nothing has changed then. Once the event is being written, the
        call goes on and returns.

        Costs opening the file and one transaction: use :meth:`submit_many` for many events.
        """
        from .submitting import submit  # noqa: PLC0415  needs the extra

        return await submit(
            path, event, priority, types, delay=delay, at=at, key=key, expires=expires, unique=unique
        )  # fmt: skip

    @staticmethod
    async def submit_many(
        path: str | os.PathLike[str],
        events: Iterable[E] | AsyncIterable[E],
        priority: float | Callable[[E], float | None] | None = None,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        key: Callable[[E], Hashable] | None = None,
        expires: float | timedelta | datetime | None = None,
        unique: Unique = "ever",
        types: Mapping[str, type[Event] | Callable[..., Any]] | None = None,
    ) -> int:
        """
        Hand many events to the executor that has a journal, like :meth:`submit`, 500 in each transaction.

        Args:
            path: The file. An executor has to have made it.
            events: A plain or an async iterable. An event is on disk once 500 were taken, or the iterable has ended.
            priority: The priority of every event, finite, or a function that returns the priority of an event.
            delay: Seconds, 0 or more, as for :meth:`submit`; for every event, as the next ones.
            at: As for :meth:`submit`.
            key: A function that returns the key of an event. It returns None if the event has no key.
            expires: Positive seconds, a ``timedelta`` or a time, as for :meth:`submit`.
            unique: As for :meth:`submit`; an event without a key is taken in anyway.
            types: As for :meth:`submit`.

        Returns:
            The number of events, which are all on disk.

        Raises:
            BaseException: What :meth:`submit`, the iterable, ``priority`` or ``key`` raises. No more events are taken.
                The events before the error are on disk, unless the error is that of the file.

        Cancellation: the transactions before are on disk. Events with keys can be submitted again.
        """
        from .submitting import submit_many  # noqa: PLC0415  needs the extra

        return await submit_many(
            path, events, priority, key, types, delay=delay, at=at, expires=expires, unique=unique
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Journal({os.fspath(self.path)!r}, ack={self.ack!r})"

    @property
    def is_strict(self) -> bool:
        """Whether an end is on disk before the event, and the tasks that wait for it, are told."""
        return self.ack == "strict"

    @property
    def left(self) -> Mapping[str, int]:
        """
        How many open events have been left in the file since it was opened last, by reason.

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
