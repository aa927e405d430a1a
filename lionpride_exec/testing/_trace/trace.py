"""
A recording of what became of an executor's events, and what has to hold of it over time.

An invariant looks at one moment. That a rate was kept, that nobody started before its time, that order was kept, shows
only over time, and only to somebody who has counted for himself: who asked the executor would be told its own mistake.
So a trace knows from the calls of ``append()`` what was asked for, and from the transitions what was done.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast

import attrs
from anyio.lowlevel import current_token

from lionpride_exec._base.backend import current_time
from lionpride_exec._events.event import Event
from lionpride_exec._status import EventStatus
from lionpride_exec.testing._invariants.at_return import check_known_once, check_stopped
from lionpride_exec.testing._invariants.check import check_invariants
from lionpride_exec.testing._invariants.history import TOLERANCE, Asked, Change, History
from lionpride_exec.testing._invariants.invariant import InvariantBroken
from lionpride_exec.testing._invariants.over_time import OVER_TIME
from lionpride_exec.testing._view import observe_first

from .labels import label_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from uuid import UUID

    from lionpride_exec import Executor

    from .labels import Label


# Methods of the executor by which events may start earlier than was said before; stop() is another one.
CHANGES = ("cancel", "skip", "forward", "resize", "cleanup_events")


@attrs.frozen
class TraceEntry:
    """
    An event went from one status to another.

    Attributes:
        at: When, in seconds since the recording began.
        label: Which event.
        previous: The status it had.
        status: The status it came to.
        attempt: The number of its run: 1 for the first, 0 before it.
        error: The class of what it ended with, or of what its run ended with after which it is run again; None: of
            nothing.
        event: The event itself. Two entries may be equal whose events are not.
    """

    at: float
    label: str
    previous: EventStatus
    status: EventStatus
    attempt: int = 0
    error: str | None = None
    event: Event[Any] = attrs.field(eq=False, repr=False, kw_only=True)

    def __str__(self) -> str:
        attempt = f" (attempt {self.attempt})" if self.attempt else ""
        error = f": {self.error}" if self.error else ""
        return f"{self.at:10.3f}  {self.label}: {self.previous} -> {self.status}{attempt}{error}"


class Trace:
    """
    A recording; made by ``record()``. ``with record(executor) as trace`` ends it with the block.

    ``str(trace)`` is a log that can be read: a line for each entry.

    Attributes:
        entries: What has happened so far, oldest first.
        broken: The invariants that did not hold, in the order in which that was seen; :meth:`check` raises the first.
    """

    def __init__(self, executor: Executor, *, label: Label | None, check: bool) -> None:
        self.entries: list[TraceEntry] = []
        self.broken: list[InvariantBroken] = []
        self._executor = executor
        self._label = label
        self._labels: dict[UUID, str] = {}
        self._checks = check
        self._history = History(executor)
        self._loop: object = None  # in which the last time was read
        self._began = 0.0  # a reading of its clock
        # The first: an observer that moves events itself would have us see the effect before the cause.
        self._end = observe_first(executor, self._follow)
        self._is_open = True
        self._notes: dict[str, Callable[..., Any]] = {"append": self._note_append, "stop": self._note_stop}
        self._notes |= {name: partial(self._note_change, name) for name in CHANGES}
        self._before = {name: executor.__dict__[name] for name in self._notes if name in executor.__dict__}
        executor.__dict__ |= self._notes

    def close(self) -> None:
        """Record nothing more. Idempotent; what there is stays."""
        if self._is_open:
            self._is_open = False
            self._end()
            for name, note in self._notes.items():
                if self._executor.__dict__.get(name) is not note:
                    continue  # somebody else came after: another recording, which goes through this one
                del self._executor.__dict__[name]
                if name in self._before:
                    self._executor.__dict__[name] = self._before[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return "\n".join(map(str, self.entries))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(entries={len(self.entries)}, broken={len(self.broken)})"

    # ---------------------------------------------------------------- what is asked of it

    def check(self, *, at_rest: bool = False) -> None:
        """
        Check that all invariants held at every transition so far, those over time included, and hold now.

        Args:
            at_rest: As for :func:`check_invariants`.

        Raises:
            InvariantBroken: One did not; with the last entries.
        """
        if not self.broken:
            self._watch(partial(check_invariants, self._executor, at_rest=at_rest))
        if self.broken:
            raise self.broken[0]

    def of(self, event: Event[Any] | str) -> list[TraceEntry]:
        """Give the entries of one event, or of one label. O(number of entries)."""
        return [entry for entry in self.entries if entry.event is event or entry.label == event]

    def differences(self, other: Trace, *, times: bool = True, order: bool = False) -> list[str]:
        """
        Say where two recordings of the same work differ: of another backend, of another run.

        Compared is what is defined: of each event, by its label, the statuses, the numbers of its runs and the classes
        of errors. Which of two events comes first, at one moment, is up to the event loop.

        Args:
            other: The other one, with the same labels.
            times: Whether it is defined *when* things happen, to a millisecond: nothing depends on chance, nor on which
                of several events gets a slot.
            order: Whether it is defined in which order: all was appended before the start, with distinct priorities,
                and one runs at a time.

        Returns:
            A line for each difference; none: there is none.
        """
        labels = list(dict.fromkeys(entry.label for trace in (self, other) for entry in trace.entries))
        found = [line for label in labels for line in _difference(label, self.of(label), other.of(label), times)]
        if order and not found:
            pairs = zip(self.entries, other.entries, strict=True)
            first = next(((a, b) for a, b in pairs if (a.label, a.status) != (b.label, b.status)), None)
            found += [] if first is None else [f"the order: here {first[0]}, there {first[1]}"]
        return found

    # ---------------------------------------------------------------- recording

    async def _note_append(self, event: Event[Any], priority: float | None = None, **how: Any) -> Any:
        """Take note of what is asked for, and do it."""
        is_refused = not isinstance(cast("object", event), Event) or event in self._executor
        if is_refused or not self._is_open:  # closed, and another one goes through this
            return await self._as_before("append")(event, priority, **how)
        self._label_of(event)
        self._history.expect(event, Asked.of(event, priority, self._now(), **how))
        try:
            taken = await self._as_before("append")(event, priority, **how)
        except BaseException:
            self._history.refused(event)
            raise
        if taken is event:
            self._history.arrived(event)
            self._watch(partial(check_known_once, self._history, event, how.get("key")))
        else:
            self._history.refused(event)
        return taken

    def _note_change(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Forget when events were to start: what is called changes that."""
        self._history.told.clear()
        return self._as_before(name)(*args, **kwargs)

    async def _note_stop(self, grace: float | None = None) -> None:
        """Stop it, and look whether that is so."""
        self._history.told.clear()
        await self._as_before("stop")(grace)
        if self._is_open:
            self._watch(partial(check_stopped, self._executor))

    def _as_before(self, name: str) -> Callable[..., Any]:
        """Give a method as it is without this recording; looked up now, since the class may have been replaced."""
        return self._before.get(name) or partial(getattr(type(self._executor), name), self._executor)

    def _follow(self, event: Event[Any], previous: EventStatus, status: EventStatus) -> None:
        now = self._now()
        execution = event.execution
        error: object = execution.error
        if status is EventStatus.PENDING and execution.attempts:
            error = execution.attempts[-1].error
        told = type(error).__name__ if issubclass(type(error), BaseException) else None
        entry = TraceEntry(
            now - self._began, self._label_of(event), previous, status, execution.attempt, told, event=event
        )
        self.entries.append(entry)
        change = Change(event, previous, status, now)
        for each in OVER_TIME.values():
            self._watch(partial(each.check, self._history, change))
        self._history.note(change)
        self._history.note_told(change)
        if self._checks:
            self._watch(partial(check_invariants, self._executor))

    def _watch(self, check: Callable[[], None]) -> None:
        try:
            check()
        except InvariantBroken as exc:
            exc.add_note("The last that happened:\n" + "\n".join(map(str, self.entries[-10:])))
            self.broken.append(exc)

    def _now(self) -> float:
        """Give the time of the running event loop. Where it is another one, nobody knows how much has passed: none."""
        loop, now = current_token(), current_time()
        if loop != self._loop:
            self._loop = loop
            self._began = now - (self.entries[-1].at if self.entries else 0.0)
            self._history.forget_times()
        return now

    def _label_of(self, event: Event[Any]) -> str:
        label = self._labels.get(event.id)
        if label is None:
            number = str(len(self._labels) + 1)
            label = self._labels[event.id] = number if self._label is None else label_by(self._label, event)
        return label


