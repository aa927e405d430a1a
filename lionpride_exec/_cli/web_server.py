"""``lionpride-exec web`` and ``lionpride-exec cluster web``: a dashboard behind a server of its own."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from lionpride_exec.web import dashboard
from lionpride_exec.web._server import (
    CannotServeError,
    address_of,
    check_server,
    is_for_all,
    listener_at,
    make_token,
    serve,
)

from .errors import UsageError
from .exit_status import COMPLETED
from .journal.records import reading

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .cluster.connection import OpenQueue


@attrs.frozen(kw_only=True)
class Place:
    """
    Where a dashboard is served, and to whom.

    Attributes:
        host: Address to listen at.
        port: Port to listen on; 0 for any free port.
        allowed: Names by which the dashboard is reached, beside those of this machine.
        writable: Whether the pages offer actions.
        has_token: Whether requests need a token.
        opens_browser: Whether the address is opened in a browser.
    """

    host: str
    port: int
    allowed: Sequence[str]
    writable: bool
    has_token: bool
    opens_browser: bool

    def listen(self) -> socket.socket:
        """
        Return the socket.

        Raises:
            UsageError: The address cannot be used, or other machines reach it without a token.
        """
        if not self.has_token and is_for_all(self.host, self.allowed):
            raise UsageError(
                "--no-token is for this machine only: leave out --allow-host, and a --host for other machines"
            )
        try:
            check_server("asyncio")
            return listener_at(self.host, self.port)
        except CannotServeError as exc:
            raise UsageError(str(exc)) from exc


def serve_journal(journal: str, place: Place) -> int:
    """
    Serve the dashboard of a journal until SIGINT or SIGTERM. Return the exit status.

    Args:
        journal: Path of the journal.
        place: Where it is served.

    Raises:
        UsageError: The journal cannot be opened, or the place cannot be used.
    """
    listener = place.listen()
    with listener:
        with reading(journal):
            pass  # it is a journal, and can be read
        return anyio.run(_serve, journal, listener, place)


def serve_queue(queue: str, url_file: str | None, place: Place) -> int:
    """
    Serve the dashboard of a cluster's queue until SIGINT or SIGTERM. Return the exit status.

    Args:
        queue: The name of the queue.
        url_file: A file with the URL of the server. With None, the environment variable has the URL.
        place: Where it is served.

    Raises:
        UsageError: There is no URL, or the place cannot be used.
        ConfigurationError: The name or the URL cannot be used.
        NotFoundError: The server has no queue of this name.
        ClusterError: The server is not reached, or refuses.
    """
    from lionpride_exec._faces.cluster_source import ClusterSource  # noqa: PLC0415  needs the extra cluster

    from .cluster.connection import in_queue  # noqa: PLC0415  likewise

    listener = place.listen()

    async def show(opened: OpenQueue) -> int:
        """Serve the queue."""
        return await _serve(ClusterSource(opened.queue, writable=place.writable), listener, place)

    with listener:
        return in_queue(queue, url_file, show)


async def _serve(what: Any, listener: socket.socket, place: Place) -> int:
    """Write the address of a dashboard, and serve it until a signal."""
    token = make_token() if place.has_token else None
    app = dashboard(what, writable=place.writable, auth=token, hosts=(place.host, *place.allowed))
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        address = address_of(listener, place.host, token)
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        if place.opens_browser:
            import webbrowser  # noqa: PLC0415  few runs open one

            await anyio.to_thread.run_sync(webbrowser.open, address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, app, listener, "asyncio")
            async for _ in signals:
                tasks.cancel_scope.cancel()
                break
    return COMPLETED
