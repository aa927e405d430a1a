"""What somebody asks of a journal: of the process that has it open, or of the file that nobody has open. Blocks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from lionpride_exec._base.json_text import read_json
from lionpride_exec._base.wording import counted
from lionpride_exec._journal.asking import SentCommand
from lionpride_exec._journal.command_forms import Chosen, Ending, Pausing, Resizing, Resuming
from lionpride_exec._journal.file_lock import owner_of
from lionpride_exec._journal.meant_keys import keys_meant_by
from lionpride_exec._journal.offline import end_open, requeue_ended
from lionpride_exec._status import FINAL, HELD, OPEN, EventStatus
from lionpride_exec.errors import EventCancelled, JournalError, OperationError, Skip

from .live_actions import ENDED, chosen_statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import msgspec

    from lionpride_exec._journal.command_forms import Result

    from .snapshot import Action, Choice

logger = logging.getLogger("lionpride_exec")

# Seconds for which the answer of the process is waited for.
PATIENCE: Final = 10.0


class JournalActions:
    """
    Carries out what is asked for.

    Args:
        path: The file, without symbolic links.
        number_of: Returns the id and the number of the event that a text means, or raises NotFoundError.
        found: Returns the ids and numbers of all events that fit a choice, or raises OperationError: too many do.
    """

    def __init__(
        self,
        path: Path,
        number_of: Callable[[str], tuple[str, int]],
        found: Callable[[Choice, tuple[str, ...]], dict[str, int]],
    ) -> None:
        self._path = path
        self._number_of = number_of
        self._found = found

    def do(self, action: Action) -> str:
        """
        Carry out an action, and return what came of it.

        Raises:
            LionprideError: It was refused, or the process has not answered in time.
        """
        owner = owner_of(self._path)
        if action.what in {"cancel", "skip", "retry"}:
            told = self._change(action, owner)
        elif owner is None:
            raise JournalError(f"nobody runs {self._path}: there is nothing to {action.what}")
        else:
            told = self._steer(action, owner)
        logger.info("%s of %s was asked for by %s: %s", action.what, self._path, action.by, told)
        return told

    # ---------------------------------------------------------------- the executor

    def _steer(self, action: Action, owner: str) -> str:
        match action.what:
            case "pause":
                reason = None if action.key is None else f"by {action.by}"
                self._ask("pause", Pausing(_keys(action.key), None, None, reason), owner)
                return f"{_what(action)} paused: what runs goes on"
            case "resume":
                self._ask("resume", Resuming(_keys(action.key)), owner)
                return f"{_what(action)} not paused"
            case "resize":
                self._ask("resize", Resizing(action.amount), owner)
                return f"{counted(action.amount or 0, 'event')} may run at the same time"
            case _:
                raise OperationError(f"there is no action {action.what!r}", retryable=False)

    def _ask(self, what: str, form: msgspec.Struct, owner: str) -> Result:
        result = SentCommand(self._path, what, form, owner).wait(PATIENCE)
        if result is None:
            raise OperationError(f"process {owner} has not answered within {PATIENCE:g} s")
        return result

    # ---------------------------------------------------------------- events

    def _change(self, action: Action, owner: str | None) -> str:
        statuses: tuple[str, ...] = ()
        if action.id is not None:
            event_id, number = self._number_of(action.id)
            events = {event_id: number}
        else:
            statuses = chosen_statuses(action)
            events = self._events(action, statuses)
            if not events and not _is_plain(action):
                return "no event fits: nothing has changed"
        if owner is None:
            return self._change_offline(action, statuses, None if _is_plain(action) else {*events.values()})
        chosen: dict[str, Any] = {"events": events} if events else {"status": [*statuses]}
        if action.what == "retry":
            result = self._ask("retry", Chosen(**chosen), owner)
        else:
            result = self._ask(action.what, Ending(**chosen, reason=f"by {action.by}"), owner)
        return _told(action, result.events + result.running, [*result.others.values()])

    def _events(self, action: Action, statuses: tuple[str, ...]) -> dict[str, int]:
        """Return the events that fit a choice. None at all if it is about statuses only: then they are not named."""
        return {} if action.choice is None or _is_plain(action) else self._found(action.choice, statuses)

    def _change_offline(self, action: Action, statuses: tuple[str, ...], seqs: set[int] | None) -> str:
        if action.what == "retry":
            ended = statuses or (*FINAL, HELD)
            return _told(action, requeue_ended(self._path, ended, seqs).events, ["has not ended"])
        status = EventStatus.CANCELLED if action.what == "cancel" else EventStatus.SKIPPED
        reason = f"by {action.by}"
        error = EventCancelled(reason) if action.what == "cancel" else Skip(reason)
        return _told(action, end_open(self._path, statuses or OPEN, seqs, status, error), ["has ended"])


def _told(action: Action, number: int, others: list[str]) -> str:
    """
    Return the words for what has changed.

    Raises:
        OperationError: The event that was named has not changed.
    """
    if action.id is not None and not number:
        raise OperationError(f"event {action.id} {', '.join(others)}: nothing has changed", retryable=False)
    if action.what == "retry":
        return f"{counted(number, 'event')} pending again"
    return f"{counted(number, 'event')} {ENDED[action.what]}"


def _is_plain(action: Action) -> bool:
    """Return whether events are chosen by nothing but their status."""
    choice = action.choice
    if action.id is not None or choice is None:
        return False
    return all(one is None for one in (choice.text, choice.kind, choice.key, choice.error, choice.since))


def _keys(text: str | None) -> list[Any]:
    """
    Return the keys that a text means: the text, and the key as JSON.

    Raises:
        OperationError: JSON cannot hold the text.
    """
    if text is None:
        return []
    keys = [key for one in keys_meant_by(text) if (key := read_json(one)) is not None]
    if not keys:
        raise OperationError(f"{text!r} is no key", retryable=False)
    return keys


def _what(action: Action) -> str:
    return "the executor is" if action.key is None else f"key {action.key} is"
