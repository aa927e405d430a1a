"""``lionpride-exec cluster tail``: show the last transitions of a queue, and new ones as they come."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.terminal import write_json, write_line
from lionpride_exec._journal.row_records import encode

from .connection import in_queue
from .records import is_readable, transition_record

if TYPE_CHECKING:
    from lionpride_exec._cluster.engine import Moved

    from .connection import OpenQueue


def tail_queue(name: str, url_file: str | None, lines: int, *, follow: bool, as_json: bool) -> int:
    """
    Write the last transitions. Return the exit status.

    Args:
        name: The name of the queue.
        url_file: A file with the URL. None for the environment.
        lines: How many transitions to write.
        follow: Whether to go on with new transitions until interrupted.
        as_json: Whether to write JSON lines.

    Raises:
        UsageError: ``lines`` is negative.
        LionprideError: As :func:`~.connection.in_queue`.
    """
    if lines < 0:
        raise UsageError(f"--lines must be 0 or more, got {lines}")

    async def tell(place: OpenQueue) -> None:
        """Write what there is, and what comes."""

        async def write(steps: list[Moved]) -> None:
            """Write some transitions."""
            known = [step for step in steps if is_readable(step)]
            ids = list(dict.fromkeys(step.subject for step in known))
            details = dict(zip(ids, await place.queries.details(ids), strict=True))
            for step in known:
                _write(transition_record(step, details[step.subject]), as_json=as_json)
            sys.stdout.flush()

        last = await place.queries.transitions(max(lines, 1))
        await write(last if lines else [])
        if follow:
            await place.queue.follow(last[-1].cursor if last else "0-0", write)

    in_queue(name, url_file, tell)
    return 0


def _write(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        write_json(encode(record))
        return
    attempt = "" if record["attempt"] is None else f" ({record['attempt']})"
    parts = [record["at"] or "?", record["id"], record["tag"] or "?", f"{record['status']}{attempt}"]
    parts += [record[name] for name in ("worker", "error") if record[name] is not None]
    write_line("  ".join(parts))
