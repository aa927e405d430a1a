"""``lionpride-exec cluster show``: show everything about one event of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lionpride_exec._cli.exit_status import INCOMPLETE
from lionpride_exec._cli.journal.show import steps_table, write_event
from lionpride_exec._cli.terminal import write_json
from lionpride_exec._executor.cluster_rows import moment
from lionpride_exec._journal.row_records import encode
from lionpride_exec._status import PENDING
from lionpride_exec.errors import NotFoundError

from .connection import in_queue
from .records import attempt_of, show_record, status_of

if TYPE_CHECKING:
    from lionpride_exec._cluster.engine import Moved

    from .connection import OpenQueue

# Fields with a line each, in this order.
FIELDS = (
    "id", "tag", "version", "key", "status", "attempt", "crashes", "priority", "level", "after", "worker", "since",
    "held_by", "renewed", "waits_for", "because", "queued", "due", "started", "finished", "duration", "signature",
    "unreadable",
)  # fmt: skip

# Transitions of the queue that are read at a time, and at most, to find those of the event.
READ_AT_A_TIME = 1000
MOST_READ = 100_000


def show_event(name: str, url_file: str | None, text: str, *, as_json: bool) -> int:
    """
    Write everything about an event. Return the exit status: 1 if there is no such event.

    Args:
        name: The name of the queue.
        url_file: A file with the URL. None for the environment.
        text: The event: its id, or its key.
        as_json: Whether to write one JSON object.

    Raises:
        LionprideError: As :func:`~.connection.in_queue`.
    """

    async def ask(place: OpenQueue) -> tuple[dict[str, Any], list[Moved]] | None:
        """Ask the server. None if there is no such event."""
        event_id = (await place.find([text])).get(text)
        if event_id is None:
            return None
        (details,) = await place.queries.details([event_id])
        if details is None:
            raise NotFoundError(f"event {text} has just left queue {name}")
        steps = await _history(place, event_id)
        return show_record(details, steps, place.queue, is_paused=await place.queries.is_paused()), steps

    found = in_queue(name, url_file, ask)
    if found is None:
        return INCOMPLETE
    record, steps = found
    if as_json:
        write_json(encode(record))
    else:
        rows = [(moment(step), status_of(step), attempt_of(step), step.worker) for step in steps]
        write_event(f"event {record['id']}", record, FIELDS, steps_table(rows, "worker"))
    return 0


async def _history(place: OpenQueue, event_id: str) -> list[Moved]:
    """Return the transitions of an event since it was submitted or retried, as far as the server has them."""
    found: list[Moved] = []
    cursor, read = "", 0
    while read < MOST_READ and (steps := await place.queries.transitions(READ_AT_A_TIME, cursor)):
        cursor, read = steps[0].cursor, read + len(steps)
        for step in reversed(steps):
            if step.subject == event_id:
                found.append(step)
                if step.status == PENDING and not step.attempt and not step.worker:
                    return found[::-1]
    return found[::-1]
