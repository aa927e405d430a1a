"""``lionpride-exec cluster retry``, ``cancel``, ``pause`` and ``resume``: the commands that change a queue."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.streams import say
from lionpride_exec._cli.terminal import write_ended, write_line
from lionpride_exec._cluster.engine import batches
from lionpride_exec._status import EventStatus

from .connection import in_queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .connection import OpenQueue

# Why an event was not retried.
NOT_QUEUED = {
    "open": "has not ended",
    "completed": "has completed: completed events do not run again",
    "unknown": "is not in the queue any more",
    "after": "comes after an event that has not completed: retry that one first, or both together",
}


def retry_events(name: str, url_file: str | None, texts: Sequence[str], statuses: Sequence[str]) -> int:
    """
    Make events that have ended pending again, and write how many.

    Return the exit status: 1 if one of the events was not retried. If a text names no event, a message says so, and the
    other events are retried.

    Args:
        name: The name of the queue.
        url_file: A file with the URL. None for the environment.
        texts: The events, each by its id or its key.
        statuses: All events with one of these statuses. Not together with ``texts``.

    Raises:
        UsageError: Nothing was chosen, or both were.
        LionprideError: As :func:`~.connection.in_queue`.
    """
    if bool(texts) == bool(statuses):
        raise UsageError("which events? give their ids, or --failed, or --status; not both")

    async def retry(place: OpenQueue) -> tuple[int, bool]:
        """Return how many are pending again, and whether all of the texts are."""
        if statuses:
            return await _retry_all(place, statuses), True
        found = await place.find(texts)
        words = dict(zip(found, await place.queries.retry(list(found.values())), strict=True))
        for text, word in words.items():
            if word in NOT_QUEUED:
                say(f"event {text} {NOT_QUEUED[word]}")
        return list(words.values()).count("queued"), len(words) == len({*texts}) and set(words.values()) == {"queued"}

    number, is_done = in_queue(name, url_file, retry)
    write_line(f"{number:,} event{' is' if number == 1 else 's are'} pending again")
    return 0 if is_done else 1


async def _retry_all(place: OpenQueue, statuses: Sequence[str]) -> int:
    """Retry all events with these statuses, each after those that it comes after. Return how many."""
    number = 0
    later: list[str] = []  # events that come after others, which may be retried below
    for status in sorted(statuses, key=lambda one: one == EventStatus.SKIPPED):  # these come after others
        cursor = "0"
        while True:
            cursor, ids = await place.queries.ids(status, cursor)
            words = await place.queries.retry(ids)
            number += words.count("queued")
            later += [event_id for event_id, word in zip(ids, words, strict=True) if word == "after"]
            if cursor == "0":
                break
    while later:
        words = await place.queries.retry(later)
        number += words.count("queued")
        rest = [event_id for event_id, word in zip(later, words, strict=True) if word == "after"]
        if len(rest) == len(later):
            break
        later = rest
    return number


def cancel_events(name: str, url_file: str | None, texts: Sequence[str]) -> int:
    """
    Cancel events, and write how many. Return the exit status: 1 if one of them had ended.

    If a text names no event, a message says so, and the other events are cancelled. The exit status is 1 then, too.

    Args:
        name: The name of the queue.
        url_file: A file with the URL. None for the environment.
        texts: The events, each by its id or its key.

    Raises:
        UsageError: There are no texts.
        LionprideError: As :func:`~.connection.in_queue`.
    """
    if not texts:
        raise UsageError("which events? give their ids")

    async def cancel(place: OpenQueue) -> dict[str, str]:
        """Return the word of the server for each text."""
        found = await place.find(texts)
        words: list[str] = []
        for ids in batches(list(found.values())):
            words += await place.queue.cancel(ids, EventStatus.CANCELLED.value, [b""] * len(ids))
        return dict(zip(found, words, strict=True))

    words = in_queue(name, url_file, cancel)
    counts = Counter(words.values())
    write_ended(counts["ended"], counts["sent"], EventStatus.CANCELLED.value, "the worker")
    for text, word in words.items():
        if word in {"late", "unknown"}:
            say(f"event {text} {'has ended' if word == 'late' else NOT_QUEUED[word]}")
    return 0 if len(words) == len({*texts}) and set(words.values()) <= {"ended", "sent"} else 1


def pause_queue(name: str, url_file: str | None) -> int:
    """Let no worker take events. Return the exit status. Raises as :func:`~.connection.in_queue`."""
    in_queue(name, url_file, lambda place: place.queries.pause())
    write_line(f"queue {name} is paused: what runs goes on, and no worker takes events until resume")
    return 0


def resume_queue(name: str, url_file: str | None) -> int:
    """End a pause. Return the exit status. Raises as :func:`~.connection.in_queue`."""
    in_queue(name, url_file, lambda place: place.queries.resume())
    write_line(f"queue {name} is paused no longer")
    return 0
