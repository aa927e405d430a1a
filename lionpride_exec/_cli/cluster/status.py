"""``lionpride-exec cluster status``: show the counts and the workers of a queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lionpride_exec._cli.terminal import Table, write_json, write_line, write_table
from lionpride_exec._journal.row_records import encode, iso
from lionpride_exec._status import EventStatus

from .connection import in_queue, names_on

if TYPE_CHECKING:
    from lionpride_exec._cluster.engine import WorkerInfo

    from .connection import OpenQueue


def show_status(queue: str | None, url_file: str | None, *, as_json: bool) -> int:
    """
    Write how many events have each status, and which workers there are. Return the exit status.

    Args:
        queue: The name of the queue. None for the default, and the names of the others.
        url_file: A file with the URL. None for the environment.
        as_json: Whether to write one JSON object.

    Raises:
        LionprideError: As :func:`~.connection.in_queue`.
    """
    name = "default" if queue is None else queue

    async def ask(place: OpenQueue) -> tuple[dict[str, Any], list[WorkerInfo], str]:
        """Ask the server."""
        counts = dict.fromkeys(EventStatus.allowed(), 0) | await place.queries.counts()
        workers = await place.queries.workers()
        record = {
            "url": place.shown_url,
            "queue": place.name,
            "at": iso(time.time()),
            "paused": await place.queries.is_paused(),
            "counts": counts,
        }
        others = await names_on(place.queue.wire, but=name) if queue is None and not as_json else ""
        return record, [worker for worker in workers if worker.alive or worker.holds], others

    record, workers, others = in_queue(name, url_file, ask)
    if as_json:
        write_json(encode(record | {"workers": [_worker_record(worker) for worker in workers]}))
    else:
        _write_text(record, workers)
    if others:
        write_line(f"Other queues on this server: {others}")
    return 0


def _write_text(record: dict[str, Any], workers: list[WorkerInfo]) -> None:
    counts: dict[str, int] = record["counts"]
    state = "paused: no worker takes events; " if record["paused"] else ""
    total = sum(counts.values())
    write_line(f"queue {record['queue']} on {record['url']} at {record['at']}: {state}{total:,} events")
    write_line("")
    write_table(Table("", ("status", "events"), [(status, f"{count:,}") for status, count in counts.items()]))
    alive = sum(worker.alive for worker in workers)
    rows = [_worker_row(worker) for worker in workers]
    write_table(Table(f"Workers ({alive:,} alive)", ("name", "process", "state", "holds", "renewed"), rows))
    if not workers:
        write_line("no worker is alive")


def _worker_row(worker: WorkerInfo) -> tuple[str, str, str, str, str]:
    state = "alive" if worker.alive else "gone"
    return worker.name, worker.process or "?", state, f"{worker.holds:,}", _ago(worker.renewed)


def _worker_record(worker: WorkerInfo) -> dict[str, Any]:
    return {
        "name": worker.name,
        "process": worker.process or None,
        "alive": worker.alive,
        "holds": worker.holds,
        "renewed": None if worker.renewed is None else round(worker.renewed, 3),
    }


def _ago(seconds: float | None) -> str:
    return "more than an hour ago" if seconds is None else f"{seconds:,.1f} s ago"