def _difference(label: str, ours: list[TraceEntry], theirs: list[TraceEntry], times: bool) -> list[str]:
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if (one.previous, one.status, one.attempt, one.error) != (
            other.previous,
            other.status,
            other.attempt,
            other.error,
        ):
            return [f"{label}, transition {number}: here {one}, there {other}"]
        if times and abs(one.at - other.at) > TOLERANCE:
            return [f"{label}, transition {number}, the time: here {one}, there {other}"]
    if len(ours) != len(theirs):
        here, there = (entries[-1] if entries else "nothing" for entries in (ours, theirs))
        return [f"{label}: here {len(ours)} transitions, the last of them {here}, there {len(theirs)}: {there}"]
    return []


def record(executor: Executor, *, label: Label | None = None, check: bool = True) -> Trace:
    """
    Keep what becomes of an executor's events, from this call on, until ``Trace.close()`` or the end of its ``with``.

    Every transition is one more entry, and is checked against what has to hold over time; O(number of events) for each.
    It is made for virtual time: under a clock that goes on by itself it allows for a millisecond.

    Args:
        executor: Which one, in its event loop or before it; one that is started again in another loop is followed.
        label: What an event is called in the recording: the name of an attribute, or a function of the event. Default:
            its number, in the order in which events were given to ``append()``, or first seen.
        check: Whether to call :func:`check_invariants` at each transition, too.
    """
    return Trace(executor, label=label, check=check)
