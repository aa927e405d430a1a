"""The arguments of the commands for clusters. The commands need the extra ``cluster`` when they are run."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from .guard import CLUSTER, guarded
from .parameters import FLAG, REPEATED
from .run.options import Backend  # noqa: TC001  cyclopts looks at it

Ended = Literal["failed", "cancelled", "skipped", "aborted"]

Queue = Annotated[str, Parameter(name="--queue")]
MaybeQueue = Annotated[str | None, Parameter(name="--queue")]
UrlFile = Annotated[str | None, Parameter(name="--url-file")]
Json = Annotated[bool, FLAG]

cluster = App(
    name="cluster",
    help="Look at the queue of a cluster, and change it. The URL comes from --url-file or LIONPRIDE_CLUSTER_URL.",
)


def add_cluster_commands(app: App) -> None:
    """Add the commands for clusters to an app."""
    app.command(worker)
    app.command(cluster)


@guarded(CLUSTER)
def worker(target: str, /, *, concurrency: int | None = None, grace: float = 30.0, backend: Backend = "asyncio") -> int:
    """
    Work on the events of a queue, until SIGTERM or Ctrl-C.

    Once: no more events are taken, and events that run may finish. Twice: they are cancelled and given back.
    Exit status: 1 the server failed, 2 wrong use, 130 ended by a signal.

    Args:
        target: MODULE:NAME or FILE.py:NAME, an Executor with a cluster, or a function that returns one.
        concurrency: How many events may run at the same time. Default: what the executor says.
        grace: Seconds that events may take after the first signal. Then other workers run them again.
        backend: Event loop to run on.
    """
    from .worker import work  # noqa: PLC0415  the extra may not be installed

    return work(target, concurrency, grace, backend)


@cluster.command
@guarded(CLUSTER)
def status(*, queue: MaybeQueue = None, url_file: UrlFile = None, json: Json = False) -> int:
    """
    Show how many events have each status, and which workers there are.

    Args:
        queue: Name of the queue. Without it: the queue "default", and the names of the others.
        url_file: File whose first line is the URL of the server.
        json: Write one JSON object.
    """
    from .cluster.status import show_status  # noqa: PLC0415  the extra may not be installed

    return show_status(queue, url_file, as_json=json)


@cluster.command
@guarded(CLUSTER)
def tail(
    *,
    queue: Queue = "default",
    url_file: UrlFile = None,
    lines: Annotated[int, Parameter(name=["--lines", "-n"])] = 10,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    json: Json = False,
) -> int:
    """
    Show the last transitions, oldest first. The server keeps them for some minutes.

    Args:
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
        lines: How many transitions to show.
        follow: Go on with new transitions, until Ctrl-C.
        json: Write one JSON object a line.
    """
    from .cluster.tail import tail_queue  # noqa: PLC0415  the extra may not be installed

    return tail_queue(queue, url_file, lines, follow=follow, as_json=json)


@cluster.command
@guarded(CLUSTER)
def show(event: str, /, *, queue: Queue = "default", url_file: UrlFile = None, json: Json = False) -> int:
    """
    Show everything about one event. Nothing is imported or run.

    Args:
        event: Id of the event, or its key.
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
        json: Write one JSON object.
    """
    from .cluster.show import show_event  # noqa: PLC0415  the extra may not be installed

    return show_event(queue, url_file, event, as_json=json)


@cluster.command
@guarded(CLUSTER)
def retry(
    *events: str,
    status: Annotated[tuple[Ended, ...], REPEATED] = (),
    failed: Annotated[bool, FLAG] = False,
    queue: Queue = "default",
    url_file: UrlFile = None,
) -> int:
    """
    Make events that have ended pending again, as if they had never begun.

    Args:
        events: Ids or keys of the events.
        status: All events with this status. Repeatable.
        failed: All events that failed, as --status failed.
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
    """
    from .cluster.changes import retry_events  # noqa: PLC0415  the extra may not be installed

    return retry_events(queue, url_file, events, tuple({*status, *(("failed",) if failed else ())}))


@cluster.command
@guarded(CLUSTER)
def cancel(*events: str, queue: Queue = "default", url_file: UrlFile = None) -> int:
    """
    Cancel events: pending ones at once, running ones by their workers.

    Args:
        events: Ids or keys of the events.
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
    """
    from .cluster.changes import cancel_events  # noqa: PLC0415  the extra may not be installed

    return cancel_events(queue, url_file, events)


@cluster.command
@guarded(CLUSTER)
def pause(*, queue: Queue = "default", url_file: UrlFile = None) -> int:
    """
    Let no worker take events until resume. Running events go on.

    Args:
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
    """
    from .cluster.changes import pause_queue  # noqa: PLC0415  the extra may not be installed

    return pause_queue(queue, url_file)


@cluster.command
@guarded(CLUSTER)
def resume(*, queue: Queue = "default", url_file: UrlFile = None) -> int:
    """
    End a pause.

    Args:
        queue: Name of the queue.
        url_file: File whose first line is the URL of the server.
    """
    from .cluster.changes import resume_queue  # noqa: PLC0415  the extra may not be installed

    return resume_queue(queue, url_file)
