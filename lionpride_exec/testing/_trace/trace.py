"""
A recording of the transitions of an executor's events, checked against the invariants over time.

An invariant of a moment cannot show that a rate was kept, that no event started early, or that the order was right.
These show only over time, and only by a count of one's own: the executor would repeat its own mistake. So a trace
learns from the calls of ``append()`` what was asked for, and from the transitions what was done.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Self, cast

import attrs
from anyio.lowlevel import current_token

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.overrides import Recorded
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._events.event import Event
from lionpride_exec._model.element import to_uuid
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
    from datetime import datetime
    from types import TracebackType
    from uuid import UUID

    from lionpride_exec import Executor

    from .labels import Label


# After these methods, and after stop(), events can start earlier than explain() has said.
CHANGES = ("cancel", "skip", "forward", "resize", "cleanup_events")


@attrs.frozen
class TraceEntry:
    """
    One transition of an event.

    Attributes:
        at: The time of the transition, in seconds since the recording began.
        label: The label of the event.
        previous: The status before.
        status: The status after.
        attempt: The number of the run: 1 for the first, 0 before it.
        error: The name of the class of the error with which the event, or a run that is repeated, has ended. None if
            there was no error.
        event: The event itself. It does not count when entries are compared.
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

    ``str(trace)`` is a readable log, with a line for each entry.

    Attributes:
        entries: The transitions so far, the oldest first.
        broken: The broken invariants, in the order in which they were found. :meth:`check` raises the first.
    """

    def __init__(self, executor: Executor, *, label: Label | None, check: bool) -> None:
        self.entries: list[TraceEntry] = []
        self.broken: list[InvariantBroken] = []
        self._executor = executor
        self._label = label
        self._labels: dict[UUID, str] = {}
        self._checks = check
        self._history = History(executor)
        self._loop: object = None  # the event loop in which the time was read last
        self._began = 0.0  # when the recording began, by the clock of this loop
        # Before other observers: if one of them moves events, the trace has to see the cause before the effect.
        self._end = observe_first(executor, self._follow)
        self._is_open = True
        self._notes = {"append": Recorded(self._note_append), "stop": Recorded(self._note_stop)}
        self._notes |= {name: Recorded(self._note_change, name) for name in CHANGES}
        self._notes["set_limit"] = Recorded(self._note_limit)
        self._notes |= {"pause": Recorded(self._note_pause), "resume": Recorded(self._note_resume)}
        self._notes["set_priority"] = Recorded(self._note_priority)
        self._notes |= {"retry": Recorded(self._note_retry), "forget": Recorded(self._note_forget)}
        self._before = {name: executor.__dict__[name] for name in self._notes if name in executor.__dict__}
        for name, replaced in self._before.items():
            self._notes[name].replaced = replaced
        executor.__dict__ |= self._notes

    def close(self) -> None:
        """Stop recording. The entries stay. Idempotent."""
        if self._is_open:
            self._is_open = False
            self._end()
            for name, note in self._notes.items():
                if self._executor.__dict__.get(name) is not note:
                    continue  # a later recording replaced the method, and calls this one
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

    # ---------------------------------------------------------------- reading

    def check(self, *, at_rest: bool = False) -> None:
        """
        Check that all invariants, also those over time, held at every transition so far, and that they hold now.

        Args:
            at_rest: As for :func:`check_invariants`.

        Raises:
            InvariantBroken: An invariant was broken. A note has the last entries.
        """
        if not self.broken:
            self._watch(partial(check_invariants, self._executor, at_rest=at_rest))
        if self.broken:
            raise self.broken[0]

    def of(self, event: Event[Any] | str) -> list[TraceEntry]:
        """Return the entries of one event, or of one label. O(number of entries)."""
        return [entry for entry in self.entries if entry.event is event or entry.label == event]

    def differences(self, other: Trace, *, times: bool = True, order: bool = False) -> list[str]:
        """
        Return where two recordings of the same work differ, for example on another backend or in another run.

        The comparison covers what is defined. For each label these are the statuses, the numbers of the runs, and the
        classes of errors. The event loop decides which of two events comes first at the same moment.

        Args:
            other: The other recording, with the same labels.
            times: Whether to compare the times too, to a millisecond. They are defined if nothing depends on chance or
                on which of several events gets a slot.
            order: Whether to compare the order of events too. The order is defined if all events were appended before
                the start, have distinct priorities, and run one at a time.

        Returns:
            A line for each difference. Empty if there is none.
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
        """Record what ``append()`` is asked for, and call it."""
        is_refused = not isinstance(cast("object", event), Event) or event in self._executor
        if is_refused or not self._is_open:  # closed, but a later recording calls this one
            return await self._as_before("append")(event, priority, **how)
        self._label_of(event)
        own_priority, key = self._history.view.with_defaults(event, priority, how.get("key"))
        self._history.expect(event, Asked.of(event, own_priority, self._now(), **how))
        try:
            taken = await self._as_before("append")(event, priority, **how)
        except BaseException:
            self._history.refused(event)
            raise
        if taken is event:
            self._history.arrived(event)
            self._watch(partial(check_known_once, self._history, event, key, how.get("unique", "ever")))
        else:
            self._history.refused(event)
        return taken

    def _note_change(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Forget when events were to start, because the call changes this."""
        self._history.told.clear()
        return self._as_before(name)(*args, **kwargs)

    def _note_limit(self, limit: Any, amount: Any = None, *, per: float | None = None) -> None:
        """Call ``set_limit()``, and forget what the limit does not count any more."""
        if _is_in_loop():
            self._history.limit_changes(self._now())
        self._as_before("set_limit")(limit, amount, per=per)
        self._history.limits.change(limit, amount, per)

    def _note_pause(self, *, key: Any = None, limit: Any = None, **how: Any) -> None:
        """Call ``pause()``, and expect that nothing of the key starts."""
        self._history.told.clear()
        self._as_before("pause")(key=key, limit=limit, **how)
        if key is not None or limit is not None:
            self._history.limits.pause(key, limit, self._end_of(**how))

    def _end_of(self, *, seconds: float | None = None, until: datetime | None = None, **_: Any) -> float:
        """Return when a pause ends, as a reading of the clock. ``-inf`` if no event loop has one yet."""
        if seconds is None and until is None:
            return inf
        left = seconds if until is None else until.timestamp() - wall_clock.seconds()
        return self._now() + cast("float", left) if _is_in_loop() else -inf

    def _note_resume(self, *, key: Any = None, limit: Any = None) -> None:
        """Call ``resume()``, and expect starts again."""
        self._history.told.clear()
        self._as_before("resume")(key=key, limit=limit)
        if key is not None or limit is not None:
            self._history.limits.resume(key, limit)

    def _note_priority(self, event: Event[Any] | UUID | str, priority: float | None) -> bool:
        """Call ``set_priority()``, and expect the order that follows."""
        self._history.told.clear()
        is_changed: bool = self._as_before("set_priority")(event, priority)
        if is_changed:
            self._history.moved(self._executor.states.items[to_uuid(event)], priority)
        return is_changed

    async def _note_retry(self, *target: Any, **how: Any) -> Any:
        """Call ``retry()``, and expect that the events begin anew."""
        self._history.retries += 1
        try:
            taken = await self._as_before("retry")(*target, **how)
        finally:
            self._history.retries -= 1
        for event in taken if isinstance(taken, list) else [taken]:
            self._history.retried(event)
        return taken

    async def _note_forget(self, key: Any) -> bool:
        """Call ``forget()``, and expect that another event may get the key."""
        is_known: bool = await self._as_before("forget")(key)
        self._history.keys.pop(key, None)
        return is_known

    async def _note_stop(self, grace: float | None = None) -> None:
        """Call ``stop()``, and check that nothing runs afterwards."""
        self._history.told.clear()
        await self._as_before("stop")(grace)
        if self._is_open:
            self._watch(partial(check_stopped, self._executor))

    def _as_before(self, name: str) -> Callable[..., Any]:
        """Return a method without this recording. Looked up at each call, because the class can be replaced."""
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
        self._history.look_for_retry(change)
        for each in OVER_TIME.values():
            if (wrong := each.find(self._history, change)) is not None:
                self._watch(partial(each.complain, change, wrong))
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
        """Return the time of the running event loop. In a new loop the recording goes on as if no time had passed."""
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


def _is_in_loop() -> bool:
    try:
        current_token()
    except RuntimeError:
        return False
    return True


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
    Record the transitions of an executor's events until ``Trace.close()``, or until its ``with`` block ends.

    Each transition adds an entry, and is checked against the invariants over time. O(number of events) for each.
    A trace is made for virtual time. Under a real clock it tolerates a millisecond.

    Args:
        executor: The executor to record. Call this in its event loop or before it runs. If the executor is started
            again in another loop, the trace follows.
        label: Names an event in the recording: the name of an attribute, or a function of the event. The default is
            its number, in the order in which ``append()`` got the events or the trace first saw them.
        check: Whether to call :func:`check_invariants` at each transition too.
    """
    return Trace(executor, label=label, check=check)
