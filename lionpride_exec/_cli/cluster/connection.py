"""Connect to a queue for one command, and find the events that its arguments name."""

from __future__ import annotations

import os
from contextlib import suppress
from signal import SIGINT
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import anyio
import attrs

from lionpride_exec._cli.errors import UsageError
from lionpride_exec._cli.run.log_display import showing_logs
from lionpride_exec._cli.streams import say
from lionpride_exec._cluster.cluster import checked_queue
from lionpride_exec._cluster.engine import QueueQueries, Wire, find_names, find_queue
from lionpride_exec._cluster.server_url import VARIABLE, find_url
from lionpride_exec._journal.meant_keys import event_keys_meant_by
from lionpride_exec.errors import ClusterError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from anyio import CancelScope
    from anyio.abc import TaskStatus

    from lionpride_exec._cluster.engine import ServerQueue

T = TypeVar("T")

# Seconds for which a command tries to reach the server, while somebody waits at the terminal.
PATIENCE = 5.0

# Seconds for which a command looks for the names of queues, and how many names it shows.
SECONDS_TO_LOOK = 1.0
MOST_NAMES = 20


@attrs.frozen
class OpenQueue:
    """
    A queue that a command looks at.

    Attributes:
        name: Its name.
        shown_url: The server, without user and password.
        queue: The queue.
        queries: Answers questions about the queue.
    """

    name: str
    shown_url: str
    queue: ServerQueue
    queries: QueueQueries

    async def find(self, texts: Sequence[str]) -> dict[str, str]:
        """
        Return the id of the event that each text names: by its id, or by its key (a text, or the key as JSON).

        A text that names no event is not in the answer, and a message says so.

        Raises:
            ClusterError: The server was not reached.
        """
        found: dict[str, str] = {}
        for text, event_id in zip(texts, await self._ids_of(texts), strict=True):
            if event_id:
                found[text] = event_id
            else:
                say(f"no event in queue {self.name} has the id or the key {text!r}")
        return found

    async def _ids_of(self, texts: Sequence[str]) -> list[str]:
        """Return the id of the event that each text names. "" if the text names no event."""
        ids = [_id_in(text) for text in texts]
        known = iter(await self.queries.details([event_id for event_id in ids if event_id]))
        return [
            event_id if event_id and next(known) is not None else await self._find_key(text)
            for text, event_id in zip(texts, ids, strict=True)
        ]

    async def _find_key(self, text: str) -> str:
        return next(filter(None, await self.queries.ids_of_keys(event_keys_meant_by(text))), "")


def in_queue(name: str, url_file: str | None, action: Callable[[OpenQueue], Awaitable[T]]) -> T:
    """
    Return what an action in an open queue returns.

    Args:
        name: The name of the queue.
        url_file: A file with the URL of the server. With None, the environment variable has the URL.
        action: Called with the open queue.

    Raises:
        ConfigurationError: The name or the URL cannot be used.
        UsageError: There is no URL.
        NotFoundError: The server has no queue of this name. None is made.
        ClusterError: The server is not reached, or refuses.
        KeyboardInterrupt: Ctrl-C.
        Exception: What the action raises.
    """
    if url_file is None and not os.environ.get(VARIABLE):
        raise UsageError(f"which server? give --url-file FILE, or set {VARIABLE}")
    url, name = find_url(None, url_file), checked_queue(name)
    returned: list[T] = []
    failures: list[Exception] = []

    async def main() -> None:
        """Connect, and act."""
        async with anyio.create_task_group() as group:
            await group.start(_stop_at_interrupt, group.cancel_scope)
            wire = Wire(url.complete, url.shown, patience=PATIENCE)
            try:
                async with wire.opened(group):
                    queue = await find_queue(wire, name)
                    if queue is None:
                        others = await names_on(wire)
                        raise NotFoundError(f"there is no queue {name} on {url.shown}{others and f'; it has {others}'}")  # noqa: TRY301  told below
                    returned.append(await action(OpenQueue(name, url.shown, queue, QueueQueries(queue))))
            except Exception as error:  # noqa: BLE001  raised outside of the group, which would wrap it
                failures.append(error)
            group.cancel_scope.cancel()

    with showing_logs(say, lambda: True):
        anyio.run(main)
    if failures:
        raise failures[0]
    if not returned:
        raise KeyboardInterrupt
    return returned[0]


async def names_on(wire: Wire, *, but: str = "") -> str:
    """Return the names of the queues that a server has, as a text. "" if they are not known."""
    names: list[str] = []
    with suppress(ClusterError):
        names = [name for name in await find_names(wire, SECONDS_TO_LOOK) if name != but]
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[:MOST_NAMES])}{more}"


async def _stop_at_interrupt(scope: CancelScope, *, task_status: TaskStatus[None]) -> None:
    """Cancel a scope at a Ctrl-C. asyncio would cancel the main task, which client libraries handle badly."""
    with anyio.open_signal_receiver(SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


def _id_in(text: str) -> str | None:
    """Return a text as the id of an event. None if it is no id."""
    try:
        return UUID(text).hex
    except ValueError:
        return None
