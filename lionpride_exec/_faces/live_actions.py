"""What somebody asks of a running executor, as calls of its public methods."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs

from lionpride_exec._base.wording import counted
from lionpride_exec._executor.pause_names import pause_name
from lionpride_exec._status import BAD, HELD, PENDING, PROCESSING
from lionpride_exec.errors import EventNotFinished, LionprideError, OperationError

from .snapshot import Choice
from .texts import keys_meant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

    from lionpride_exec._executor.explanation import Statistics
    from lionpride_exec._executor.live_view import LiveView

    from .snapshot import Action, EventPage

logger = logging.getLogger("lionpride_exec")

# Events that are asked for at once. Each question has a checkpoint.
AT_A_TIME: Final = 100

# What became of events, by the action.
ENDED: Final = {"cancel": "cancelled", "skip": "skipped"}

_OPEN: Final = (PENDING.value, PROCESSING.value)


def refused_here() -> OperationError:
    """Return the error of a source that is only read."""
    return OperationError("this view is read-only: nothing has changed", retryable=False)


def chosen_statuses(action: Action) -> tuple[str, ...]:
    """
    Return the statuses of the events that an action for several events is about.

    Raises:
        OperationError: It is about none, or events of this status cannot be changed so.
    """
    if action.choice is None:
        raise OperationError(f"{action.what} which events? nothing has changed", retryable=False)
    usual = BAD if action.what == "retry" else _OPEN
    status = action.choice.status
    if status is not None and status not in {*usual, HELD}:
        raise OperationError(f"events that are {status} cannot be changed by {action.what}", retryable=False)
    return usual if status is None else (status,)


async def chosen_ids(
    action: Action, page: Callable[[Choice, str | None, int], Awaitable[EventPage]], size: int
) -> AsyncIterator[UUID]:
    """
    Yield the ids of the events that an action for several events is about, the newest first, status by status.

    Args:
        action: The action.
        page: Finds events; see ``Source.events()``.
        size: How many events a page has at most.

    Raises:
        OperationError: As :func:`chosen_statuses`.
    """
    for status in chosen_statuses(action):
        choice = attrs.evolve(action.choice or Choice(), status=status)
        before: str | None = None
        while True:
            found = await page(choice, before, size)
            for line in found.lines:
                yield UUID(line.id)
            before = found.before
            if before is None:
                break


class LiveActions:
    """
    Carries out what is asked for.

    Args:
        view: Looks at the executor.
        page: Finds events; see ``Source.events()``.

    Attributes:
        done: How many actions were asked for.
    """

    def __init__(self, view: LiveView, page: Callable[[Choice, str | None, int], Awaitable[EventPage]]) -> None:
        self._view = view
        self._page = page
        self.done = 0

    async def do(self, action: Action, state: Statistics) -> str:
        """
        Carry out an action, and return what came of it.

        Raises:
            LionprideError: It was refused.
        """
        self.done += 1
        try:
            told = await self._do(action, state)
        except LionprideError:  # some are a ValueError too
            raise
        except (ValueError, TypeError) as exc:
            raise OperationError(str(exc), retryable=False) from exc
        logger.info("%s was asked for by %s: %s", action.what, action.by, told)
        return told

    async def _do(self, action: Action, state: Statistics) -> str:
        executor = self._view.executor
        match action.what:
            case "pause":
                return self._pause(action)
            case "resume":
                return self._resume(action, state)
            case "resize":
                executor.resize(concurrency_limit=action.amount)
                return f"{counted(action.amount or state.concurrency_limit, 'event')} may run at the same time"
            case "cancel" | "skip" | "retry" if action.id is not None:
                return await self._change_one(action, UUID(action.id))
            case "cancel" | "skip":
                return await self._end_all(action)
            case "retry":
                return await self._retry_all(action)
            case _:
                raise OperationError(f"there is no action {action.what!r}", retryable=False)

    # ---------------------------------------------------------------- pauses

    def _pause(self, action: Action) -> str:
        if action.key is None:
            self._view.executor.pause()
            return "paused: what runs goes on, and nothing starts until resume"
        for key in keys_meant(action.key):
            self._view.executor.pause(key=key, reason=f"by {action.by}")
        return f"key {action.key} is paused: what runs goes on"

    def _resume(self, action: Action, state: Statistics) -> str:
        if action.key is None:
            self._view.executor.resume()
            return "paused no longer"
        found = [pause for pause in state.pauses if pause_name(pause) == action.key]
        for pause in found:
            self._view.executor.resume(key=pause.key, limit=pause.limit)
        keys: list[Hashable] = [] if found else keys_meant(action.key)
        for key in keys:
            self._view.executor.resume(key=key)
        return f"key {action.key} is paused no longer"

    # ---------------------------------------------------------------- events

    async def _change_one(self, action: Action, event_id: UUID) -> str:
        executor = self._view.executor
        if action.what == "retry":
            await self._again(event_id)
            return "1 event pending again"
        end = executor.cancel if action.what == "cancel" else executor.skip
        if not end(event_id, f"by {action.by}"):
            raise OperationError(f"event {event_id} has ended: nothing has changed", retryable=False)
        return f"1 event {ENDED[action.what]}"

    async def _again(self, event_id: UUID) -> None:
        """Run an event again that has ended, or one that is held."""
        executor = self._view.executor
        try:
            await executor.retry(event_id)
        except EventNotFinished:
            if self._view.with_id(event_id) is not None or event_id not in executor:
                raise
            await executor.release(event_id)

    async def _end_all(self, action: Action) -> str:
        """End the events that fit, the newest first: a follower ends before the event that it comes after."""
        executor, number = self._view.executor, 0
        end = executor.cancel if action.what == "cancel" else executor.skip
        async for event_id in chosen_ids(action, self._page, AT_A_TIME):
            if event_id in executor:
                number += end(event_id, f"by {action.by}")
        return f"{counted(number, 'event')} {ENDED[action.what]}"

    async def _retry_all(self, action: Action) -> str:
        """Run the events again that fit, the oldest first: they are found before, since they change their places."""
        ids = [event_id async for event_id in chosen_ids(action, self._page, AT_A_TIME)]
        number = 0
        for event_id in reversed(ids):
            try:
                await self._again(event_id)
            except LionprideError:  # it was retried meanwhile, or what it comes after is gone
                continue
            number += 1
        rest = len(ids) - number
        left = f"; {counted(rest, 'event')} could not be retried" if rest else ""
        return f"{counted(number, 'event')} pending again{left}"
