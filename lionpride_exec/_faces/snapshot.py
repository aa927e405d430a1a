"""
What the faces show, as plain values: the same for a running executor, a journal, a cluster and another dashboard.

Texts are as the event has them: a face escapes what it shows. Times are seconds since 1970 (UTC), lengths are seconds.
Every record is JSON with ``attrs.asdict()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen(kw_only=True)
class Snapshot:
    """
    How a run goes at one moment. All numbers are of this moment: the sum of ``waits`` is the number of pending events.

    Attributes:
        name: The name of the executor, or of the file or queue.
        at: The moment.
        state: "running", "paused", "stopped" (nothing starts), or "unknown" (no process answers for the file).
        is_live: Whether the source asks a running executor, so that waits, slots and limits are known.
        counts: Events by status, "held" included.
        progress: The line of ``Executor.progress()``, or one like it.
        rate: Events that ended per second, lately. None if it is not known.
        seconds_left: How long the rest will take. None if it is not known.
        is_growing: Whether running events append others, so that the rest takes at least so long.
        slots: How many events may run. 0 if it is not known.
        slots_used: How many of the slots are used. An event that is about to begin has a slot, and one that has just
            ended keeps it until the run has been cleaned up. So for a moment this may be more than are processing. With
            a cluster, the slots are those of this process, and the counts are those of the events it has submitted.
        waits: Pending events by what they wait for, largest first. None if it is not known.
        oldest_pending: For how long the event that came first has been pending. None if none is pending.
        pauses: The keys that are closed, the one that opens last first.
        notes: What people should know, a line each: trouble of the journal, a worker that is gone, submitted events.
    """

    name: str
    at: float
    state: str
    is_live: bool
    counts: Mapping[str, int]
    progress: str = ""
    rate: float | None = None
    seconds_left: float | None = None
    is_growing: bool = False
    slots: int = 0
    slots_used: int = 0
    waits: Mapping[str, int] | None = None
    oldest_pending: float | None = None
    pauses: tuple[PauseLine, ...] = ()
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PauseLine:
    """
    A key that is closed.

    Attributes:
        key: The key, as text. None for all events.
        seconds: For how long still. None if nobody knows.
        reason: Why.
    """

    key: str | None
    seconds: float | None
    reason: str = ""


# The line of ``pause()`` without a key.
ALL_PAUSED: Final = PauseLine(key=None, seconds=None, reason="by pause()")


@attrs.frozen(kw_only=True)
class LimitLine:
    """
    What is used of a limit, of one key.

    Attributes:
        limit: The limit, as its ``repr()``.
        key: The key, as text. None if the limit has no keys.
        used: The used part of its amount.
        amount: The amount.
        per: The seconds after which what is used comes back. 0 for a :class:`Concurrent`.
        name: The ``name`` of the limit. None if it has none.
    """

    limit: str
    key: str | None
    used: float
    amount: float
    per: float
    name: str | None = None

    @property
    def what(self) -> str:
        """What a list shows to tell the limit apart: its name, or else how it was made."""
        return self.limit if self.name is None else self.name


@attrs.frozen(kw_only=True)
class EventLine:
    """
    One event, on one line.

    Attributes:
        id: Its id, as text.
        number: Its number in the journal. 0 without one.
        status: Its status, or "held".
        kind: The tag of its class, or the name of its function.
        key: Its key, as text. None if it has none.
        attempt: The number of its last run.
        queued: When it was taken in. None if that is not known, like the following ones.
        started: When its last run began.
        finished: When it ended.
        duration: How long its last run took.
        error: The first line of its error. None if it has none.
        preview: The beginning of its fields, if no key tells it apart; see ``with_preview()``. None if it has none.
        waits: What it waits for, in words, if it is pending. None if that is not known: a journal that another process
            runs does not say it.
    """

    id: str
    number: int = 0
    status: str
    kind: str = ""
    key: str | None = None
    attempt: int = 0
    queued: float | None = None
    started: float | None = None
    finished: float | None = None
    duration: float | None = None
    error: str | None = None
    preview: str | None = None
    waits: str | None = None

    @property
    def what(self) -> str:
        """What a list shows to tell the event apart: the preview, else the key. "" if it has neither."""
        return self.preview or self.key or ""


@attrs.frozen(kw_only=True)
class EventPage:
    """
    Some events, the newest first.

    Attributes:
        lines: The events.
        before: Where the next page begins. None if there is none.
    """

    lines: tuple[EventLine, ...]
    before: str | None = None


@attrs.frozen(kw_only=True)
class TransitionLine:
    """A change of the status of an event: when, to which, of which run, and with which error."""

    at: float
    status: str
    attempt: int = 0
    error: str | None = None


@attrs.frozen(kw_only=True)
class AttemptLine:
    """A run of an event: its number, when it began and ended, and how: "failed", "interrupted", "rate limited"."""

    number: int
    started: float | None
    finished: float | None
    outcome: str
    error: str | None = None


@attrs.frozen(kw_only=True)
class EventView:
    """
    All about one event.

    Attributes:
        line: The event on one line.
        facts: What else is known, as names and texts: priority, due, expires, timeout.
        data: Its fields, as JSON that is set for reading. None if this process cannot read them.
        response: Its response, likewise. None if it has none.
        error: Its error with the traceback, as text. None if it has none.
        explanation: What it waits for, in words. None if nobody knows.
        after: The ids of the events that it comes after.
        others: Of ``after``, the events that are known, at most 20.
        followers: The events that wait for it, at most 20. A journal and a cluster do not know them.
        follower_count: How many these are in all.
        transitions: The changes of its status, oldest first.
        attempts: The runs before the last one, oldest first.
    """

    line: EventLine
    facts: Mapping[str, str] = attrs.field(factory=dict[str, str])
    data: str | None = None
    response: str | None = None
    error: str | None = None
    explanation: str | None = None
    after: tuple[str, ...] = ()
    others: tuple[EventLine, ...] = ()
    followers: tuple[EventLine, ...] = ()
    follower_count: int = 0
    transitions: tuple[TransitionLine, ...] = ()
    attempts: tuple[AttemptLine, ...] = ()


# Events before and after another one that its view has.
MOST_OTHERS: Final = 20


@attrs.frozen(kw_only=True)
class ErrorLine:
    """
    Events that ended with errors of one shape.

    Attributes:
        status: How they ended.
        shape: What their errors have in common, see ``error_shape()``.
        count: How many there are.
        example: The first line of one of the errors.
        id: The id of an event that has this error.
        last: When the last of them ended. None if that is not known.
    """

    status: str
    shape: str
    count: int
    example: str
    id: str
    last: float | None = None


@attrs.frozen(kw_only=True)
class Second:
    """The events that ended in one second, by status. ``at`` is its beginning."""

    at: int
    ended: Mapping[str, int]


@attrs.frozen(kw_only=True)
class RunLine:
    """A run of an event in the timeline. ``end`` is None while it runs."""

    id: str
    kind: str
    begin: float
    end: float | None
    status: str


@attrs.frozen(kw_only=True)
class Choice:
    """
    Which events are asked for: those that fit all of these. An attribute that is None fits all events.

    Attributes:
        status: The status, or "held".
        text: A part of the fields, the kind, the key or the error.
        kind: The kind.
        key: The key, as text.
        error: A part of the error, or of its shape.
        since: When they ended at the earliest, or else began, or else came.
    """

    status: str | None = None
    text: str | None = None
    kind: str | None = None
    key: str | None = None
    error: str | None = None
    since: float | None = None


@attrs.frozen(kw_only=True)
class Action:
    """
    What somebody asks for.

    Attributes:
        what: "pause", "resume", "cancel", "skip", "retry" or "resize".
        by: Who asks, for the log.
        id: The event. None for all that fit ``choice``, or for the executor.
        choice: The events, if there is no ``id``. For "cancel", "skip" and "retry".
        key: The key. For "pause" and "resume".
        amount: The new number of slots. For "resize".
    """

    what: str
    by: str
    id: str | None = None
    choice: Choice | None = None
    key: str | None = None
    amount: int | None = None


class Source(Protocol):
    """
    Where a face reads. Each call reads anew, and costs O(what it returns) unless it says otherwise.

    Raises:
        LionprideError: From any method: the source cannot be read now. ``NotFoundError``: the event is not there.
    """

    @property
    def name(self) -> str:
        """What the source is called."""
        ...

    @property
    def takes_actions(self) -> bool:
        """Whether :meth:`act` can do anything."""
        ...

    async def version(self) -> object:
        """Return a value that differs from the last one if something has changed since. Costs microseconds."""
        ...

    async def snapshot(self) -> Snapshot:
        """Return how the run goes."""
        ...

    async def limits(self, count: int) -> tuple[LimitLine, ...]:
        """Return what is used of the limits, the fullest first, at most so many."""
        ...

    async def running(self, count: int) -> tuple[EventLine, ...]:
        """Return the events that run, the longest first, at most so many."""
        ...

    async def events(self, choice: Choice, before: str | None, count: int) -> EventPage:
        """
        Return events that fit, the newest first, at most so many.

        A page may have fewer, or none, although another one follows: a search looks at a few thousand events a call.
        """
        ...

    async def event(self, ref: str) -> EventView:
        """
        Return all about the event that a text means: its id, the beginning of the id, its number, or its key.

        Raises:
            NotFoundError: No event matches, or more than one.
        """
        ...

    async def errors(self, count: int) -> tuple[ErrorLine, ...]:
        """Return the most frequent shapes of errors, the most frequent first, at most so many."""
        ...

    async def ended(self, seconds: int) -> tuple[Second, ...]:
        """Return how many events ended in each of the last seconds, oldest first. Empty seconds are left out."""
        ...

    async def runs(self, seconds: float, count: int) -> tuple[RunLine, ...]:
        """Return the runs of the last seconds, by their beginning, at most the last so many."""
        ...

    async def act(self, action: Action) -> str:
        """
        Do what somebody asks for. Return what came of it, in one line.

        Raises:
            LionprideError: It was refused, and nothing has changed. Or nobody has answered in time, and the action may
                still be carried out. The text is for the one who asks.
        """
        ...


class OpenSource(Source, Protocol):
    """A source that holds something: an observer, a file, a connection. Its maker closes it."""

    async def aclose(self) -> None:
        """Let go of it. Idempotent. Other calls fail after this, or return what is known."""
