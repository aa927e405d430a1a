"""How events come in and leave, if the executor has a cluster: they are queued on the server, not here."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar, Unpack, cast
from uuid import UUID

from anyio.lowlevel import checkpoint

from lionpride_exec._base.backend import current_time
from lionpride_exec._base.wall_clock import wall_clock
from lionpride_exec._cluster.engine import EVENTS_AT_A_TIME, Submission
from lionpride_exec._events.event import Event
from lionpride_exec._events.submit_options import NO_EXPIRES, SubmitOptions, expiry_of, is_unique_open, options_for
from lionpride_exec._model.element import to_uuid
from lionpride_exec._status import PENDING, TERMINAL, EventStatus
from lionpride_exec._validation import check_priority
from lionpride_exec.errors import (
    ClusterError,
    ConfigurationError,
    EventCancelled,
    ExecutorClosedError,
    ExistsError,
    NotFoundError,
)

from .cluster_lookups import UnreadableEventError
from .dependencies import named
from .submissions import Submissions
from .submitted import Submitted

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from datetime import datetime, timedelta

    from lionpride_exec._cluster.engine import Answer
    from lionpride_exec._events.submit_options import SubmitArguments

    from .cluster_link import ClusterLink
    from .cluster_lookups import ClusterLookups

E = TypeVar("E", bound=Event)

# Steps of the event loop until a call is on its way to the server: of the task that sends, and of the client library.
STEPS_UNTIL_SENT = 4


class ClusterSubmissions(Submissions):
    """
    Submits the events of one executor to the queue on the server.

    Attributes:
        cluster_link: The link of the executor. Set by ``Parts``.
        finder: Finds events in the queue. Set by ``Parts``.
    """

    cluster_link: ClusterLink
    finder: ClusterLookups

    # The names and the default, which is frozen, are those of the other submissions.
    def append_nowait(self, event: Event, options: SubmitOptions = SubmitOptions()) -> bool:  # noqa: ARG002, B008
        """Return False: the server has to be asked."""
        return False

    def send_nowait(self, event: Event, options: SubmitOptions) -> Submitted | None:
        """
        Submit an event like :meth:`append`, without waiting for the answer. Return None if a lock is not free.

        If the server refuses the event, it leaves the executor, and the tasks that wait for it are woken.
        """
        if self._transitions.crash is not None or self._must_wait():
            return None
        return self._send(event, options, [])

    async def append(
        self,
        event: E,
        priority: float | None,
        *,
        wait: bool,  # noqa: ARG002  there is always room
        **how: Unpack[SubmitArguments],
    ) -> E:
        """
        Submit an event; see ``Executor.append()``.

        Cancellation: an event that has been sent is submitted, and stays in the executor.
        """
        if self._transitions.crash is not None:
            self._transitions.raise_crash()
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, got {type(event).__name__}")
        priority = None if priority is None else check_priority(priority)
        key = None if how["key"] is None else self.lookups.key_of(how["key"])
        after, others = named(how)
        options = options_for(
            priority, how["delay"], how["at"], expires=how["expires"], any_end=frozenset(map(to_uuid, others)), key=key,
            unique_open=is_unique_open(how["unique"], key),
        )  # fmt: skip
        _check_available(options)
        ids = _ids_of(event, after)
        while True:
            known = None if options.key is None else self._keys.find(options.key)
            if known is None:
                return cast("E", await (await self._send_in_turn(event, options, ids)).wait())
            submitted = self.cluster_link.client.on_the_way.get(known.id)
            if submitted is None:
                await checkpoint()
                return cast("E", known)
            await submitted.decided.wait()
            if submitted.taken is not None:
                return cast("E", submitted.taken)

    # ---------------------------------------------------------------- sending

    def _prepare(self, event: Event, options: SubmitOptions, after: list[str]) -> Submission:
        """Check an event, and return what is sent to the server. If this raises, nothing has changed."""
        _check_available(options)
        link, settings = self.cluster_link, self.cluster_link.settings
        link.check_process()
        if not link.client.is_open:
            raise ExecutorClosedError(
                f"{self._executor!r} has a cluster and takes events only while it runs: start it first"
            )
        self.check_new(event)
        if event.execution.status is not PENDING:
            raise ValueError(f"{event} is {event.status}: a cluster takes events that are PENDING only")
        if type(event)._kind.on_crash == "hold":
            raise ConfigurationError(f"{type(event).__name__}: on_crash='hold' is not available with a cluster")
        if self._transitions.processor is not None:
            route = self._transitions.processor.router.route(event)  # raises if the cost is above the amount of a limit
            link.work.limits.check_keys(route.key)
        if self.entries:
            self._transitions.enter(event)  # before the envelope is made: an observer may add to the metadata
        return Submission(
            event.id.hex,
            settings._level_of(options.priority),
            _due_of(options),
            cast("str | None", options.key) or "",
            0 if settings.retain is None else round(settings.retain * 1000),
            link.records.envelope(event, options.priority, after),
            after,
        )

    async def _send_in_turn(self, event: Event, options: SubmitOptions, after: list[str]) -> Submitted:
        """Like :meth:`_send`, but wait for the locks that other tasks have."""
        if self._must_wait():
            async with self._index.all_locks(PENDING):
                return self._send(event, options, after)
        return self._send(event, options, after)

    def _must_wait(self) -> bool:
        """Return whether a task has a lock without which no event can come in."""
        has_users = self._index.items.guard.users or self._coordination.locks_in_use
        return bool(has_users) and self._index.is_locked(PENDING)

    def _send(self, event: Event, options: SubmitOptions, after: list[str]) -> Submitted:
        """Take an event in and send it to the server. If this raises, nothing has changed."""
        submitted = Submitted(event, event.execution.queued_at)
        event.execution.queued_at = event.execution.queued_at or wall_clock.now()  # it is in the envelope
        try:
            submission = self._prepare(event, options, after)
            self._take_in(event, submission.key)
        except BaseException:
            event.execution.queued_at = submitted.queued_at
            raise
        try:
            self.cluster_link.client.submit(submitted, submission, partial(self._settle, submitted))
        except BaseException:
            self._undo(submitted)
            raise
        return submitted

    def _take_in(self, event: Event, key: str) -> None:
        """Add an event to the executor. To end it, the server is asked."""
        self.add(event)
        event._set("_seq", 1)
        if key:
            self._keys.give(event.id, key)

    # ---------------------------------------------------------------- what the server answers

    def _settle(self, submitted: Submitted, answer: Answer[Submission, tuple[str, str]]) -> None:
        """Keep an event that the server has taken in, else remove it. Also if no task waits for the answer."""
        word, event_id = ("", "") if answer.error is not None else answer.get()
        if word in {"new", "again"}:
            self.cluster_link.client.note_submitted(submitted.event, is_new=word == "new")
            submitted.taken = submitted.event
        else:
            self._undo(submitted)
            if word == "known":
                self.cluster_link.client.start_soon(self._find_known, submitted, UUID(event_id), answer.question.key)
                return
            submitted.error = answer.error or NotFoundError(
                f"There is no event {UUID(event_id)} in the queue, so nothing can come after it"
            )
        self._decide(submitted)

    def _undo(self, submitted: Submitted) -> None:
        """Remove an event that was not submitted, as if it had never been appended."""
        event = submitted.event
        if event.id in self._index.items:
            self.forget(event)
        event._set("_seq", 0)
        event.execution.queued_at = submitted.queued_at
        event._wake()

    def _decide(self, submitted: Submitted) -> None:
        self.cluster_link.client.on_the_way.pop(submitted.event.id, None)
        submitted.decided.set()

    async def _find_known(self, submitted: Submitted, event_id: UUID, key: str) -> None:
        """Find the event that has a key already, so that the one in ``submitted`` was not stored."""
        try:
            submitted.taken = await self.bring(event_id, key)
        except Exception as exc:  # noqa: BLE001  raised in the tasks that wait
            submitted.error = exc
        except BaseException:
            submitted.error = ClusterError("the executor was left", retryable=True)
            raise
        finally:
            self._decide(submitted)

    async def bring(self, event_id: UUID, key: str) -> Event:
        """
        Return the event that has a key. If it has not ended, it is one of the executor's events from now on.

        Raises:
            ClusterError: The server was not reached, or it refused.
            ExistsError: The executor cannot have the event: it cannot be read here, or is of another type.
        """
        try:
            event = await self.finder.find(event_id)
            if event is None:
                raise ClusterError(f"event {event_id} with the same key has just left the queue", retryable=True)
            if event.execution.status in TERMINAL or event.id in self._index.items:
                return event
            event.execution.status = PENDING  # the reader of transitions brings the rest
            self._take_in(event, key)
        except (UnreadableEventError, TypeError) as exc:
            raise ExistsError(f"the key belongs to event {event_id}, which this executor cannot have: {exc}") from exc
        with suppress(ClusterError):  # the reader of transitions tries again
            await self.cluster_link.client.follow_known(event)
        return event

    # ---------------------------------------------------------------- many events in one round trip

    async def append_together(
        self,
        event: E,
        priority: float | None,
        key: Hashable,
        coming: dict[UUID, Submitted],
        expires: float | timedelta | datetime | None = None,
    ) -> E | Submitted:
        """
        Submit an event together with others, in one round trip.

        Returns:
            The event that ``append()`` would return, if it is known now. Otherwise the entry that ``coming`` has now.
            After :meth:`wait_all_stored`, its ``taken`` is the event.
        """
        known_by = None if key is None else self.lookups.key_of(key)
        known = None if known_by is None else self._keys.find(known_by)
        if known is not None and known.id in coming:
            return coming[known.id]
        is_plain = isinstance(cast("object", event), Event) and not self._executor._appends_one_by_one()
        if known is not None or not is_plain:
            given = {name: value for name, value in (("key", key), ("expires", expires)) if value is not None}
            return cast("E", await self._executor.append(event, priority, wait=True, **given))
        if len(coming) % EVENTS_AT_A_TIME == 0 < len(coming):
            await self._send_on(coming)
        expiry = None if expires is None else expiry_of(expires)
        options = SubmitOptions(None if priority is None else check_priority(priority), key=known_by, expiry=expiry)
        coming[event.id] = submitted = await self._send_in_turn(event, options, [])
        return submitted

    async def _send_on(self, coming: dict[UUID, Submitted]) -> None:
        """Let a round trip begin, and wait for the one before it. So events are encoded while the server works."""
        for _ in range(STEPS_UNTIL_SENT):
            await checkpoint()
        if len(coming) > EVENTS_AT_A_TIME:
            first = dict(islice(coming.items(), EVENTS_AT_A_TIME))
            for event_id in first:
                del coming[event_id]
            await self.wait_all_stored(first)

    async def wait_all_stored(self, coming: dict[UUID, Submitted]) -> None:
        """
        Wait until the server has answered for all these events. Then raise the first error.

        Cancellation: the events are submitted, and stay in the executor.
        """
        error: Exception | None = None
        for one in coming.values():
            try:
                await one.wait()
            except Exception as exc:  # noqa: BLE001  raised below
                error = error or exc
        coming.clear()
        if error is not None:
            raise error

    # ---------------------------------------------------------------- out

    def remove(self, event: Event) -> None:
        """Remove an event. If it has not ended, the server is asked to end it."""
        if event.execution.status not in TERMINAL and self.cluster_link.client.is_open:
            self._transitions.end(event, EventStatus.CANCELLED, EventCancelled("it was removed"))
        super().remove(event)

    def forget(self, event: Event) -> None:
        """Remove an event from all parts, and stop to follow it."""
        self.cluster_link.client.forget(event)
        super().forget(event)


def _check_available(options: SubmitOptions) -> None:
    if options.any_end:
        raise ConfigurationError("after_any_end= is not available with a cluster: its server knows `after` only")
    if options.expiry is not None:
        raise ConfigurationError(NO_EXPIRES)
    if options.unique_open:
        raise ConfigurationError("unique='open' is not available with a cluster: its server keeps the key of an event")


def _ids_of(event: Event, after: Iterable[Event | UUID]) -> list[str]:
    """
    Return the ids of the events that an event comes after.

    Raises:
        ValueError: The event comes after itself.
    """
    ids = [to_uuid(other) for other in after]
    if event.id in ids:
        raise ValueError(f"{event} cannot come after itself: that is a cycle")
    return [one.hex for one in ids]


def _due_of(options: SubmitOptions) -> float:
    """Return when an event is due, as in ``Submission.due``: 0 for at once, a time, or a negative delay."""
    if options.at is not None:
        return max(options.at * 1e6, 1.0)  # the server compares it with its own clock
    if options.until is None:
        return 0
    return -max(options.until - current_time(), 0.0) * 1e6
